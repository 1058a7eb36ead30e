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
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    @property
    def window(self) -> tuple[slice, slice]:
        """Index of the tile in the image."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def tile_image(shape: tuple[int, int], size: int | None) -> list[Tile]:
    """Cover an image.

    Parameters
    ----------
    shape : tuple of int
        Height and width.
    size : int or None
        Side of a tile; None gives one tile, the whole image.

    Returns
    -------
    list of Tile
        Row by row. They are of equal size, evenly spread, and overlap by at least
        `OVERLAP` where there are several.
    """
    if size is None:
        return [Tile(0, shape[0], 0, shape[1])]
    rows, cols = (_starts(side, size) for side in shape)
    return [
        Tile(top, min(top + size, shape[0]), left, min(left + size, shape[1]))
        for top in rows
        for left in cols
    ]


def _starts(side: int, size: int) -> list[int]:
    if side <= size:
        return [0]
    count = 1 + int(np.ceil((side - size) / (size * (1 - OVERLAP))))
    return np.linspace(0, side - size, count).round().astype(int).tolist()


def blend(
    tiles: list[Tile], maps: list[np.ndarray], shape: tuple[int, int]
) -> np.ndarray:
    """Average overlapping maps, each fading towards its tile's border.

    Parameters
    ----------
    tiles : list of Tile
        From `tile_image`.
    maps : list of numpy.ndarray
        ``(Y, X)`` float32 each, of its tile's size.
    shape : tuple of int
        Height and width of the image.

    Returns
    -------
    numpy.ndarray
        ``(Y, X)`` float32.
    """
    if len(tiles) == 1:
        return maps[0]
    total, weights = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for tile, values in zip(tiles, maps, strict=True):
        weight = np.minimum.outer(*(_fade(side) for side in tile.shape))
        total[tile.window] += weight * values
        weights[tile.window] += weight
    return total / weights


def _fade(side: int) -> np.ndarray:
    position = np.arange(side)
    depth = np.minimum(position, side - 1 - position) + 1
    return np.minimum(depth / max(1, OVERLAP * side / 2), 1).astype(np.float32)


def join_objects(
    tiles: list[Tile], labels: list[np.ndarray], shape: tuple[int, int]
) -> np.ndarray:
    """Join instance labels across tiles.

    Two objects of neighbouring tiles are one where they share more than half of the
    smaller one's pixels in the overlap. Of an object that is cut by a tile's inner
    border and that another tile shows whole, the whole one wins by the same rule.

    Parameters
    ----------
    tiles : list of Tile
        From `tile_image`.
    labels : list of numpy.ndarray
        ``(Y, X)`` integers each, of its tile's size, 0 = background.
    shape : tuple of int
        Height and width of the image.

    Returns
    -------
    numpy.ndarray
        ``(Y, X)`` int32, labels 1, 2, ... without gaps.
    """
    canvas = np.zeros(shape, np.int64)
    highest = 0
    for tile, part in zip(tiles, labels, strict=True):
        seen = canvas[tile.window]
        part = np.where(part > 0, part.astype(np.int64) + highest, 0)
        for label in np.unique(part[part > 0]):
            mine = part == label
            below = seen[mine]
            below = below[below > 0]
            if not len(below):
                seen[mine] = label
                continue
            other = np.bincount(below).argmax()
            overlap = np.count_nonzero(below == other)
            whole = seen == other
            if 2 * overlap > min(np.count_nonzero(mine), np.count_nonzero(whole)):
                seen[mine & (seen == 0)] = other
            else:
                seen[mine & (seen == 0)] = label
        highest = max(highest, int(part.max(initial=0)))
    _, numbered = np.unique(canvas, return_inverse=True)
    numbered = numbered.reshape(shape).astype(np.int32)
    return numbered if (canvas == 0).any() else numbered + 1
