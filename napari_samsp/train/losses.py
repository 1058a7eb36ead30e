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


def valid_cells(valid: Tensor, size: int, stride: int) -> Tensor:
    """Weight 1 for the low-res cells that hold image, 0 for padding.

    Parameters
    ----------
    valid : Tensor
        ``(N, 2)`` unpadded height and width in input pixels.
    size : int
        Side of the low-res grid.
    stride : int
        Input pixels per cell.

    Returns
    -------
    Tensor
        ``(N, size, size)`` float.
    """
    cells = torch.arange(size, device=valid.device) * stride
    inside = (cells < valid[:, :1])[:, :, None] & (cells < valid[:, 1:])[:, None, :]
    return inside.float()


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
    """Give each component the true object that it overlaps most.

    Parameters
    ----------
    regions : Tensor
        ``(N, m, m)`` bool components.
    image_index : Tensor
        ``(N,)`` int64.
    labels : Tensor
        ``(B, S, S)`` int64 true labels.

    Returns
    -------
    tuple of Tensor
        ``(N, S, S)`` bool targets, all False for a component without a match (it
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
