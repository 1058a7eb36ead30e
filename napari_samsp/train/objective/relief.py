"""A map that separates touching objects: how deep in its object a pixel is.

The small model's iteration 0 learns it beside the foreground; its prompts come from the
peaks (`napari_samsp.self_prompting.instances.split_touching`). Much like the distances
of StarDist (arXiv 1806.03535) and micro-sam's decoder (Archit et al., Nature Methods
2025).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage import segmentation
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor

RELIEF_WEIGHT = 0.5
"""Weight of the relief's loss, beside 1 for iteration 0."""


def relief_of(labels: np.ndarray, size: int) -> np.ndarray:
    """Where each object is deep, and where its centre is.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(S, S)`` integers, one number per object, 0 = background.
    size : int
        Side of the result's grid.

    Returns
    -------
    numpy.ndarray
        ``(2, size, size)`` float32: the distance to the object's border in parts of its
        largest, and a bell around the place where it is that large.
    """
    out = np.zeros((2, *labels.shape), np.float32)
    if labels.any():
        border = segmentation.find_boundaries(labels, mode="inner")
        inside = (labels > 0) & ~border
        depth = ndimage.distance_transform_edt(inside) + (labels > 0)
        places = ndimage.find_objects(labels)
        for label, place in enumerate(places, start=1):
            if place is None:
                continue
            mine = labels[place] == label
            here = depth[place] * mine
            deepest = here.max()
            centre = np.unravel_index(here.argmax(), here.shape)
            y, x = (np.arange(n) - c for n, c in zip(here.shape, centre, strict=True))
            near = np.exp(-(y[:, None] ** 2 + x**2) / deepest**2)
            out[0][place] += here / deepest
            out[1][place] += near * mine
    factor = labels.shape[0] // size
    return out.reshape(2, size, factor, size, factor).mean((2, 4))


def relief_loss(logits: Tensor, relief: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy with the true relief, foreground and background alike.

    Parameters
    ----------
    logits, relief : Tensor
        ``(B, 2, m, m)``.
    weight : Tensor
        ``(B, m, m)`` in 0 to 1.

    Returns
    -------
    Tensor
        ``(B,)``; inside of objects and outside count the same.
    """
    loss = F.binary_cross_entropy_with_logits(logits, relief, reduction="none").sum(1)
    inside = weight * (relief[:, 0] > 0)
    means = [
        (loss * part).sum((-2, -1)) / part.sum((-2, -1)).clamp(min=1)
        for part in (inside, weight - inside)
    ]
    return means[0] + means[1]
