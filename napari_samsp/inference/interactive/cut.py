"""What a user says of one object of an image, and the object's pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from napari_samsp.data.tiling import Tile
from napari_samsp.utils.errors import InputError

Box = tuple[float, float, float, float]
"""row0, column0, row1, column1; the second corner is outside."""


@dataclass(frozen=True)
class Cut:
    """The pixels of an object.

    Attributes
    ----------
    place : Tile
        The smallest rectangle of the image that holds them.
    mask : numpy.ndarray
        ``(h, w)`` bool, of the place's shape; 0 x 0 if there are no pixels.
    score : float
        The IoU that the model expects.
    """

    place: Tile
    mask: np.ndarray
    score: float = 0.0

    @classmethod
    def of(cls, mask: np.ndarray, top: int = 0, left: int = 0, score: float = 0) -> Cut:
        """Cut a mask to the box of what is True in it.

        Parameters
        ----------
        mask : numpy.ndarray
            ``(h, w)`` bool.
        top, left : int
            Where in the image it begins.
        score : float
            The IoU that the model expects.
        """
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        if not len(rows):
            return cls(Tile(top, top, left, left), np.zeros((0, 0), bool), score)
        y = slice(int(rows[0]), int(rows[-1]) + 1)
        x = slice(int(columns[0]), int(columns[-1]) + 1)
        place = Tile(top + y.start, top + y.stop, left + x.start, left + x.stop)
        return cls(place, mask[y, x].copy(), score)

    def __bool__(self) -> bool:
        """Whether there are any pixels."""
        return bool(self.mask.size)

    @property
    def indices(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the pixels in the image."""
        rows, columns = np.nonzero(self.mask)
        return rows + self.place.top, columns + self.place.left

    def shifted(self, rows: int, columns: int) -> Cut:
        """Shift by rows and columns, such as from a part of an image to the whole."""
        return replace(self, place=self.place.shifted(rows, columns))

    def within(self, place: Tile) -> np.ndarray:
        """The mask as seen in a rectangle of the image.

        Parameters
        ----------
        place : Tile
            Which; the object may lie partly or wholly outside.

        Returns
        -------
        numpy.ndarray
            ``(h, w)`` bool, of the place's shape.
        """
        out, mine = np.zeros(place.shape, bool), self.place
        top, bottom = max(place.top, mine.top), min(place.bottom, mine.bottom)
        left, right = max(place.left, mine.left), min(place.right, mine.right)
        if self and top < bottom and left < right:
            there = Tile(top, bottom, left, right)
            to, of = _inside(there, place), _inside(there, mine)
            out[to] = self.mask[of]
        return out


@dataclass(frozen=True)
class Clicks:
    """What a user says of one object.

    Attributes
    ----------
    points : tuple
        Row and column of each click.
    inside : tuple of bool
        One a point: whether it is on the object.
    box : tuple of float or None
        row0, column0, row1, column1.
    mask : Cut or None
        What is known of the object.
    """

    points: tuple[tuple[float, float], ...] = ()
    inside: tuple[bool, ...] = ()
    box: Box | None = None
    mask: Cut | None = None

    @property
    def extent(self) -> Box:
        """The smallest box of all that is said.

        Raises
        ------
        InputError
            If there is no click, no box and no mask.
        """
        boxes: list[Box] = [(row, col, row + 1, col + 1) for row, col in self.points]
        if self.box is not None:
            boxes.append(self.box)
        if self.mask:
            tile = self.mask.place
            boxes.append((tile.top, tile.left, tile.bottom, tile.right))
        if not boxes:
            raise InputError("There is nothing to segment: click, or drag a box.")
        return around(*boxes)

    @property
    def middle(self) -> tuple[float, float]:
        """Row and column of the middle of `extent`."""
        top, left, bottom, right = self.extent
        return (top + bottom) / 2, (left + right) / 2

    def shifted(self, rows: int, columns: int) -> Clicks:
        """Shift by rows and columns, such as from a part of an image to the whole."""
        box, mask = self.box, self.mask
        if box is not None:
            box = (box[0] + rows, box[1] + columns, box[2] + rows, box[3] + columns)
        return Clicks(
            tuple((row + rows, column + columns) for row, column in self.points),
            self.inside,
            box,
            None if mask is None else mask.shifted(rows, columns),
        )


def box_between(
    one: tuple[int, int], other: tuple[int, int], shape: tuple[int, ...]
) -> Box:
    """The box that two pixels span, both in it, clipped to an image.

    Raises
    ------
    InputError
        If nothing is left.
    """
    corners = np.array([one, other])
    top, left = corners.min(0).clip(0, shape).tolist()
    bottom, right = (corners.max(0) + 1).clip(0, shape).tolist()
    if top == bottom or left == right:
        raise InputError("The box is outside the image.")
    return float(top), float(left), float(bottom), float(right)


def around(*boxes: Box) -> Box:
    """The smallest box that holds others."""
    tops, lefts, bottoms, rights = zip(*boxes, strict=True)
    return min(tops), min(lefts), max(bottoms), max(rights)


def _inside(part: Tile, whole: Tile) -> tuple[slice, slice]:
    """Index of a rectangle in one that holds it."""
    return (
        slice(part.top - whole.top, part.bottom - whole.top),
        slice(part.left - whole.left, part.right - whole.left),
    )
