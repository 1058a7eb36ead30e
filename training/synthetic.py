"""Generated images with matching masks, for pretraining.

Scenes: blobs (instances that may touch), a stain, one irregular region, patches of a
second texture, filaments, and a layer. Each has a random palette, an illumination
gradient, blur and noise. ``python training/synthetic.py sheet.png`` draws a sheet of
them.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy import ndimage
from skimage import draw, io

SIDES = (192, 320)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], scale: float
) -> np.ndarray:
    """Gaussian noise of a correlation length, zero mean and unit deviation."""
    step = max(1, int(scale / 2))
    small = rng.normal(size=(shape[0] // step + 3, shape[1] // step + 3))
    small = ndimage.gaussian_filter(small, scale / step)
    field = ndimage.zoom(small, step, order=1)[: shape[0], : shape[1]]
    return (field - field.mean()) / (field.std() + 1e-6)


def texture(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """A texture: noise of one scale, stripes, or grains; zero mean."""
    kind = rng.integers(3)
    if kind == 0:
        return smooth_noise(rng, shape, rng.uniform(1, 8))
    if kind == 1:
        y, x = np.indices(shape)
        angle, period = rng.uniform(0, np.pi), rng.uniform(4, 24)
        wave = x * np.cos(angle) + y * np.sin(angle) + 3 * smooth_noise(rng, shape, 20)
        return np.sin(2 * np.pi * wave / period)
    return (smooth_noise(rng, shape, rng.uniform(2, 6)) > 0.8) * 2.0 - 0.4


def blobs(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Instances: wobbly ellipses, some of which touch."""
    labels = np.zeros(shape, np.int32)
    radius = rng.uniform(5, 40)
    spread = rng.uniform(0.05, 0.4)
    room = shape[0] * shape[1] / (radius**2 * 4)
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    for label in range(1, int(rng.uniform(0.1, 0.8) * room) + 2):
        centre = rng.uniform(0, shape)
        axes = radius * np.exp(rng.normal(0, spread, 2))
        wobble = 1 + sum(
            rng.normal(0, 0.06) * np.cos(k * angles + rng.uniform(0, 6))
            for k in (2, 3, 4, 5)
        )
        turn = rng.uniform(0, np.pi)
        u, v = axes[0] * wobble * np.cos(angles), axes[1] * wobble * np.sin(angles)
        rows, cols = draw.polygon(
            centre[0] + u * np.cos(turn) - v * np.sin(turn),
            centre[1] + u * np.sin(turn) + v * np.cos(turn),
            shape,
        )
        taken = labels[rows, cols] > 0
        if len(rows) and taken.mean() < 0.15:
            labels[rows[~taken], cols[~taken]] = label
    return labels


