"""Small pictures of the images that judge a run, from the trainer to the widget.

In a run's folder ``judged/``: of each image ``NAME.png``, as the model reads it, and
labels of its size, ``NAME.mask.tif`` as corrected, ``NAME.before.tif`` and
``NAME.after.tif`` as the last iteration of the model before and after says.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_samsp.data.image_files import read_image, read_labels, tiff_bytes
from napari_samsp.utils.atomic_files import write_atomically
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "judged"
BEFORE, AFTER = "before", "after"
MASK = "mask"
MOST = 24
"""Pictures per run; of more images, so many are taken, evenly spread."""
LONGEST_SIDE = 512
"""Longest side in pixels; larger images are made smaller."""


@dataclass(frozen=True)
class JudgedPicture:
    """An image before and after.

    Attributes
    ----------
    name : str
        Name of the sample.
    image : numpy.ndarray
        ``(Y, X, 3)`` uint8.
    mask, before, after : numpy.ndarray
        ``(Y, X)`` integer labels.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray
    before: np.ndarray
    after: np.ndarray


def chosen(names: list[str]) -> list[str]:
    """Names of the images whose pictures are kept, at most `MOST`.

    Parameters
    ----------
    names : list of str
        Of all images that judge.
    """
    places = np.linspace(0, len(names) - 1, min(MOST, len(names))).round().astype(int)
    return [names[n] for n in places]


def small_labels(labels: np.ndarray) -> np.ndarray:
    """Labels of at most `LONGEST_SIDE`, one pixel standing for several.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(Y, X)`` integers.

    Returns
    -------
    numpy.ndarray
        ``(h, w)`` of the same labels and type.
    """
    rows, columns = (
        ((np.arange(small) + 0.5) * side / small).astype(int)
        for side, small in zip(labels.shape, small_shape(labels.shape), strict=True)
    )
    return labels[np.ix_(rows, columns)]


def small_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of an image's picture."""
    part = min(1.0, LONGEST_SIDE / max(shape[:2]))
    return max(1, round(part * shape[0])), max(1, round(part * shape[1]))


def write_image(run: Path, name: str, image: np.ndarray, mask: np.ndarray) -> None:
    """Write an image and what it was corrected to.

    Parameters
    ----------
    run : Path
        The run's folder.
    name : str
        Name of the sample.
    image : numpy.ndarray
        ``(Y, X, 3)`` uint8, of any size.
    mask : numpy.ndarray
        ``(Y, X)`` integer labels.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    height, width = small_shape(image.shape)
    buffer = BytesIO()
    small = Image.fromarray(image).resize((width, height), Image.Resampling.BOX)
    small.save(buffer, "png")
    _write(run, f"{name}.png", buffer.getvalue())
    write_labels(run, name, MASK, small_labels(mask))


def write_labels(run: Path, name: str, kind: str, labels: np.ndarray) -> None:
    """Write small labels of an image.

    Parameters
    ----------
    run, name
        As for `write_image`.
    kind : str
        `BEFORE`, `AFTER` or `MASK`.
    labels : numpy.ndarray
        From `small_labels`.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    _write(run, f"{name}.{kind}.tif", tiff_bytes(labels.astype(np.int32)))


def read_pictures(run: Path) -> list[JudgedPicture]:
    """Read the pictures of a run.

    Parameters
    ----------
    run : Path
        The run's folder.

    Returns
    -------
    list of JudgedPicture
        By name, at most `MOST`; without those of which a file is missing or broken.
    """
    found = []
    for path in sorted((run / FOLDER).glob("*.png"))[:MOST]:
        name = path.name.removesuffix(".png")
        try:
            image = read_image(path)
            mask, before, after = (
                read_labels(run / FOLDER / f"{name}.{kind}.tif")
                for kind in (MASK, BEFORE, AFTER)
            )
        except (InputError, OSError):
            continue
        shapes = {image.shape[:2], mask.shape, before.shape, after.shape}
        if len(shapes) == 1 and image.ndim == 3:
            found.append(JudgedPicture(name, image[..., :3], mask, before, after))
    return found


def _write(run: Path, name: str, content: bytes) -> None:
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    write_atomically(folder / name, content)
