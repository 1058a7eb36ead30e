"""The targets of a batch, on the low-res grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_samsp.self_prompting.letterbox import valid_cells
from napari_samsp.train.objective.losses import (
    coverage,
    decoding_loss,
    match_objects,
    seam_mask,
)
from napari_samsp.train.objective.relief import relief_of

if TYPE_CHECKING:
    from torch import Tensor

    from napari_samsp.self_prompting.decoding import Decoding
    from napari_samsp.self_prompting.model import SelfPrompting

SCORE_WEIGHT = 0.1
"""Weight of the predicted IoU's squared error, so that `score` stays meaningful."""


class Truth:
    """The truth about a batch on the low-res grid of side m, of each image and class.

    Parameters
    ----------
    model : SelfPrompting
        With its stride, its classes, and whether it tells objects apart.
    labels : Tensor
        ``(B, S, S)`` int64, -1 where nobody labelled.
    valid : Tensor
        ``(B, 2)`` unpadded height and width.

    Attributes
    ----------
    weight : Tensor
        ``(B * K, m, m)`` in 0 to 1: the part of a cell that is known.
    whole, apart : Tensor
        ``(B * K, m, m)`` in 0 to 1: the foreground, and that of iteration 0, which
        leaves the seams between objects open.
    """

    def __init__(self, model: SelfPrompting, labels: Tensor, valid: Tensor) -> None:
        self.size, count = model.mask_size, model.class_count
        weight = valid_cells(valid, self.size, model.stride).float()
        if (labels < 0).any():
            weight = weight * coverage(labels >= 0, self.size)
        self.weight_of_images = weight
        self.weight = weight.repeat_interleave(count, 0)
        self.labels = labels = of_each_class(labels.clamp(min=0), count)
        self.whole = coverage(labels > 0, self.size)
        # With objects, iteration 0 leaves the seams between them open, unless it tells
        # them apart by their relief.
        self.apart = self.whole
        if model.objects and not model.separates:
            self.apart = coverage(seam_mask(labels), self.size)

    def targets(self, decoding: Decoding, t: int, objects: bool) -> Tensor:
        """The ``(N, m, m)`` targets of iteration ``t``'s N maps."""
        if not objects or t == 0:
            return self.apart[decoding.image_index]
        assert decoding.regions is not None
        masks, _ = match_objects(decoding.regions, decoding.image_index, self.labels)
        return coverage(masks, self.size)

    def relief(self) -> Tensor:
        """The relief of each image's objects, ``(B, 2, m, m)``, see `relief_of`."""
        found = [relief_of(image, self.size) for image in self.labels.cpu().numpy()]
        return torch.from_numpy(np.stack(found)).to(self.labels.device)

    def loss(self, decoding: Decoding, target: Tensor) -> Tensor:
        """The ``(N,)`` losses of N maps."""
        weight = self.weight[decoding.image_index]
        return decoding_loss(decoding, target, weight, SCORE_WEIGHT)[0]


def of_each_class(labels: Tensor, count: int) -> Tensor:
    """The labels of each class of each image.

    Parameters
    ----------
    labels : Tensor
        ``(B, S, S)`` int64, 0 = background; L is of the class ``(L - 1) % K``.
    count : int
        Number of classes, K.

    Returns
    -------
    Tensor
        ``(B * K, S, S)`` int64, 0 where it is not the entry's class.
    """
    if count == 1:
        return labels
    kinds = torch.arange(count, device=labels.device)[:, None, None]
    every = labels[:, None]
    mine = (every > 0) & ((every - 1) % count == kinds)
    return (every * mine).flatten(0, 1)
