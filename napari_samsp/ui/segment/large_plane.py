"""Planes that are too large to hold: read by windows, labelled in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.data.image_source import is_large
from napari_samsp.inference.plausibility import separate_parts
from napari_samsp.ui.plane_sizes import checked
from napari_samsp.ui.segment.stack_result import StackResult, lazy_disagreement, on_disk

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.inference.results import Iteration, Written
    from napari_samsp.ui.planes import PlaneReader
    from napari_samsp.ui.segment.summary import Summary

FINER = 4
OVERVIEW = 2048
"""Longest side of the coarsest level."""
ROWS_AT_ONCE = 1024


class LazyPlane:
    """A plane of which a window at a time is read.

    Parameters
    ----------
    read : PlaneReader
        Reads planes of the layer.
    plane : PlaneIndex
        Index of the plane.

    Attributes
    ----------
    plane : PlaneIndex
        Index of the plane.
    shape : tuple of int
        ``(Y, X)``, or ``(Y, X, C)`` as ``read(plane)`` gives it.
    dtype : numpy.dtype
        dtype of the layer's data.
    """

    def __init__(self, read: PlaneReader, plane: PlaneIndex) -> None:
        self._read, self.plane = read, plane
        whole = tuple(int(side) for side in read.data.shape)
        sides = [n for n, index in zip(whole, plane, strict=False) if index is None]
        colours = whole[len(plane) :]
        if read.channels is not None and len(read.channels.picked) > 1:
            colours = (len(read.channels.picked),)
        self.shape: tuple[int, ...] = (*sides, *colours)
        self.dtype = np.dtype(read.data.dtype)

    @property
    def is_large(self) -> bool:
        """Whether it is segmented strip by strip."""
        return is_large(self.shape[:2])

    def __getitem__(self, window: slice | tuple[slice, ...]) -> np.ndarray:
        """Read a window: two slices, or three if there are colours."""
        parts = list(window) if isinstance(window, tuple) else [window]
        parts += [slice(None)] * (3 - len(parts))
        inside = iter(parts[:2])
        index: list[Any] = [next(inside) if at is None else at for at in self.plane]
        asked = [
            len(range(*part.indices(side)))
            for part, side in zip(parts, self.shape[:2], strict=False)
        ]
        channels = self._read.channels
        if channels is None:
            found = np.asarray(self._read.data[tuple(index)])
            checked(found, self.plane, asked, self.shape)
            return found[..., parts[2]] if found.ndim == 3 else found
        planes = []
        for channel in channels.picked:
            index[channels.axis] = channel
            found = np.asarray(self._read.data[tuple(index)])
            planes.append(checked(found, self.plane, asked, self.shape))
        one = len(planes) == 1
        return planes[0] if one else np.stack(planes, axis=-1)[..., parts[2]]


class LargeResult(StackResult):
    """A pyramid of labels for each iteration, in temporary files.

    Napari draws pyramids and lets nobody paint in them: the worker writes them where
    their layer shows them, and they are what was predicted.
    """

    def allocate(self) -> None:
        """As `StackResult.allocate`; ``labels`` are lists of levels, finest first.

        A level is `FINER` times finer than the next.
        """
        shapes = [self.shape]
        while max(shapes[-1][axis] for axis in self.axes) > OVERVIEW:
            shapes.append(
                tuple(
                    -(-side // FINER) if axis in self.axes else side
                    for axis, side in enumerate(shapes[-1])
                )
            )
        self.labels = [
            [on_disk(shape) for shape in shapes] for _ in range(self.iterations)
        ]

    def target(self, iteration: int, plane: PlaneIndex) -> np.ndarray:
        """Where the labels of a plane are to be written, ``(Y, X)`` int32."""
        return self._plane(iteration, plane, 0)

    def complete(
        self,
        plane: PlaneIndex,
        iteration: Iteration | Written | Summary,
        tick: Callable[[], None],
    ) -> None:
        """Make the coarser levels of a plane that is written; in the worker."""
        t = iteration.iteration
        for level in range(1, len(self.labels[t])):
            fine = self._plane(t, plane, level - 1)
            coarse = self._plane(t, plane, level)
            for first in range(0, len(coarse), ROWS_AT_ONCE):
                tick()
                rows = slice(first, first + ROWS_AT_ONCE)
                coarse[rows] = fine[::FINER, ::FINER][rows]
        super().complete(plane, iteration, tick)

    def show(self, iteration: int, plane: PlaneIndex, labels: np.ndarray) -> None:
        """Do nothing: the labels are where the layer shows them."""

    def prediction(self, iteration: int, plane: PlaneIndex) -> np.ndarray | None:
        """As `StackResult.prediction`, read where it is looked at."""
        return self.target(iteration, plane) if plane in self._done[iteration] else None

    def disagreement(self) -> Any:
        """As `StackResult.disagreement`, a list of levels."""
        return [lazy_disagreement(level) for level in zip(*self.labels, strict=True)]

    def parts(self, iteration: int, plane: PlaneIndex) -> int:
        """Count separate parts, as the coarsest level shows them."""
        return separate_parts(self._plane(iteration, plane, -1))

    def _plane(self, iteration: int, plane: PlaneIndex, level: int) -> np.ndarray:
        found: np.ndarray = self.labels[iteration][level][self._window(plane)]
        return found
