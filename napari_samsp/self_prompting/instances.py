"""Objects on the model's low-res grid: taken apart, and counted once."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from skimage import measure, morphology, segmentation
from torch import Tensor

MIN_OBJECT_PIXELS = 2
"""Smaller components, in low-res pixels, are noise and get no prompt."""
LEVELS = (0, 1, 2)
"""Logits above which distances are measured, to be averaged: between two objects the
logits sink before they are below 0."""
SMOOTH_PIXELS = 0.75
"""Sigma, in low-res pixels, by which distances are smoothed: their grid is coarse."""
NECK_PIXELS, NECK_PART = 0.35, 0.1
"""A neck is thinner than both sides of it by so many low-res pixels of its half-width,
and by such a part of theirs."""
PROMINENCE = 0.15
"""Two peaks of an object's learnt relief with a valley less deep are one."""
NEAR = 0.5
"""Less of both distances makes the inside of an object, as in micro-sam."""
SPECK = 0.25
"""Parts smaller than this part of the largest one are specks."""
SAME = 0.5
"""Maps whose foregrounds have a larger IoU show the same object."""


def objects_of(instances: Tensor) -> tuple[Tensor, Tensor]:
    """The objects of instance maps, as masks.

    Parameters
    ----------
    instances : Tensor
        ``(B, m, m)`` int, 0 is background, else one number per object. Where it is in
        pieces, only the largest one counts: the others are what better maps left of it.
        Diagonal neighbours are apart.

    Returns
    -------
    tuple of Tensor
        ``(N, m, m)`` bool masks and their ``(N,)`` int64 image index.
    """
    masks, index = [], []
    for b, image in enumerate(instances.cpu().numpy()):
        pieces = measure.label(image, background=0, connectivity=1)
        areas = np.bincount(pieces.ravel())
        objects = np.zeros(len(areas), image.dtype)
        objects[pieces] = image
        # Of equal keys the last one stays.
        largest = {objects[n]: n for n in np.argsort(areas) if objects[n] > 0}
        keep = np.array([n for n in largest.values() if areas[n] >= MIN_OBJECT_PIXELS])
        masks.append(torch.from_numpy(pieces == np.sort(keep)[:, None, None]))
        index.append(torch.full((len(keep),), b))
    return torch.cat(masks).to(instances.device), torch.cat(index).to(instances.device)


def without_specks(foreground: Tensor) -> Tensor:
    """Leave out what is small beside the largest part of a foreground.

    One wrong pixel in a corner makes the box of a lesion the box of the image.

    Parameters
    ----------
    foreground : Tensor
        ``(B, m, m)`` bool.

    Returns
    -------
    Tensor
        ``(B, m, m)`` bool.
    """
    kept = []
    for image in foreground.cpu().numpy():
        parts = measure.label(image, connectivity=1)
        areas = np.bincount(parts.ravel())
        areas[0] = 0  # background
        large = (areas > 0) & (areas >= SPECK * areas.max())
        kept.append(torch.from_numpy(large[parts]))
    return torch.stack(kept).to(foreground.device)


def cut_at_necks(logits: Tensor) -> Tensor:
    """Guess which parts of a foreground are objects of their own.

    A map without a prompt tells foreground, not objects: those that touch are one. Each
    is cut where it is thinner, or less sure, than on both sides (watershed of the
    distance to the background, the mean over `LEVELS`), so that every part gets a
    prompt. What is cut in vain the decoder can put together again: see `distinct`.

    Parameters
    ----------
    logits : Tensor
        ``(B, m, m)``, foreground above 0.

    Returns
    -------
    Tensor
        ``(B, m, m)`` int64: 0 is background, else one number per part, from 1 in each
        image.
    """
    parts = [_cut(image) for image in logits.detach().float().cpu().numpy()]
    return torch.from_numpy(np.stack(parts)).to(logits.device)


