"""YOLO's segmentation: a text line per object, coordinates relative to the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_samsp.data.annotations.outlines import Outline, draw, joined, trace
from napari_samsp.utils.atomic_files import write_atomically
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 500_000_000


def read(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Read the objects of an image.

    Parameters
    ----------
    path : Path
        Lines of a class, then x and y of each corner, 0 to 1. The class is not kept;
        a line of four numbers is a box: its centre and sides.
    shape : tuple of int
        Height and width of the image.

    Returns
    -------
    numpy.ndarray
        ``(Y, X)`` int32: the lines from 1.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} is too large for the objects of an image.")
    height, width = shape
    found = []
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text.") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values = np.array(line.split()[1:], np.float64)
            if len(values) == 4:
                values = _box(*values)
            ring = values.reshape(-1, 2)
        except ValueError as error:
            raise InputError(
                f"{path}, line {number}: it must be a class, then x and y of each "
                "corner."
            ) from error
        found.append(Outline(0, [[ring * (width, height)]]))
    return draw(found, shape)


def write(path: Path, labels: np.ndarray) -> None:
    """Write labels as objects of class 0.

    Parameters
    ----------
    path : Path
        Ends in ``.txt``.
    labels : numpy.ndarray
        ``(Y, X)`` integers. Pieces and holes of an object are joined to one outline
        by bridges without width; its number is not kept, but the order is.
    """
    height, width = labels.shape
    lines = []
    for outline in trace(labels):
        ring = joined(outline.polygons) / (width, height)
        lines.append("0 " + " ".join(f"{value:.9g}" for value in ring.ravel()) + "\n")
    write_atomically(path, "".join(lines).encode())


def _box(x: float, y: float, width: float, height: float) -> np.ndarray:
    left, right = x - width / 2, x + width / 2
    top, bottom = y - height / 2, y + height / 2
    return np.array([left, top, right, top, right, bottom, left, bottom])
