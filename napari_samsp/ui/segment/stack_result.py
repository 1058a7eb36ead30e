"""The result of a run over several planes: labels to correct, and predictions."""

from __future__ import annotations

import os
import shutil
import tempfile
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.data.plane_view import PlaneView
from napari_samsp.inference.interactive.correct_next import correction_order
from napari_samsp.ui.planes import disagreement
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    import dask.array as da

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.inference.results import Iteration, Written
    from napari_samsp.ui.segment.summary import Summary

IN_MEMORY = 2**30
"""Bytes of labels; more are in a temporary file, of which the system keeps in memory
what is looked at."""
CHUNK = 2048
"""Longest side of the pieces in which predictions are compressed."""
LABEL = np.dtype(np.int32)


class StackResult:
    """One array of labels per iteration, and the predictions beside it.

    The arrays belong to layers: they are written by the GUI's thread alone. What was
    predicted is kept apart, compressed, for corrections are compared with it; labels
    shrink to a hundredth.

    Parameters
    ----------
    shape : tuple of int
        Of the labels: one entry per data axis of the image.
    axes : tuple of int
        The two of a plane.
    iterations : int
        Number of iterations.
    """

    def __init__(
        self, shape: tuple[int, ...], axes: tuple[int, int], iterations: int
    ) -> None:
        self.shape, self.axes, self.iterations = shape, axes, iterations
        self.labels: list[Any] = []
        self.scores: dict[PlaneIndex, float] = {}
        self.looks: dict[PlaneIndex, np.ndarray] = {}
        self._predicted: list[Any] = []
        self._done: list[set[PlaneIndex]] = [set() for _ in range(iterations)]

    def allocate(self) -> None:
        """Make room; in the worker, since a file may have to be made.

        Raises
        ------
        InputError
            If the disk has no room for it.
        """
        import zarr

        in_memory = prod(self.shape) * LABEL.itemsize * self.iterations <= IN_MEMORY
        make = _zeros if in_memory else on_disk
        chunks = tuple(
            min(side, CHUNK) if axis in self.axes else 1
            for axis, side in enumerate(self.shape)
        )
        self._predicted = [
            zarr.zeros(shape=self.shape, chunks=chunks, dtype=LABEL)
            for _ in range(self.iterations)
        ]
        self.labels = [make(self.shape) for _ in range(self.iterations)]

    def target(self, iteration: int, plane: PlaneIndex) -> Any:
        """Where predicted labels are kept, compressed; in the worker.

        Parameters
        ----------
        iteration : int
            Number of the iteration, from 0.
        plane : PlaneIndex
            Index of the plane.

        Returns
        -------
        array_like
            ``(Y, X)`` int32 that takes windows.
        """
        return PlaneView(self._predicted[iteration], self._window(plane))

    def complete(
        self,
        plane: PlaneIndex,
        iteration: Iteration | Written | Summary,
        tick: Callable[[], None],
    ) -> None:
        """An iteration of a plane is written; one without objects has no score.

        Parameters
        ----------
        plane : PlaneIndex
            Index of the plane.
        iteration : Iteration, Written or Summary
            Its figures.
        tick : callable
            Called often; an exception raised by it aborts the run.
        """
        if iteration.score > 0 or plane not in self.scores:
            self.scores[plane] = iteration.score
        if iteration.look is not None:
            self.looks[plane] = iteration.look
        self._done[iteration.iteration].add(plane)

    def show(self, iteration: int, plane: PlaneIndex, labels: np.ndarray) -> None:
        """Put labels where the layer shows them; what a user painted there stays.

        Parameters
        ----------
        iteration, plane
            As for `target`.
        labels : numpy.ndarray
            ``(Y, X)``.
        """
        target = self.labels[iteration][self._window(plane)]
        np.copyto(target, labels, where=target == 0)

    def prediction(self, iteration: int, plane: PlaneIndex) -> np.ndarray | None:
        """Labels of a plane as they were predicted.

        Parameters
        ----------
        iteration : int
            Number of the iteration, from 0.
        plane : PlaneIndex
            Index of the plane.

        Returns
        -------
        numpy.ndarray or None
            ``(Y, X)``; None of a plane that was not segmented.
        """
        if plane not in self._done[iteration]:
            return None
        return np.asarray(self._predicted[iteration][self._window(plane)])

    def disagreement(self) -> Any:
        """Count, pixel by pixel, the iterations that say other than the last.

        Returns
        -------
        dask.array.Array
            uint8, of the labels' shape; a plane is computed when it is looked at.
        """
        return lazy_disagreement(self._predicted)

    def ranking(self, kept: Collection[PlaneIndex] = ()) -> list[PlaneIndex]:
        """The planes that are done, those first that are worth a correction most.

        Its predicted IoU finds bad slices better than pixels about which iterations
        disagree, which are blind to objects that merge or split.

        Parameters
        ----------
        kept : collection of PlaneIndex
            Those that were corrected; they are left out, and so are slices like them
            until the end.
        """
        done = tuple(self._done[-1])  # the worker goes on meanwhile
        left = [plane for plane in sorted(done, key=str) if plane not in kept]
        order = correction_order(
            [self.scores[plane] for plane in left],
            [self.looks.get(plane) for plane in left],
            [self.looks[plane] for plane in kept if plane in self.looks],
        )
        return [left[n] for n in order]

    @property
    def is_ranked(self) -> bool:
        """Whether any plane is done."""
        return bool(self._done[-1])

    def _window(self, plane: PlaneIndex) -> tuple[Any, ...]:
        return tuple(
            slice(None) if index is None else min(index, side - 1)
            for index, side in zip(plane, self.shape, strict=True)
        )


def lazy_disagreement(iterations: Iterable[Any]) -> da.Array:
    """As `napari_samsp.ui.planes.disagreement`, computed where it is looked at.

    Parameters
    ----------
    iterations : iterable of array_like
        Labels of equal shape, numpy or zarr, first iteration first, at least two.

    Returns
    -------
    dask.array.Array
        uint8.
    """
    import dask.array as da

    return disagreement(map(da.asarray, iterations))


def _zeros(shape: tuple[int, ...]) -> np.ndarray:
    return np.zeros(shape, LABEL)


def on_disk(shape: tuple[int, ...]) -> np.ndarray:
    """Make an array of labels in a temporary file.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.

    Returns
    -------
    numpy.ndarray
        int32 zeros; its file goes with it.

    Raises
    ------
    InputError
        If the disk has no room for it.
    """
    size = prod(shape) * LABEL.itemsize
    free = shutil.disk_usage(tempfile.gettempdir()).free
    text = (
        f"The labels need {size / 1e9:.1f} GB in {tempfile.gettempdir()}, where "
        f"{free / 1e9:.1f} GB are free: make room there, or segment fewer slices, or "
        "with fewer iterations."
    )
    if free < size:
        raise InputError(text)
    # It goes with the last reference to it, or with napari.
    with tempfile.TemporaryFile(prefix="napari-samsp-") as file:
        try:
            if hasattr(os, "posix_fallocate"):
                # A hole in a file that cannot be filled later would end napari.
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, LABEL, "w+", shape=shape)
        except OSError as error:
            raise InputError(text) from error
