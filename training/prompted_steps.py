"""What a step of pretraining asks: no prompt, a user's prompts, the model's own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_samsp.self_prompting.letterbox import valid_cells
from napari_samsp.self_prompting.prompts import Prompt, boxes_of, deepest_points
from napari_samsp.train.objective.losses import coverage, decoding_loss, match_objects
from napari_samsp.train.objective.objective import jitter
from napari_samsp.train.objective.relief import RELIEF_WEIGHT, relief_loss

if TYPE_CHECKING:
    from mixture import Sample

    from napari_samsp.self_prompting.decoding import Decoding
    from napari_samsp.self_prompting.model import SelfPrompting

PROMPTS = {"box": 0.35, "points": 0.35, "box+mask": 0.1, "mask": 0.1, "box+points": 0.1}
"""Kinds of a user's first prompt, and how often each is asked."""
OBJECTS_PER_IMAGE = 2
EVERYTHING = 0.15
"""So often the target of a prompt is all of the foreground."""
OWN_OBJECTS = 16
"""Objects of the model's own that a step draws."""
CLICKS = (0.7, 0.4)
"""How often a second and a third prompt follow: a click where the mask is wrong."""
PROMPT_ERRORS = 20.0
"""Logits. Regions of the model's own are disturbed by so much before they are prompts;
objects are cut by a guess, and err by themselves."""
BLOBS = 8
"""Errors are blobs, so many along a side."""


def step_loss(
    model: SelfPrompting, batch: Sample, kind: str, objects: bool, clicks: int
) -> dict[str, Tensor]:
    """The losses of one batch.

    Parameters
    ----------
    model : SelfPrompting
        Its ``objects`` is set.
    batch : Sample
        B views.
    kind : str
        A key of `PROMPTS`.
    objects : bool
        Whether the model's own prompts are objects, or the one region.
    clicks : int
        Clicks that follow the first prompt.

    Returns
    -------
    dict of str to Tensor
        Losses; what ends with ``_error`` is one minus IoU, to be logged.
    """
    embeddings = model.encode(batch.image)
    weight = valid_cells(batch.valid, model.mask_size, model.stride).float()
    first = model.decode_unprompted(embeddings)
    return {
        **unprompted_losses(first, batch, weight),
        **user_losses(model, embeddings, batch, weight, kind, clicks),
        **own_losses(model, embeddings, batch, weight, first, objects),
    }


def unprompted_losses(
    first: Decoding, batch: Sample, weight: Tensor
) -> dict[str, Tensor]:
    """Losses of the decoding without a prompt: its mask, and the objects' relief.

    Parameters
    ----------
    first : Decoding
        One map an image, with its ``separation``.
    batch : Sample
        B views.
    weight : Tensor
        ``(B, m, m)``, 0 in the padding.
    """
    whole = coverage(batch.labels > 0, weight.shape[-1])
    assert first.separation is not None
    relief = relief_loss(first.separation, batch.relief, weight)
    known = batch.instances.float()
    return {
        **judged("none", first, whole, weight, batch.unprompted.float()),
        "relief": RELIEF_WEIGHT * (relief * known).sum() / known.sum().clamp(min=1),
    }


def user_losses(
    model: SelfPrompting,
    embeddings: Tensor,
    batch: Sample,
    weight: Tensor,
    kind: str,
    clicks: int,
) -> dict[str, Tensor]:
    """Losses of a user's prompts, and of the clicks that follow them.

    Parameters
    ----------
    model, batch, kind, clicks
        As for `step_loss`.
    embeddings : Tensor
        ``(B, C, h, w)``.
    weight : Tensor
        ``(B, m, m)``, 0 in the padding.
    """
    prompt, masks, index = true_prompts(batch, kind, model)
    if not len(index):
        return {}
    target, weight = coverage(masks, model.mask_size), weight[index]
    found = model.decode(embeddings, index, prompt)
    losses = judged("true", found, target, weight)
    for n in range(clicks):
        prompt = with_click(prompt, found, target, weight, model.stride)
        found = model.decode(embeddings, index, prompt)
        losses |= judged(f"click{n + 1}", found, target, weight)
    return losses


