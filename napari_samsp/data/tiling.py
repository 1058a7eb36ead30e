"""Overlapping tiles of images that are larger than the model's input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

OVERLAP = 0.25
"""Part of a tile's side that it shares with each neighbour."""


@dataclass(frozen=True)
class Tile:
    """A rectangle of an image in pixels: ``[top:bottom, left:right]``."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.bottom - self.top, self.right - self.left

    @property
    def window(self) -> tuple[slice, slice]:
        """Index of the tile in the image."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def shifted(self, rows: int, columns: int) -> Tile:
        """A tile of the same size, moved down and to the right by so many pixels."""
        return Tile(
            self.top + rows,
            self.bottom + rows,
            self.left + columns,
            self.right + columns,
        )


class Grid:
    """Tiles that cover an image, and the weight of each of their pixels.

    The tiles are of equal size, evenly spread, and overlap by at least `OVERLAP`
    where there are several.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the image.
    size : int or None
        Side of a tile; None gives one tile, the whole image.

    Attributes
    ----------
    tiles : list of Tile
        Row by row.
    """

    def __init__(self, shape: tuple[int, int], size: int | None) -> None:
        self.shape = shape
        self._rows, self._columns = (_Axis(side, size or side) for side in shape)
        self.tiles = [
            Tile(top, top + self._rows.size, left, left + self._columns.size)
            for top in self._rows.starts
            for left in self._columns.starts
        ]

    @property
    def height(self) -> int:
        """Height of every tile in pixels."""
        return self._rows.size

    def at(self, row: float, column: float) -> Tile:
        """The tile whose core holds a place of the image, or is nearest to it."""
        top, left = self._rows.at(row), self._columns.at(column)
        return Tile(top, top + self._rows.size, left, left + self._columns.size)

    def weight(self, tile: Tile) -> np.ndarray:
        """How much each pixel of a tile counts, ``(Y, X)`` float32.

        It fades towards the tile's border. In every pixel of the image the weights of
        all tiles add up to 1.
        """
        return np.outer(self._rows.weights[tile.top], self._columns.weights[tile.left])

    def core(self, tile: Tile) -> tuple[slice, slice]:
        """The part of a tile that it decides: up to the middle of each overlap.

        The cores of all tiles divide the image.
        """
        return self._rows.cores[tile.top], self._columns.cores[tile.left]

    def covered_before(self, tile: Tile) -> list[tuple[slice, slice]]:
        """The parts of a tile that earlier tiles cover: above it, and to its left."""
        rows = self._rows.covered[tile.top]
        columns = slice(0, self._columns.covered[tile.left])
        return [(slice(0, rows), slice(None)), (slice(rows, None), columns)]

    def inner_borders(self, tile: Tile) -> list[tuple[slice | int, slice | int]]:
        """Indices of a tile's outermost rows and columns that are inside the image."""
        every, (height, width) = slice(None), self.shape
        lines: list[tuple[bool, tuple[slice | int, slice | int]]] = [
            (tile.top > 0, (0, every)),
            (tile.bottom < height, (-1, every)),
            (tile.left > 0, (every, 0)),
            (tile.right < width, (every, -1)),
        ]
        return [line for inside, line in lines if inside]


class _Axis:
    """The tiles along one axis, each known by where it starts."""

    def __init__(self, side: int, size: int) -> None:
        self.size = min(side, size)
        self.starts = _starts(side, size)
        position = np.arange(self.size)
        depth = np.minimum(position, self.size - 1 - position) + 1
        fade = np.minimum(depth / max(1, OVERLAP * self.size / 2), 1)
        total = np.zeros(side)
        for start in self.starts:
            total[start : start + self.size] += fade
        self.weights: dict[int, np.ndarray] = {}
        self.cores: dict[int, slice] = {}
        self.covered: dict[int, int] = {}
        last = len(self.starts) - 1
        for n, start in enumerate(self.starts):
            here = slice(start, start + self.size)
            self.weights[start] = (fade / total[here]).astype(np.float32)
            before = self.starts[n - 1] + self.size - start if n else 0
            after = start + self.size - self.starts[n + 1] if n < last else 0
            self.covered[start] = before
            self.cores[start] = slice(before // 2, self.size - (after + 1) // 2)

    def at(self, place: float) -> int:
        """Where the tile starts whose core holds a place."""
        ends = (start + self.cores[start].stop for start in self.starts)
        return next(
            (
                start
                for start, end in zip(self.starts, ends, strict=True)
                if place < end
            ),
            self.starts[-1],
        )


def _starts(side: int, size: int) -> list[int]:
    if side <= size:
        return [0]
    count = 1 + int(np.ceil((side - size) / (size * (1 - OVERLAP))))
    return np.linspace(0, side - size, count).round().astype(int).tolist()
