"""Planes that are too large to hold: read by windows, labelled in a file."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.ui.stack_result import on_disk

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_samsp.ui.planes import PlaneIndex, PlaneReader

LARGE = 50_000_000
"""A plane of more pixels is segmented strip by strip, its last iteration alone."""
FINER = 4
"""A level of a pyramid is so much finer than the next."""
OVERVIEW = 2048
"""Longest side of the coarsest level."""
ROWS_AT_ONCE = 1024


class LazyPlane:
    """A plane of which a window at a time is read.

    Parameters
    ----------
    read : PlaneReader
        Of the layer.
    plane : PlaneIndex
        Which plane.

    Attributes
    ----------
    shape : tuple of int
        ``(Y, X)``, or ``(Y, X, C)`` as ``read(plane)`` gives it.
    dtype : numpy.dtype
        The data's.
    """

    def __init__(self, read: PlaneReader, plane: PlaneIndex) -> None:
        self._read, self._plane = read, plane
        whole = tuple(int(side) for side in read.data.shape)
        sides = [n for n, index in zip(whole, plane, strict=False) if index is None]
        colours = whole[len(plane) :]
        if read.channels is not None and len(read.channels.picked) > 1:
            colours = (len(read.channels.picked),)
        self.shape: tuple[int, ...] = (*sides, *colours)
        self.dtype = np.dtype(read.data.dtype)

    @property
    def is_large(self) -> bool:
        """Whether it has more than `LARGE` pixels."""
        return prod(self.shape[:2]) > LARGE

    def __getitem__(self, window: slice | tuple[slice, ...]) -> np.ndarray:
        """Read a window: two slices, or three if there are colours."""
        parts = list(window) if isinstance(window, tuple) else [window]
        parts += [slice(None)] * (3 - len(parts))
        inside = iter(parts[:2])
        index: list[Any] = [next(inside) if at is None else at for at in self._plane]
        channels = self._read.channels
        if channels is None:
            found = np.asarray(self._read.data[tuple(index)])
            return found[..., parts[2]] if found.ndim == 3 else found
        planes = []
        for channel in channels.picked:
            index[channels.axis] = channel
            planes.append(np.asarray(self._read.data[tuple(index)]))
        one = len(planes) == 1
        return planes[0] if one else np.stack(planes, axis=-1)[..., parts[2]]


def pyramid(labels: np.ndarray, tick: Callable[[], None]) -> list[np.ndarray]:
    """Make coarser levels of labels, for napari to draw.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(Y, X)``.
    tick : callable
        Called often; what it raises ends the work.

    Returns
    -------
    list of numpy.ndarray
        The labels first, each level `FINER` times finer than the next.
    """
    levels = [labels]
    while max(levels[-1].shape) > OVERVIEW:
        fine = levels[-1]
        shape = tuple(-(-side // FINER) for side in fine.shape)
        coarse = on_disk(shape)
        for first in range(0, shape[0], ROWS_AT_ONCE):
            tick()
            last = min(first + ROWS_AT_ONCE, shape[0])
            coarse[first:last] = fine[first * FINER : last * FINER : FINER, ::FINER]
        levels.append(coarse)
    return levels
