"""The orientation that a file's EXIF or TIFF tag tells, as viewers turn it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.utils.notes import tell

if TYPE_CHECKING:
    from pathlib import Path

# Whether rows and columns are swapped, and which of them are then reversed.
_TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def upright(path: Path, array: Any, value: int, rows: int = 0, columns: int = 1) -> Any:
    """Turn pixels as they are meant to be seen.

    Parameters
    ----------
    path : Path
        The file, for the message.
    array : array_like
        As stored, numpy or dask.
    value : int
        1 to 8; others mean nothing.
    rows, columns : int
        The axes of rows and columns.

    Returns
    -------
    array_like
        The image as it is meant to be seen.
    """
    if value not in _TURNS:
        return array
    tell(f"{path} is stored turned (orientation {value}): it is read upright.")
    array = turned(array, value, rows, columns)
    return np.ascontiguousarray(array) if isinstance(array, np.ndarray) else array


def turned(array: Any, value: int, rows: int = 0, columns: int = 1) -> Any:
    """As `upright`, but tells the user nothing; of numpy arrays it returns a view."""
    if value not in _TURNS:
        return array
    swap, up, left = _TURNS[value]
    if swap:
        order = list(range(array.ndim))
        order[rows], order[columns] = columns, rows
        array = array.transpose(order)
    steps = [slice(None)] * array.ndim
    steps[rows] = slice(None, None, -1 if up else None)
    steps[columns] = slice(None, None, -1 if left else None)
    return array[tuple(steps)]
