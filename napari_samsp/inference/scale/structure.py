"""Where in an image there is something to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_samsp.data.tiling import Tile

if TYPE_CHECKING:
    from napari_samsp.data.lazy_rgb import LazyRGB

BLOCK = 32
"""Side in pixels of the blocks whose intensities tell where structure is."""
STRIP = 1024
"""Rows of an array that are looked at together."""
CROPS, PART_OF_TILES = 6, 1 / 8
"""Crops of one size: six, or two or more where six are much of all that there are."""


class Structure:
    """Where in an image the intensities differ most, from one pass over it.

    Parameters
    ----------
    picture : numpy.ndarray or LazyRGB
        ``(Y, X, 3)`` uint8, or what gives windows of it.
    """

    def __init__(self, picture: np.ndarray | LazyRGB) -> None:
        height, width = self._shape = (picture.shape[0], picture.shape[1])
        cells = (-(-height // BLOCK), -(-width // BLOCK))
        # Of each block the number of pixels, their sum and that of their squares.
        self._sums = np.zeros((3, *cells))
        whole = Tile(0, height, 0, width)
        if isinstance(picture, np.ndarray):
            strips = range(0, height, STRIP)
            windows = [(slice(at, at + STRIP), slice(0, width)) for at in strips]
        else:
            windows = picture.blocks(whole)
        for rows, columns in windows:
            gray = picture[rows, columns].mean(-1, dtype=np.float32)
            for sums, values in zip(
                self._sums, (np.ones_like(gray), gray, gray**2), strict=True
            ):
                for axis, span in enumerate((rows, columns)):
                    starts = np.arange(span.start // BLOCK, -(-span.stop // BLOCK))
                    starts = (starts * BLOCK - span.start).clip(0)
                    starts = starts[starts < values.shape[axis]]
                    values = np.add.reduceat(values, starts, axis, dtype=np.float64)
                top, left = rows.start // BLOCK, columns.start // BLOCK
                h, w = values.shape
                sums[top : top + h, left : left + w] += values

    def places(self, side: int) -> list[Tile]:
        """Places to look at, those with most structure first.

        Parameters
        ----------
        side : int
            Of each square in pixels.

        Returns
        -------
        list of Tile
            From one to `CROPS`, which hardly overlap; as high and wide as the image
            where that is less.
        """
        height, width = self._shape
        cells = max(1, round(side / BLOCK))
        rows, columns = (min(cells, n) for n in self._sums.shape[1:])
        total = self._sums.cumsum(1).cumsum(2)
        total = np.pad(total, ((0, 0), (1, 0), (1, 0)))
        pixels, first, second = (
            total[:, rows:, columns:]
            - total[:, :-rows, columns:]
            - total[:, rows:, :-columns]
            + total[:, :-rows, :-columns]
        )
        variance = second / pixels - (first / pixels) ** 2
        tiles = height * width / side**2
        chosen = []
        for _ in range(max(2, min(CROPS, int(PART_OF_TILES * tiles)))):
            row, column = np.unravel_index(variance.argmax(), variance.shape)
            if variance[row, column] == -np.inf:
                break
            top = max(0, min(int(row) * BLOCK, height - side))
            left = max(0, min(int(column) * BLOCK, width - side))
            chosen.append(
                Tile(top, min(top + side, height), left, min(left + side, width))
            )
            variance[
                max(0, row - rows + 1) : row + rows,
                max(0, column - columns + 1) : column + columns,
            ] = -np.inf
        return chosen
