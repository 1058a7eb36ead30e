"""An object cut in two along a line that a user drew."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.draw import line

from napari_samsp.inference.interactive.cut import Cut
from napari_samsp.utils.errors import InputError

ALL_AROUND = np.ones((3, 3), bool)


def cut_along(
    known: Cut, start: tuple[int, int], end: tuple[int, int]
) -> tuple[Cut, Cut]:
    """Cut an object along a line, which goes on to the object's border.

    Parameters
    ----------
    known : Cut
        Mask of the object, placed in the image.
    start, end : tuple of int
        Row and column of the line's ends in the image, in or beside the object.

    Returns
    -------
    tuple of Cut
        The larger part, with the line's own pixels and whatever the line does not
        touch, and the other one; together they are the object.

    Raises
    ------
    InputError
        If the line does not part the object.
    """
    place = known.place
    corner = np.array((place.top, place.left))
    mask = known.mask
    barrier = np.zeros(mask.shape, bool)
    rows, columns = _extended(mask, np.array(start) - corner, np.array(end) - corner)
    barrier[rows, columns] = True
    # The line is connected over corners, and so it parts what is connected over sides.
    parts, count = ndimage.label(mask & ~barrier)
    beside = ndimage.binary_dilation(barrier, ALL_AROUND) & (parts > 0)
    down, across = np.array(end) - start
    row, column = np.nonzero(beside)
    row, column = row + place.top - start[0], column + place.left - start[1]
    side = down * column - across * row
    total = np.bincount(parts[beside], np.sign(side), count + 1)
    left, right = (np.isin(parts, np.flatnonzero(total * way > 0)) for way in (1, -1))
    if not left.any() or not right.any():
        raise InputError(
            "The line does not go through the object from side to side: drag it right "
            "across."
        )
    less = min(left, right, key=np.count_nonzero)
    one, other = (Cut.of(part, place.top, place.left) for part in (mask & ~less, less))
    return one, other


def _extended(
    mask: np.ndarray, start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of a mask on a line, and beyond its ends until the mask ends."""
    length = float(np.hypot(*(end - start)))
    if not length:
        return np.zeros(0, int), np.zeros(0, int)
    beyond = np.rint((end - start) / length * sum(mask.shape)).astype(int)
    rows, columns = line(*(start - beyond), *(end + beyond))
    inside = (rows >= 0) & (rows < mask.shape[0])
    inside &= (columns >= 0) & (columns < mask.shape[1])
    on = np.zeros(len(rows), bool)
    on[inside] = mask[rows[inside], columns[inside]]
    at = np.stack([rows, columns], 1)
    first, last = (int(np.hypot(*(at - end_).T).argmin()) for end_ in (start, end))
    while first > 0 and on[first - 1]:
        first -= 1
    while last < len(on) - 1 and on[last + 1]:
        last += 1
    drawn = np.zeros(len(on), bool)
    drawn[first : last + 1] = True
    return rows[on & drawn], columns[on & drawn]
