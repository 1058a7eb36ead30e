"""Lazy stacks whose files are of other sizes than the stack says.

napari reads the first image of a folder and takes the others for alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_samsp.data.training_sets.sample import size_text
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from napari_samsp.data.plane_view import PlaneIndex


def checked(
    pixels: np.ndarray, plane: PlaneIndex, sides: Sequence[int], whole: Sequence[int]
) -> np.ndarray:
    """Give pixels that were read, if they are as many as were asked for.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``(y, x)`` or ``(y, x, C)``: a plane, or a window of one.
    plane : PlaneIndex
        Index of the plane.
    sides : sequence of int
        ``(y, x)`` that it should have.
    whole : sequence of int
        Height and width of a plane, for the message.

    Returns
    -------
    numpy.ndarray
        The pixels that were given.

    Raises
    ------
    InputError
        If it has another size.
    """
    if pixels.shape[:2] == tuple(sides):
        return pixels
    where = ", ".join(str(index) for index in plane if index is not None)
    raise InputError(
        f"Slice {where} is not {size_text(whole)} pixels as the first one is. Images "
        "of different sizes are no stack: open them one by one, or segment the folder "
        "with the command predict."
    )
