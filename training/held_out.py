"""Figures of a model in pretraining, on images of every set that it never sees.

The image is seen whole. Clicks are simulated as usual: the first at the deepest pixel
of the object, each next at the deepest pixel of the largest error.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from domains import DOMAINS, split
from scipy import ndimage
from skimage import measure
from torch import Tensor

from napari_samsp.data.image_files import read_image, read_labels
from napari_samsp.data.rgb import to_rgb8
from napari_samsp.self_prompting.letterbox import valid_cells
from napari_samsp.self_prompting.prompts import Prompt, boxes_of
from napari_samsp.train.examples.augment import Augmentation
from napari_samsp.train.objective.losses import coverage

if TYPE_CHECKING:
    from napari_samsp.self_prompting.model import SelfPrompting

OBJECTS = 4
"""Objects of an image that get prompts: the largest, a quarter down, ..."""


@torch.inference_mode()
def held_out_figures(
    model: SelfPrompting, data: Path, images: int = 3, clicks: int = 5
) -> dict[str, dict[str, float]]:
    """Measure a model on each of `DOMAINS`.

    Parameters
    ----------
    model : SelfPrompting
        In evaluation mode.
    data : Path
        Holds the sets.
    images : int
        Of each set, at most.
    clicks : int
        On each object.

    Returns
    -------
    dict of str to dict of str to float
        By set: ``none`` and ``own`` Dice of the foreground at iterations 0 and 1 (where
        it needs no prompt), ``box`` and ``clickN`` mean IoU over objects.
    """
    found = {}
    for name, domain in DOMAINS.items():
        _, pairs = split(data / name)
        rows: dict[str, list[float]] = {}
        for pair in pairs[:images]:
            image, labels = to_rgb8(read_image(pair.image)), read_labels(pair.mask)
            for key, value in _figures(model, image, labels, clicks).items():
                if domain.unprompted or key not in ("none", "own"):
                    rows.setdefault(key, []).extend(value)
        found[name] = {key: float(np.mean(v)) for key, v in rows.items()}
    return found


def _figures(
    model: SelfPrompting, image: np.ndarray, labels: np.ndarray, clicks: int
) -> dict[str, list[float]]:
    size, stride = model.mask_size, model.stride
    apart = measure.label(labels, background=0, connectivity=1)
    view = Augmentation(int(model.sam.image_encoder.img_size), enabled=False)(
        image, apart
    )
    embeddings, valid = model.encode(view.image[None]), view.valid[None]
    inside = valid_cells(valid, size, stride)
    whole = coverage(view.labels[None] > 0, size) > 0.5
    model.objects = False
    first, second = model.iterate(embeddings, valid, 2)
    out = {
        key: [float(_dice((found.logits > 0) & inside, whole))]
        for key, found in (("none", first), ("own", second))
    }
    numbers, areas = view.labels.unique(return_counts=True)
    order = areas[numbers > 0].argsort(descending=True)
    numbers = numbers[numbers > 0][order][:: max(1, len(order) // OBJECTS)][:OBJECTS]
    masks = view.labels == numbers[:, None, None]
    index = torch.zeros(len(masks), dtype=torch.int64)
    if not len(masks):
        return out
    truth = coverage(masks, size) > 0.5
    boxes = boxes_of(masks, 1, valid[index])
    said = (model.decode(embeddings, index, Prompt(boxes)).logits > 0) & inside
    out["box"] = _iou(said, truth).tolist()
    said = torch.zeros_like(truth)
    points, point_labels = torch.zeros(len(masks), 0, 2), torch.zeros(len(masks), 0)
    dense = None
    for n in range(1, clicks + 1):
        click, label = next_clicks(said, truth, stride)
        points = torch.cat([points, click[:, None]], 1)
        point_labels = torch.cat([point_labels, label[:, None]], 1)
        decoded = model.decode(
            embeddings, index, Prompt(None, points, dense, point_labels)
        )
        dense = decoded.logits[:, None]
        said = (decoded.logits > 0) & inside
        if n in (1, 3, 5):
            out[f"click{n}"] = _iou(said, truth).tolist()
    return out


def next_clicks(said: Tensor, truth: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """The deepest pixel of each mask's largest error.

    Parameters
    ----------
    said, truth : Tensor
        ``(N, m, m)`` bool.
    stride : int
        Input pixels per mask pixel.

    Returns
    -------
    tuple of Tensor
        ``(N, 2)`` x and y in input pixels, and ``(N,)`` 1 for a click inside, 0
        outside.
    """
    places, labels = [], []
    for mine, true in zip(said.numpy(), truth.numpy(), strict=True):
        best, place, label = 0.0, (0, 0), 1.0
        for error, kind in ((true & ~mine, 1.0), (mine & ~true, 0.0)):
            parts, count = ndimage.label(error)
            if not count:
                continue
            largest = parts == np.bincount(parts.ravel())[1:].argmax() + 1
            if largest.sum() > best:
                depth = ndimage.distance_transform_edt(np.pad(largest, 1))[1:-1, 1:-1]
                best, label = float(largest.sum()), kind
                place = np.unravel_index(depth.argmax(), depth.shape)
        places.append([(place[1] + 0.5) * stride, (place[0] + 0.5) * stride])
        labels.append(label)
    return torch.tensor(places, dtype=torch.float32), torch.tensor(labels)


def _dice(a: Tensor, b: Tensor) -> Tensor:
    return 2 * (a & b).sum() / (a.sum() + b.sum()).clamp(min=1)


def _iou(a: Tensor, b: Tensor) -> Tensor:
    return (a & b).sum((1, 2)) / (a | b).sum((1, 2)).clamp(min=1)