def own_losses(
    model: SelfPrompting,
    embeddings: Tensor,
    batch: Sample,
    weight: Tensor,
    first: Decoding,
    objects: bool,
) -> dict[str, Tensor]:
    """Losses of the model's own prompts: its objects, or the one region.

    Parameters
    ----------
    model, batch, objects
        As for `step_loss`.
    embeddings : Tensor
        ``(B, C, h, w)``.
    weight : Tensor
        ``(B, m, m)``, 0 in the padding.
    first : Decoding
        Without a prompt; its output becomes the prompts.
    """
    size = model.mask_size
    if not objects:
        errors = prompt_errors(len(batch.labels), size)
        first = replace(first, logits=first.logits + errors)
    prompt, index, regions = own_prompts(model, first, batch.valid, objects)
    if not len(index):
        return {}
    found = model.decode(embeddings, index, prompt, regions)
    if objects:
        matched, _ = match_objects(regions, index, batch.labels)
        target = coverage(matched, size)
        return judged("own_objects", found, target, weight[index])
    whole = coverage(batch.labels > 0, size)
    return judged("own", found, whole, weight[index], batch.unprompted.float())


def judged(
    name: str,
    found: Decoding,
    target: Tensor,
    weight: Tensor,
    counts: Tensor | None = None,
) -> dict[str, Tensor]:
    """The mean loss of decodings, and one minus their IoU.

    Parameters
    ----------
    name : str
        Key of the loss; that of the other ends with ``_error``.
    found : Decoding
        N decodings.
    target, weight : Tensor
        ``(N, m, m)`` in 0 to 1.
    counts : Tensor, optional
        ``(N,)``, 0 for decodings that are left out of the mean; default: all count.
    """
    loss, iou = decoding_loss(found, target, weight, 1.0)
    counts = torch.ones(len(loss)) if counts is None else counts
    total = counts.sum().clamp(min=1)
    return {
        name: (loss * counts).sum() / total,
        f"{name}_error": 1 - (iou * counts).sum() / total,
    }


def own_prompts(
    model: SelfPrompting, first: Decoding, valid: Tensor, objects: bool
) -> tuple[Prompt, Tensor, Tensor]:
    """Prompts of the model's own output, of at most `OWN_OBJECTS` objects.

    Returns
    -------
    tuple
        N prompts, their image index and the ``(N, m, m)`` regions that they are of.
    """
    model.objects = objects
    prompt, index, regions = model.next_prompt(first, valid)
    if objects:
        pick = torch.randperm(len(index))[:OWN_OBJECTS]
        prompt, index, regions = prompt.select(pick), index[pick], regions[pick]
    return prompt, index, regions


def true_prompts(
    batch: Sample, kind: str, model: SelfPrompting
) -> tuple[Prompt, Tensor, Tensor]:
    """Prompts of random objects, with the errors that a user makes.

    Fine-tuning rehearses boxes alone, of objects that are drawn alike and by the seed
    of their image, see `napari_samsp.train.objective.objective.true_boxes`: its images
    come from one user, and it only has to keep what is learnt here. Here every kind of
    prompt is learnt, on images of which some show hundreds of specks.

    Returns
    -------
    tuple
        The prompts of N objects, their ``(N, S, S)`` bool masks and image index.
    """
    targets, index = [], []
    for b, image in enumerate(batch.labels):
        present, areas = image[image > 0].unique(return_counts=True)
        if not len(present):
            continue
        # Drawn alike, the many that are hardly to be seen would be most prompts.
        drawn = torch.multinomial(areas.sqrt(), OBJECTS_PER_IMAGE, replacement=True)
        for label in present[drawn]:
            everything = bool(batch.unprompted[b]) and torch.rand(()) < EVERYTHING
            targets.append(image > 0 if everything else image == label)
            index.append(b)
    if not targets:
        none = batch.labels[:0] > 0
        return Prompt(), none, torch.zeros(0, dtype=torch.int64)
    masks, image_index = torch.stack(targets), torch.tensor(index)
    low = coverage(masks, model.mask_size)
    names = kind.split("+")
    boxes = points = labels = dense = None
    if "box" in names:
        true = boxes_of(masks, 1, batch.valid[image_index])
        boxes = jitter(true, torch.randn_like(true), masks.shape[-1])
    if "points" in names:
        points = points_in(low > 0.5, low, model.stride)
        labels = torch.ones(len(points), 1)
    if "mask" in names:
        dense = degraded(low)[:, None]
    return Prompt(boxes, points, dense, labels), masks, image_index


