"""A small picture of an image file, to be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_samsp.data.image_source import is_large, open_image
from napari_samsp.data.rgb import to_rgb8
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 2**28
"""Largest file: a picture of a larger one would keep the disk busy for too long."""


def thumbnail(path: Path, side: int) -> np.ndarray | None:
    """Read a small picture of an image file: of a stack its middle plane.

    Parameters
    ----------
    path : Path
        The file, or the folder of an OME-Zarr.
    side : int
        Longest side of the picture in pixels.

    Returns
    -------
    numpy.ndarray or None
        ``(Y, X, 3)`` uint8; None of what cannot be read, or is too large.
    """
    try:
        if path.is_file() and path.stat().st_size > MOST_BYTES:
            return None
        with open_image(path) as stored:
            if is_large(stored.labels_shape[-2:]):
                return None
            planes = stored.planes()
            several = stored.channel_axis == "C" and stored.channel_count > 3
            middle = planes[len(planes) // 2]
            plane, channel_axis = stored.plane(middle, (0,) if several else None)
            step = max(1, -(-max(plane.shape[:2]) // side))
            small = np.asarray(plane[::step, ::step])
        return to_rgb8(small, channel_axis)
    except (InputError, OSError, ValueError, MemoryError):
        return None