def region(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """One irregular region near the middle."""
    y, x = np.indices(shape)
    centre = np.array(shape) * rng.uniform(0.3, 0.7, 2)
    axes = np.array(shape) * rng.uniform(0.12, 0.42, 2)
    distance = np.hypot((y - centre[0]) / axes[0], (x - centre[1]) / axes[1])
    distance += rng.uniform(0.03, 0.25) * smooth_noise(rng, shape, rng.uniform(8, 30))
    found, n = ndimage.label(distance < 1)
    if n == 0:
        return found.astype(np.int32)
    return (found == np.bincount(found.ravel())[1:].argmax() + 1).astype(np.int32)


def patches(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Irregular patches, as of a second texture or phase."""
    field = smooth_noise(rng, shape, rng.uniform(8, 50))
    return (field > rng.uniform(-0.3, 1.2)).astype(np.int32)


def filaments(
    rng: np.random.Generator,
    shape: tuple[int, int],
    half_width: tuple[float, float] = (1.5, 7),
) -> np.ndarray:
    """Curved lines of some width."""
    canvas = np.zeros(shape, bool)
    for _ in range(rng.integers(1, 9)):
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.12, 300))
        start = rng.uniform(0, shape)
        rows = (start[0] + np.cumsum(np.sin(heading)) * 1.5).astype(int)
        cols = (start[1] + np.cumsum(np.cos(heading)) * 1.5).astype(int)
        inside = (rows >= 0) & (cols >= 0) & (rows < shape[0]) & (cols < shape[1])
        canvas[rows[inside], cols[inside]] = True
    width = rng.uniform(*half_width)
    if not canvas.any():
        # A line that starts outside may stay there, and nothing has no distance.
        return np.zeros(shape, np.int32)
    return (ndimage.distance_transform_edt(~canvas) < width).astype(np.int32)


def hairs(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Thin lines that lie over everything."""
    return filaments(rng, shape, (0.5, 2)) > 0


def vignette(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Brightness of a round field of view: 1 in the middle, dark corners."""
    y, x = (np.linspace(-1, 1, side) for side in shape)
    distance = np.hypot(*(axis * rng.uniform(0.85, 1) for axis in np.ix_(y, x)))
    return 1 / (
        1 + np.exp((distance - rng.uniform(0.9, 1.25)) / rng.uniform(0.02, 0.1))
    )


def layer(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """A band or a half plane with a wavy border, in any of four directions."""
    line = rng.uniform(0.2, 0.6) * shape[0]
    line = line + smooth_noise(rng, (1, shape[1]), rng.uniform(10, 60))[0] * 8
    thick = rng.uniform(0.1, 0.9) * shape[0]
    rows = np.arange(shape[0])[:, None]
    return ((rows > line) & (rows < line + thick)).astype(np.int32)


def stain(
    rng: np.random.Generator, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """A dark, mottled region that fades into a brighter ground, and its labels."""
    labels = region(rng, shape)
    ground = rng.uniform(0.45, 0.95) * rng.uniform(0.7, 1, 3)
    soft = ndimage.gaussian_filter((labels > 0).astype(float), rng.uniform(0.7, 8))
    mottled = 1 + rng.uniform(0, 0.4) * smooth_noise(rng, shape, rng.uniform(6, 40))
    depth = soft * mottled.clip(0.3, 1.8)
    image = ground * (
        1 - depth[..., None] * rng.uniform(0.2, 0.75) * rng.uniform(0.6, 1, 3)
    )
    image += rng.uniform(0, 0.05) * texture(rng, shape)[..., None]
    image *= 1 + rng.uniform(0, 0.12) * smooth_noise(rng, shape, 80)[..., None]
    return image, labels


SCENES = (blobs, blobs, blobs, stain, stain, stain, region, patches, filaments, layer)
AMBIGUOUS = (patches, layer)
"""Either side could be the foreground: only a prompt can tell."""


def paint(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Give objects and ground colours, textures and borders; ``(Y, X, 3)`` float."""
    shape = labels.shape
    soft = ndimage.gaussian_filter((labels > 0).astype(float), rng.uniform(0.3, 2.5))
    back, fore = rng.uniform(0, 1, (2, 3))
    if rng.random() < 0.5:
        back, fore = np.full(3, back[0]), np.full(3, fore[0])
    while np.abs(back - fore).mean() < 0.15:
        fore = rng.uniform(0, 1) * np.ones(3)
    each = 1 + rng.normal(0, 0.15, labels.max() + 1)
    outline = labels > 0
    if rng.random() < 0.1:
        outline = outline ^ ndimage.binary_erosion(outline, iterations=2)
        soft = 0.3 * soft + 0.7 * outline
    amount = soft * each[labels] if rng.random() < 0.7 else soft
    image = back + (fore - back) * amount[..., None]
    for part in (soft, 1 - soft):
        image += rng.uniform(0, 0.1) * (texture(rng, shape) * part)[..., None]
    image *= 1 + rng.uniform(0, 0.25) * smooth_noise(rng, shape, 60)[..., None]
    if rng.random() < 0.1:
        clutter = filaments(rng, shape)[..., None] > 0
        image = np.where(clutter, image * 0.5 + 0.5 * rng.uniform(0, 1), image)
    return image


def generate(seed: int) -> tuple[np.ndarray, np.ndarray, bool]:
    """Make one image and its labels.

    Parameters
    ----------
    seed : int
        The same seed gives the same pair.

    Returns
    -------
    tuple
        ``(Y, X, 3)`` uint8, ``(Y, X)`` int32 with 0 = background, and whether the
        foreground can be told without a prompt.
    """
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(*SIDES)), int(rng.integers(*SIDES)))
    scene = SCENES[rng.integers(len(SCENES))]
    if scene is stain:
        image, labels = stain(rng, shape)
    else:
        labels = scene(rng, shape)
        image = paint(rng, labels)
    if rng.random() < 0.25:
        image = np.where(hairs(rng, shape)[..., None], rng.uniform(0, 1, 3), image)
    if rng.random() < 0.15:
        image *= vignette(rng, shape)[..., None]
    if rng.random() < 0.3:
        image = ndimage.gaussian_filter(image, (rng.uniform(0.3, 2),) * 2 + (0,))
    image += rng.normal(0, rng.uniform(0, 0.08), shape)[..., None]
    return (image.clip(0, 1) * 255).astype(np.uint8), labels, scene not in AMBIGUOUS


if __name__ == "__main__":
    sheet = np.zeros((4 * 330, 8 * 330, 3), np.uint8)
    for i in range(16):
        picture, mask, _ = generate(i)
        y, x = divmod(i, 4)
        colours = np.random.default_rng(0).integers(60, 255, (mask.max() + 1, 3))
        colours[0] = 0
        for part, content in enumerate((picture, colours[mask])):
            top, left = y * 330, (2 * x + part) * 330
            sheet[top : top + len(picture), left : left + picture.shape[1]] = content
    io.imsave(sys.argv[1], sheet)
