"""Objects keep their numbers from slice to slice of a stack.

What a slice takes as prompts from the one before is in
`napari_samsp.self_prompting.propagation`. Needs no torch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from napari_samsp.data.training_sets.class_election import ClassElection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.inference.results import Iteration

LEAST_IOU = 0.25
"""Of two objects in slices that are linked, as cellpose's users take it."""


class SlicePropagator:
    """Hands the result of each slice of a stack to the neighbour that follows it.

    A slice follows a neighbour that was done before it: a stack may be gone through
    from its first slice, or from any one to both ends.

    Parameters
    ----------
    slices : iterable of tuple
        The indices of all slices to come.
    axis : int or None
        Entry of the indices along which slices follow each other; None: none does.
    objects : bool
        Whether labels are objects, whose numbers are kept.
    """

    def __init__(
        self, slices: Iterable[PlaneIndex], axis: int | None, objects: bool
    ) -> None:
        self._axis, self._objects = axis, objects
        self._to_come = set(slices)
        self._done: dict[PlaneIndex, Iteration] = {}
        self._highest = 0

    def before(self, index: PlaneIndex) -> Iteration | None:
        """What a slice follows.

        Parameters
        ----------
        index : tuple
            Index of the slice in the stack.

        Returns
        -------
        Iteration or None
            The last one of its neighbour, None if it starts anew.
        """
        found = (self._done.get(near) for near in self._neighbours(index))
        return next((iteration for iteration in found if iteration is not None), None)

    def take(self, index: PlaneIndex, iteration: Iteration) -> Iteration:
        """Note an iteration of a slice.

        Parameters
        ----------
        index : tuple
            Index of the slice in the stack.
        iteration : Iteration
            One of it; all of them come in order.

        Returns
        -------
        Iteration
            The same. Objects that go on from the slice before have their numbers and
            classes there, and others have numbers that no slice has had.
        """
        if self._axis is None:
            return iteration
        if self._objects:
            before = self.before(index)
            known = None if before is None else before.labels
            table = _continued(iteration.labels, known, self._highest)
            iteration = _renumbered(iteration, table)
            classes = iteration.object_classes
            if classes is not None and before is not None:
                told = before.object_classes
                assert told is not None  # one segmenter made both
                same = min(len(told), len(classes))
                going_on = (classes[:same] > 0) & (told[:same] > 0)
                classes[:same][going_on] = told[:same][going_on]
        if iteration.iteration == iteration.iterations - 1:
            self._highest = max(self._highest, int(iteration.labels.max()))
            self._to_come.discard(index)
            self._done[index] = iteration
            self._done = {
                slice_: last
                for slice_, last in self._done.items()
                if self._to_come.intersection(self._neighbours(slice_))
            }
        return iteration

    def _neighbours(self, index: PlaneIndex) -> list[PlaneIndex]:
        axis = self._axis
        if axis is None:
            return []
        at = index[axis]
        assert at is not None
        return [(*index[:axis], n, *index[axis + 1 :]) for n in (at - 1, at + 1)]


def continued(
    labels: np.ndarray, before: np.ndarray | None, highest: int
) -> np.ndarray:
    """Number the objects of a slice as in the slice before.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(Y, X)`` int32.
    before : numpy.ndarray or None
        ``(Y, X)`` int32 of the slice before.
    highest : int
        Largest number so far; those of new objects follow it.

    Returns
    -------
    numpy.ndarray
        ``(Y, X)`` int32. Two objects are the same if neither shares more pixels with
        another one.
    """
    return _continued(labels, before, highest)[labels]


