"""Slices of a stack that take their first prompt from the slice before.

An object hardly changes from one slice to the next, so the result of the slice before
may say more than no prompt. What is new is still found without one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_samsp.self_prompting.decoding import Decoding
from napari_samsp.self_prompting.instances import cut_at_necks, objects_of
from napari_samsp.self_prompting.letterbox import valid_cells
from napari_samsp.self_prompting.model import only_best_class
from napari_samsp.self_prompting.prompts import OUTSIDE_LOGIT

if TYPE_CHECKING:
    from torch import Tensor

    from napari_samsp.data.tiling import Tile
    from napari_samsp.self_prompting.model import SelfPrompting

LARGEST_JUMP = 2.0
"""What grows or shrinks by more from slice to slice is not taken for the same."""
COVERED = 0.5
"""Of what is found without a prompt, that of which less is known is new."""


def seen_before(
    model: SelfPrompting,
    labels: np.ndarray,
    logits: np.ndarray,
    tiles: list[Tile],
    valid: Tensor,
) -> tuple[Tensor, Tensor]:
    """What the slice before says about tiles, on the model's low-res grid.

    Parameters
    ----------
    model : SelfPrompting
        The model whose low-res grid is meant.
    labels, logits : numpy.ndarray
        ``(Y, X)`` of the slice before, from its last iteration.
    tiles : list of Tile
        The B tiles of this slice.
    valid : Tensor
        ``(B, 2)`` int, unpadded height and width in input pixels.

    Returns
    -------
    tuple of Tensor
        ``(B, m, m)`` int64 labels and ``(B, m, m)`` float32 logits.
    """
    labels_seen, logits_seen = [], []
    centres = (np.arange(model.mask_size) + 0.5) * model.stride
    for tile, sides in zip(tiles, valid.tolist(), strict=True):
        rows, columns = (
            np.minimum(centres * length / side, length - 1).astype(np.int64) + first
            for length, side, first in zip(
                tile.shape, sides, (tile.top, tile.left), strict=True
            )
        )
        at = np.ix_(rows, columns)
        labels_seen.append(torch.from_numpy(labels[at].astype(np.int64)))
        logits_seen.append(torch.from_numpy(logits[at]))
    device = valid.device
    return torch.stack(labels_seen).to(device), torch.stack(logits_seen).to(device)


def follow(
    model: SelfPrompting,
    embeddings: Tensor,
    valid: Tensor,
    labels: Tensor,
    logits: Tensor,
    kinds: Tensor | None = None,
) -> Decoding:
    """Iteration 0, prompted by what was seen before.

    Of an image in which no prompt counts, as `followed` says, and with objects where
    none is, iteration 0 is the one without a prompt. With several classes each class
    follows itself, or each object in its class.

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
    kinds : Tensor, optional
        ``(B, m, m)`` int64, the class's label of each cell. Default: labels are those
        of classes.

    Returns
    -------
    Decoding
        One map an image, or with objects one an object; with K classes and without
        objects K an image.
    """
    free = model.decode_unprompted(embeddings, relief=model.objects)
    count = model.class_count
    valid = valid.repeat_interleave(count, 0)
    labels, logits = _of_each_class(model, labels, logits, kinds)
    inside = valid_cells(valid, model.mask_size, model.stride)
    known = followed(model, embeddings, valid, labels, logits)
    maps, scores, index = known.logits, known.scores, known.image_index
    if not model.objects:
        return Decoding(
            free.logits.index_copy(0, index, maps),
            free.scores.index_copy(0, index, scores),
            free.image_index,
        )
    if free.distances is None:
        shown = only_best_class(free.logits.masked_fill(~inside, OUTSIDE_LOGIT), count)
        parts = cut_at_necks(shown)
    else:
        parts = model.parts(free, valid)
    return _with_new_objects(free, parts, maps, scores, index, count)


def followed(
    model: SelfPrompting,
    embeddings: Tensor,
    valid: Tensor,
    labels: Tensor,
    logits: Tensor,
) -> Decoding:
    """Decode what was seen before, and nothing else.

    A prompt whose answer is empty, or of quite another size than what it was made
    from, has lost its object and does not count.

    Parameters
    ----------
    model, embeddings, valid, labels, logits
        As for `follow`; or K entries an image, each of one class.

    Returns
    -------
    Decoding
        The maps that count, possibly none; with objects one an object.
    """
    inside = valid_cells(valid, model.mask_size, model.stride)
    prompt, index, regions = model.prompts_of(labels, logits, valid)
    known = regions.flatten(1).any(1)
    prompt, index, regions = prompt.select(known), index[known], regions[known]
    if not len(index):
        return Decoding(logits[:0], logits.new_zeros(0), index)
    of_classes = len(labels) > len(embeddings)
    decode = model.decode_entries if of_classes else model.decode
    found = decode(embeddings, index, prompt, regions)
    answers = (found.logits > 0) & inside[index]
    sizes = [one.flatten(1).sum(1).float() for one in (answers, regions)]
    change = sizes[0] / sizes[1]
    counts = (change >= 1 / LARGEST_JUMP) & (change <= LARGEST_JUMP)
    return Decoding(found.logits[counts], found.scores[counts], index[counts])


def _of_each_class(
    model: SelfPrompting, labels: Tensor, logits: Tensor, kinds: Tensor | None
) -> tuple[Tensor, Tensor]:
    """``(B * K, m, m)``: the labels of one class an entry, and the logits of all."""
    kinds = labels if kinds is None else kinds
    count = model.class_count
    if count == 1:
        return labels, logits
    wanted = torch.tensor(model.class_labels, device=labels.device).repeat(len(labels))
    labels, logits, kinds = (
        each.repeat_interleave(count, 0) for each in (labels, logits, kinds)
    )
    return labels * (kinds == wanted[:, None, None]), logits


def _with_new_objects(
    free: Decoding,
    parts: Tensor,
    maps: Tensor,
    scores: Tensor,
    index: Tensor,
    classes: int,
) -> Decoding:
    """Maps of known objects, and a map of each part that only ``free`` shows.

    What is known in one class is not new in another.
    """
    taken = torch.zeros_like(parts, dtype=torch.bool)
    for n, b in enumerate(index.tolist()):
        taken[b] |= maps[n] > 0
    taken = taken.unflatten(0, (-1, classes)).any(1).repeat_interleave(classes, 0)
    new, where = objects_of(parts)
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