def points_in(where: Tensor, low: Tensor, stride: int) -> Tensor:
    """A pixel of each ``(N, m, m)`` mask, half of the time its deepest, as x and y."""
    size = low.shape[-1]
    noise = torch.rand(low.shape) * (where + 1e-3 * low)
    y_x = noise.flatten(1).argmax(1)
    anywhere = torch.stack([y_x % size, y_x // size], -1)[:, None] + 0.5
    use_deepest = torch.rand(len(low), 1, 1) < 0.5
    return torch.where(use_deepest, deepest_points(where, stride), anywhere * stride)


def with_click(
    prompt: Prompt, found: Decoding, target: Tensor, weight: Tensor, stride: int
) -> Prompt:
    """The prompt, a click where the mask that it gave is wrong, and that mask.

    Parameters
    ----------
    prompt : Prompt
        Of N decodings.
    found : Decoding
        What it gave.
    target, weight : Tensor
        ``(N, m, m)`` in 0 to 1.
    stride : int
        Input pixels per low-res pixel.

    Returns
    -------
    Prompt
        The click is inside (1) where foreground is missing, outside (0) where there is
        too much; where nothing is wrong it is anywhere in the target.
    """
    true = target > 0.5
    wrong = (true != (found.logits.detach() > 0)) & (weight > 0)
    wrong = torch.where(wrong.flatten(1).any(1)[:, None, None], wrong, true)
    click = points_in(wrong, target, stride)
    column, row = (click[:, 0] / stride).long().unbind(-1)
    label = true[torch.arange(len(true)), row, column].float()[:, None]
    points, labels = click, label
    if prompt.points is not None:
        points = torch.cat([prompt.points, click], 1)
        labels = torch.cat([prompt.point_labels, label], 1)
    masks = found.logits.detach()[:, None]
    return replace(prompt, points=points, point_labels=labels, masks=masks)


def degraded(low: Tensor) -> Tensor:
    """Low-res logits such as an unsure model gives: shifted border, noise, softness."""
    n, size, _ = low.shape
    blurred = F.avg_pool2d(low[:, None], 5, 1, 2)
    field = F.interpolate(
        torch.randn(n, 1, size // 16, size // 16), (size, size), mode="bilinear"
    )
    shift = 0.25 * torch.randn(n, 1, 1, 1) + 0.3 * field
    return ((blurred - 0.5 + shift) * (4 + 12 * torch.rand(n, 1, 1, 1)))[:, 0]


def prompt_errors(count: int, size: int) -> Tensor:
    """What is added to outputs before they become prompts, so that some are wrong.

    Returns ``(count, size, size)`` logits: blobs and a shift, of a random strength up
    to `PROMPT_ERRORS`; half of the outputs are spared.
    """
    blobs = torch.randn(count, 1, BLOBS, BLOBS)
    blobs = F.interpolate(blobs, (size, size), mode="bicubic")[:, 0]
    shift = torch.randn(count, 1, 1) / 2
    strength = (2 * torch.rand(count, 1, 1) - 1).clamp(min=0)
    return PROMPT_ERRORS * strength * (blobs + shift)
