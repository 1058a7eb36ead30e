"""Slices of a stack that take their first prompt from the slice before.

An object hardly changes from one slice to the next, so what the slice before came to
may say more than no prompt. What is new is still found without one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse

from napari_samsp.self_prompting.decoding import Decoding
from napari_samsp.self_prompting.instances import cut_at_necks, objects_of
from napari_samsp.self_prompting.letterbox import valid_cells
from napari_samsp.self_prompting.prompts import OUTSIDE_LOGIT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from napari_samsp.data.tiling import Tile
    from napari_samsp.inference.sliding_window import Iteration
    from napari_samsp.self_prompting.model import SelfPrompting

SliceIndex = tuple[int | None, ...]
LARGEST_JUMP = 2.0
"""What grows or shrinks by more from slice to slice is not taken for the same."""
COVERED = 0.5
"""Of what is found without a prompt, that of which less is known is new."""


class SliceFollower:
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
        self, slices: Iterable[SliceIndex], axis: int | None, objects: bool
    ) -> None:
        self._axis, self._objects = axis, objects
        self._to_come = set(slices)
        self._done: dict[SliceIndex, Iteration] = {}
        self._highest = 0

    def before(self, index: SliceIndex) -> Iteration | None:
        """What a slice follows.

        Parameters
        ----------
        index : tuple
            Of the slice.

        Returns
        -------
        Iteration or None
            The last one of its neighbour, None if it starts anew.
        """
        found = (self._done.get(near) for near in self._neighbours(index))
        return next((iteration for iteration in found if iteration is not None), None)

    def take(self, index: SliceIndex, iteration: Iteration) -> Iteration:
        """Note an iteration of a slice.

        Parameters
        ----------
        index : tuple
            Of the slice.
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

    def _neighbours(self, index: SliceIndex) -> list[SliceIndex]:
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


def seen_before(
    model: SelfPrompting, before: Iteration, tiles: list[Tile], valid: Tensor
) -> tuple[Tensor, Tensor]:
    """What the slice before says about tiles, on the model's low-res grid.

    Parameters
    ----------
    model : SelfPrompting
        Whose grid.
    before : Iteration
        The last one of the slice before.
    tiles : list of Tile
        B of them.
    valid : Tensor
        ``(B, 2)`` int, unpadded height and width in input pixels.

    Returns
    -------
    tuple of Tensor
        ``(B, m, m)`` int64 labels and ``(B, m, m)`` float32 logits.
    """
    labels, logits = [], []
    centres = (np.arange(model.mask_size) + 0.5) * model.stride
    for tile, sides in zip(tiles, valid.tolist(), strict=True):
        rows, columns = (
            np.minimum(centres * length / side, length - 1).astype(np.int64) + first
            for length, side, first in zip(
                tile.shape, sides, (tile.top, tile.left), strict=True
            )
        )
        at = np.ix_(rows, columns)
        labels.append(torch.from_numpy(before.labels[at].astype(np.int64)))
        logits.append(torch.from_numpy(before.logits[at]))
    return torch.stack(labels).to(valid.device), torch.stack(logits).to(valid.device)


def follow(
    model: SelfPrompting,
    embeddings: Tensor,
    valid: Tensor,
    labels: Tensor,
    logits: Tensor,
) -> Decoding:
    """Iteration 0, prompted by what was seen before.

    A prompt whose answer is empty, or of quite another size than what it was made
    from, has lost its object and does not count. Of an image in which none counts,
    and with objects where none is, iteration 0 is the one without a prompt.

    Parameters
    ----------
    model : SelfPrompting
        In evaluation mode.
    embeddings : Tensor
        ``(B, C, h, w)``.
    valid : Tensor
        ``(B, 2)`` int, unpadded height and width in input pixels.
    labels, logits : Tensor
        ``(B, m, m)``, of `seen_before`.

    Returns
    -------
    Decoding
        One map an image, or with objects one an object.
    """
    free = model.decode_freely(embeddings)
    inside = valid_cells(valid, model.mask_size, model.stride)
    prompt, index, regions = model.prompts_of(labels, logits, valid)
    known = regions.flatten(1).any(1)
    prompt, index, regions = prompt.select(known), index[known], regions[known]
    if len(index):
        followed = model.decode(embeddings, index, prompt, regions)
        found = (followed.logits > 0) & inside[index]
        sizes = [one.flatten(1).sum(1).float() for one in (found, regions)]
        change = sizes[0] / sizes[1]
        counts = (change >= 1 / LARGEST_JUMP) & (change <= LARGEST_JUMP)
        maps, scores, index = (
            one[counts] for one in (followed.logits, followed.scores, index)
        )
    else:
        maps, scores = free.logits[:0], free.scores[:0]
    if not model.objects:
        return Decoding(
            free.logits.index_copy(0, index, maps),
            free.scores.index_copy(0, index, scores),
            free.image_index,
        )
    return _with_new_objects(free, maps, scores, index, inside)


def _with_new_objects(
    free: Decoding, maps: Tensor, scores: Tensor, index: Tensor, inside: Tensor
) -> Decoding:
    """Maps of known objects, and a map of each that only ``free`` shows."""
    taken = torch.zeros_like(inside)
    for n, b in enumerate(index.tolist()):
        taken[b] |= maps[n] > 0
    new, where = objects_of(
        cut_at_necks(free.logits.masked_fill(~inside, OUTSIDE_LOGIT))
    )
    shared = (new & taken[where]).flatten(1).sum(1) / new.flatten(1).sum(1)
    new, where = new[shared < COVERED], where[shared < COVERED]
    background = (free.logits <= 0)[where]
    logits = torch.where(new | background, free.logits[where], OUTSIDE_LOGIT)
    return Decoding(
        torch.cat([maps, logits]),
        torch.cat([scores, free.scores[where]]),
        torch.cat([index, where]),
        regions=torch.cat([maps > 0, new]),
    )
