"""Objects keep their numbers from slice to slice of a stack.

What a slice takes as prompts from the one before is in
`napari_samsp.self_prompting.propagation`. Needs no torch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.inference.results import Iteration


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
            The same. Objects that go on from the slice before have their numbers
            there, and others have numbers that no slice has had.
        """
        if self._axis is None:
            return iteration
        if self._objects:
            before = self.before(index)
            known = None if before is None else before.labels
            labels = continued(iteration.labels, known, self._highest)
            iteration = replace(iteration, labels=labels)
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
    table = np.zeros(int(labels.max()) + 1, np.int32)
    if before is not None:
        both = (labels > 0) & (before > 0)
        ones = np.ones(np.count_nonzero(both), np.int64)
        shape = (len(table), int(before.max()) + 1)
        shared = sparse.coo_matrix((ones, (labels[both], before[both])), shape).tocsr()
        best = shared.argmax(axis=1).A1
        back = shared.argmax(axis=0).A1
        known = np.flatnonzero(np.diff(shared.indptr))
        known = known[back[best[known]] == known]
        table[known] = best[known]
    present = np.unique(labels)
    new = present[(present > 0) & (table[present] == 0)]
    table[new] = highest + 1 + np.arange(len(new), dtype=np.int32)
    return table[labels]
