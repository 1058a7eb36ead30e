"""The images under File > Open Sample > SAM-SP."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

LayerData = tuple[Any, dict[str, Any], str]
HEIGHT, WIDTH = 256, 384
PARTICLES = 18


def nuclei() -> list[LayerData]:
    """Nuclei in fluorescence: many objects, gray.

    Returns
    -------
    list of tuple
        One image layer's data.
    """
    image = _read("nuclei.png")
    options = {"name": "nuclei", "contrast_limits": (0, int(image.max()))}
    return [(image, options, "image")]


def lesion() -> list[LayerData]:
    """A skin lesion: one region, RGB.

    Returns
    -------
    list of tuple
        One image layer's data.
    """
    return [(_read("lesion.jpg"), {"name": "lesion", "rgb": True}, "image")]


def particles() -> list[LayerData]:
    """Drawn particles of known size, uneven light, 16-bit, with a pixel size.

    Returns
    -------
    list of tuple
        One image layer's data.
    """
    options = {
        "name": "particles",
        "scale": (0.65, 0.65),
        "units": ("um", "um"),
        "contrast_limits": (0, 12_000),
    }
    return [(draw_particles(), options, "image")]


def draw_particles(seed: int = 7) -> np.ndarray:
    """Draw bright ellipses on an uneven ground.

    Parameters
    ----------
    seed : int
        Of places and sizes.

    Returns
    -------
    numpy.ndarray
        ``(256, 384)`` uint16.
    """
    import numpy as np
    from skimage import draw, filters

    rng = np.random.default_rng(seed)
    image = np.zeros((HEIGHT, WIDTH))
    for _ in range(PARTICLES):
        y, x = rng.uniform(15, HEIGHT - 15), rng.uniform(15, WIDTH - 15)
        radii = rng.uniform(8, 20, 2)
        turned = rng.uniform(0, np.pi)
        inside = draw.ellipse(
            y, x, radii[0], radii[1], shape=image.shape, rotation=turned
        )
        image[inside] = rng.uniform(5_000, 9_000)
    image = filters.gaussian(image, 1.2)
    ground = np.linspace(600, 2_200, WIDTH)[None, :]
    image = image + ground + rng.normal(0, 250, image.shape)
    return image.clip(0, 65_535).astype(np.uint16)


def _read(name: str) -> np.ndarray:
    import numpy as np
    from PIL import Image

    with resources.files("napari_samsp").joinpath("samples", name).open("rb") as stream:
        return np.asarray(Image.open(stream))