class SliceLinker:
    """Gives objects that overlap from slice to slice one number, after the fact.

    As cellpose's ``stitch3D`` does, each slice having been segmented by itself; and an
    object that one slice lacks goes on after it.

    Parameters
    ----------
    axis : int or None
        Entry of the indices along which slices follow each other, in ascending order;
        None: nothing is linked.
    gap : int
        How many slices an object may be missing from.
    """

    def __init__(self, axis: int | None, gap: int = 1) -> None:
        self._axis, self._gap = axis, gap
        self._seen: dict[tuple[object, ...], dict[int, np.ndarray]] = {}
        self._highest: dict[int, int] = {}

    def take(self, index: PlaneIndex, iteration: Iteration) -> Iteration:
        """Number the objects of a slice.

        Parameters
        ----------
        index : tuple
            Index of the slice in its stack.
        iteration : Iteration
            One of it, with labels that are objects.

        Returns
        -------
        Iteration
            The same. An object has the number of the one in the slice before with
            which it shares at least `LEAST_IOU`, if neither shares more with another;
            else of one that the slice before lacks, found in the same way in those
            before; else a number that none has had.
        """
        if self._axis is None:
            return iteration
        t, at = iteration.iteration, index[self._axis]
        assert at is not None
        key = (t, *index[: self._axis], *index[self._axis + 1 :])
        seen = self._seen.setdefault(key, {})
        labels, highest = iteration.labels, self._highest.get(t, 0)
        table = np.zeros(int(labels.max(initial=0)) + 1, np.int32)
        taken: list[np.ndarray] = []
        for back in range(1, self._gap + 2):
            before = seen.get(at - back)
            if before is None:
                continue
            later = np.concatenate([np.zeros(0, np.int32), *taken])
            ended = np.where(np.isin(before, later), 0, before)
            new = np.where(table[labels] > 0, 0, labels)
            _match(table, _overlap(new, ended, len(table)), LEAST_IOU)
            taken.append(np.unique(before))
        _number_new(labels, table, highest)
        iteration = _renumbered(iteration, table)
        self._highest[t] = max(highest, int(iteration.labels.max(initial=0)))
        seen[at] = iteration.labels
        seen.pop(at - self._gap - 1, None)
        return iteration


class StackClasses:
    """Gives each object of a stack one class, whichever each slice gives it."""

    def __init__(self) -> None:
        self._elections: dict[int, ClassElection[int]] = {}

    def take(self, iteration: Iteration) -> Iteration:
        """Count the pixels of a slice.

        Parameters
        ----------
        iteration : Iteration
            One of it, with labels that are one object in all slices.

        Returns
        -------
        Iteration
            The same, with the class of every object of all slices so far, see
            `ClassElection`. After the last slice they are final.
        """
        classes = iteration.object_classes
        if classes is None:
            return iteration
        election = self._elections.setdefault(iteration.iteration, ClassElection())
        told = election.count(iteration.labels, dict(enumerate(classes.tolist())))
        elected = np.zeros(max(len(classes), *(n + 1 for n in told), 1), np.int32)
        elected[[*told]] = [*told.values()]
        return replace(iteration, object_classes=elected)


def _shared(labels: np.ndarray, before: np.ndarray, count: int) -> sparse.csr_matrix:
    """How many pixels objects share with those before, ``(count, M)``."""
    both = (labels > 0) & (before > 0)
    ones = np.ones(np.count_nonzero(both), np.int64)
    shape = (count, int(before.max(initial=0)) + 1)
    return sparse.coo_matrix((ones, (labels[both], before[both])), shape).tocsr()


def _overlap(labels: np.ndarray, before: np.ndarray, count: int) -> sparse.csr_matrix:
    """IoU of objects with those before, ``(count, M)``."""
    shared = _shared(labels, before, count).tocoo()
    ones, others = np.bincount(labels.ravel()), np.bincount(before.ravel())
    union = ones[shared.row] + others[shared.col] - shared.data
    iou = shared.data / union
    return sparse.coo_matrix((iou, (shared.row, shared.col)), shared.shape).tocsr()


def _match(table: np.ndarray, worth: sparse.csr_matrix, least: float = 0) -> None:
    """Note the numbers of pairs of which neither is worth more with another."""
    best, back = worth.argmax(axis=1).A1, worth.argmax(axis=0).A1
    known = np.flatnonzero(np.diff(worth.indptr))
    known = known[back[best[known]] == known]
    if least:
        known = known[worth.max(axis=1).toarray().ravel()[known] >= least]
    table[known] = best[known]


def _continued(
    labels: np.ndarray, before: np.ndarray | None, highest: int
) -> np.ndarray:
    """The number of each object, see `continued`."""
    table = np.zeros(int(labels.max()) + 1, np.int32)
    if before is not None:
        _match(table, _shared(labels, before, len(table)))
    _number_new(labels, table, highest)
    return table


def _number_new(labels: np.ndarray, table: np.ndarray, highest: int) -> None:
    """Give objects that have no number yet new ones after the highest."""
    present = np.unique(labels)
    new = present[(present > 0) & (table[present] == 0)]
    table[new] = highest + 1 + np.arange(len(new), dtype=np.int32)


def _renumbered(iteration: Iteration, table: np.ndarray) -> Iteration:
    """Objects, and their classes, under the numbers of a table."""
    labels, classes = table[iteration.labels], iteration.object_classes
    if classes is not None:
        known = classes[: len(table)]  # those of the highest may have been removed
        classes = np.zeros(int(table.max(initial=0)) + 1, np.int32)
        classes[table[: len(known)]] = known
        classes[0] = 0
    return replace(iteration, labels=labels, object_classes=classes)