def _cut(logits: np.ndarray) -> np.ndarray:
    foreground = logits > 0
    distances = [ndimage.distance_transform_edt(logits > level) for level in LEVELS]
    depth = ndimage.gaussian_filter(np.mean(distances, axis=0), SMOOTH_PIXELS)
    depth *= foreground
    seeds = np.minimum(depth - NECK_PIXELS, depth * (1 - NECK_PART)).clip(0)
    # What is left of two peaks between which there is no neck is one plateau.
    flooded = morphology.reconstruction(seeds, depth)
    peaks = morphology.local_maxima(flooded) & (flooded > 0)
    parts = segmentation.watershed(-depth, measure.label(peaks), mask=foreground)
    # What is too thin to have a peak is a part too, and diagonal neighbours are apart.
    parts[foreground & (parts == 0)] = parts.max() + 1
    return measure.label(parts, background=0, connectivity=1).astype(np.int64)


def split_touching(logits: Tensor, separation: Tensor) -> Tensor:
    """Take a foreground apart by what the model has learnt of its objects.

    Parameters
    ----------
    logits : Tensor
        ``(B, m, m)``, foreground above 0.
    separation : Tensor
        ``(B, 2, m, m)`` logits: how deep in its object a pixel is, and how near to the
        object's centre, each 1 at the deepest place and 0 at the border.

    Returns
    -------
    Tensor
        As `cut_at_necks`.
    """
    relief = separation.detach().float().sigmoid().mean(1).cpu().numpy()
    foreground = (logits > 0).cpu().numpy()
    parts = [_flood(one, where) for one, where in zip(relief, foreground, strict=True)]
    return torch.from_numpy(np.stack(parts)).to(logits.device)


def _flood(relief: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    relief = ndimage.gaussian_filter(relief, SMOOTH_PIXELS) * foreground
    flooded = morphology.reconstruction((relief - PROMINENCE).clip(0), relief)
    peaks = morphology.local_maxima(flooded) & (flooded > 0)
    parts = segmentation.watershed(-relief, measure.label(peaks), mask=foreground)
    parts[foreground & (parts == 0)] = parts.max() + 1
    return measure.label(parts, background=0, connectivity=1).astype(np.int64)


def parts_of_distances(logits: Tensor, distances: Tensor) -> Tensor:
    """Take a foreground apart by distances within its objects, as micro-sam does.

    Where both are below `NEAR` is the inside of an object; each inside grows into the
    foreground, where that is nearest to it in height (watershed of the second). The
    foreground around no inside is no object.

    Parameters
    ----------
    logits : Tensor
        ``(B, m, m)``, foreground above 0.
    distances : Tensor
        ``(B, 2, m, m)``, as `Decoding.distances`.

    Returns
    -------
    Tensor
        As `cut_at_necks`.
    """
    foreground = (logits > 0).cpu().numpy()
    maps = distances.detach().float().cpu().numpy()
    inside = (maps < NEAR).all(1) & foreground
    parts = [
        segmentation.watershed(deep, measure.label(seeds, connectivity=1), mask=where)
        for deep, seeds, where in zip(maps[:, 1], inside, foreground, strict=True)
    ]
    return torch.from_numpy(np.stack(parts).astype(np.int64)).to(logits.device)


def distinct(logits: Tensor, scores: Tensor, image_index: Tensor) -> Tensor:
    """Find which of several maps show an object that no better one shows.

    Parameters
    ----------
    logits : Tensor
        ``(N, m, m)``, foreground above 0.
    scores : Tensor
        ``(N,)`` SAM's predicted IoU: the higher is the better one.
    image_index : Tensor
        ``(N,)`` int64; maps of different images are not compared.

    Returns
    -------
    Tensor
        ``(N,)`` bool.
    """
    keep = torch.ones_like(image_index, dtype=torch.bool)
    for b in image_index.unique().tolist():
        here = (image_index == b).nonzero()[:, 0]
        here = here[scores[here].argsort(descending=True, stable=True)]
        masks = (logits[here] > 0).flatten(1).float()
        areas = masks.sum(1)
        shared = masks @ masks.mT
        alike = shared > SAME * (areas[:, None] + areas - shared)
        same = alike.tril(-1).cpu().numpy()
        kept = np.ones(len(here), bool)
        for n in np.flatnonzero(same.any(1)):
            kept[n] = not (same[n] & kept).any()
        keep[here] = torch.from_numpy(kept).to(keep.device)
    return keep
