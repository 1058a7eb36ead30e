"""The losses of SAM-SP, on low-res logits and soft targets.

A target pixel is the fraction of the low-res cell that the object covers, so that the
border of an upsampled mask keeps its place within the cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor

    from napari_samsp.self_prompting.decoding import Decoding

SEAM = 5
"""Pixels of the model's input across a seam: wide enough to leave a low-res gap."""


def coverage(masks: Tensor, size: int) -> Tensor:
    """Downsample masks to the low-res grid by area.

    Parameters
    ----------
    masks : Tensor
        ``(N, S, S)`` bool or float.
    size : int
        Side of the low-res grid.

    Returns
    -------
    Tensor
        ``(N, size, size)`` float in 0 to 1.
    """
    return F.adaptive_avg_pool2d(masks[:, None].float(), size)[:, 0]


def seam_mask(labels: Tensor) -> Tensor:
    """The foreground without the seams between touching objects.

    Iteration 0 learns it where each object is to get a prompt of its own: objects
    that it merges would share one.

    Parameters
    ----------
    labels : Tensor
        ``(B, S, S)`` int64, 0 = background.

    Returns
    -------
    Tensor
        ``(B, S, S)`` bool.
    """
    known = labels[:, None].float()
    highest = F.max_pool2d(known, SEAM, 1, SEAM // 2)
    known = torch.where(known > 0, known, torch.inf)
    lowest = -F.max_pool2d(-known, SEAM, 1, SEAM // 2)
    return (labels > 0) & (highest == lowest)[:, 0]


def segmentation_loss(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Dice plus cross-entropy (SAM-SP, section 3, ``L_seg``).

    Parameters
    ----------
    logits, target, weight : Tensor
        ``(N, m, m)``; ``target`` and ``weight`` in 0 to 1.

    Returns
    -------
    Tensor
        ``(N,)``, so that the caller can weigh images and objects.
    """
    weighed = weight.sum((-2, -1)).clamp(min=1)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    entropy = (entropy * weight).sum((-2, -1)) / weighed
    probability = logits.sigmoid() * weight
    target = target * weight
    overlap = 2 * (probability * target).sum((-2, -1)) + 1
    total = (probability**2).sum((-2, -1)) + (target**2).sum((-2, -1)) + 1
    return entropy + 1 - overlap / total


def decoding_loss(
    decoding: Decoding, target: Tensor, weight: Tensor, score_weight: float
) -> tuple[Tensor, Tensor]:
    """Loss of a decoding: `segmentation_loss`, and the error of its predicted IoU.

    Parameters
    ----------
    decoding : Decoding
        N maps of logits with their scores.
    target, weight : Tensor
        ``(N, m, m)`` in 0 to 1.
    score_weight : float
        Weight of the squared error of the predicted IoU.

    Returns
    -------
    tuple of Tensor
        ``(N,)`` loss and ``(N,)`` true IoU.
    """
    loss = segmentation_loss(decoding.logits, target, weight)
    with torch.no_grad():
        inside = weight > 0
        said, true = (decoding.logits > 0) & inside, (target > 0.5) & inside
        union = (said | true).sum((-2, -1))
        iou = (said & true).sum((-2, -1)) / union.clamp(min=1)
    return loss + score_weight * (decoding.scores - iou).square(), iou


def distillation_loss(
    student: Tensor, teacher: Tensor, weight: Tensor, temperature: float
) -> Tensor:
    """Cross-entropy between softened probabilities (SAM-SP, ``L_distill``).

    Parameters
    ----------
    student, teacher : Tensor
        ``(N, m, m)`` logits of iteration 0 and of the last iteration. No gradient
        reaches the teacher.
    weight : Tensor
        ``(N, m, m)`` in 0 to 1.
    temperature : float
        Softens both; the result is scaled by its square, so that the gradient's size
        does not depend on it (Hinton et al., arXiv 1503.02531, section 2).

    Returns
    -------
    Tensor
        ``(N,)``, zero where the two agree.
    """
    soft = (teacher.detach() / temperature).sigmoid()
    cross = F.binary_cross_entropy_with_logits(
        student / temperature, soft, reduction="none"
    )
    entropy = -(torch.xlogy(soft, soft) + torch.xlogy(1 - soft, 1 - soft))
    loss = (cross - entropy) * temperature**2 * weight
    return loss.sum((-2, -1)) / weight.sum((-2, -1)).clamp(min=1)


def match_objects(
    regions: Tensor, image_index: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Give each region the true object that it overlaps most.

    Parameters
    ----------
    regions : Tensor
        ``(N, m, m)`` bool, what prompts were made from.
    image_index : Tensor
        ``(N,)`` int64: which of the B images each region is of.
    labels : Tensor
        ``(B, S, S)`` int64 true labels, 0 for background.

    Returns
    -------
    tuple of Tensor
        ``(N, S, S)`` bool targets, all False for a region without a match (it
        learns to vanish), and ``(N,)`` int64 the matched label, 0 for none.
    """
    size = labels.shape[-1]
    matched = torch.zeros(len(regions), dtype=torch.int64, device=labels.device)
    full = F.interpolate(regions[:, None].float(), (size, size))[:, 0] > 0
    for n, b in enumerate(image_index.tolist()):
        counts = torch.bincount(labels[b][full[n]])
        if len(counts) > 1 and counts[1:].max() > 0:
            matched[n] = counts[1:].argmax() + 1
    targets = labels[image_index] == matched[:, None, None]
    return targets & (matched > 0)[:, None, None], matched
