"""What ``samsp_small`` sees in pretraining: views of real and of generated images."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from domains import DOMAINS, Domain, split
from skimage import measure
from synthetic import generate
from torch import Tensor
from torch.utils.data import Dataset

from napari_samsp.data.image_files import read_image, read_labels
from napari_samsp.data.rgb import to_rgb8
from napari_samsp.inference.scale.object_scale import field_for, mean_object_width
from napari_samsp.train.examples.augment import Augmentation
from napari_samsp.train.examples.symmetry import symmetry_of
from napari_samsp.train.objective.relief import relief_of

if TYPE_CHECKING:
    from napari_samsp.sam.architecture import Architecture

GENERATED = 0.12
"""Part of the views that are generated."""
AS_IN_USE = 0.5
"""So many crops of sets of small objects are as near as inference goes."""
LEAST_PIXELS = 16
"""Smaller objects of a view are background: there is nothing to see of them."""


class Sample(NamedTuple):
    """One view, or a batch of them, of S x S pixels and an m x m grid of masks.

    Attributes
    ----------
    image : Tensor
        ``(..., 3, S, S)`` float32, normalised and padded.
    labels : Tensor
        ``(..., S, S)`` int64, a number an object; 0 = background and padding.
    valid : Tensor
        ``(..., 2)`` int64, unpadded height and width.
    relief : Tensor
        ``(..., 2, m, m)`` float32, see `relief_of`.
    unprompted : Tensor
        ``(...)`` bool: the foreground needs no prompt.
    instances : Tensor
        ``(...)`` bool: objects that touch have labels of their own.
    """

    image: Tensor
    labels: Tensor
    valid: Tensor
    relief: Tensor
    unprompted: Tensor
    instances: Tensor


def collate(samples: list[Sample]) -> Sample:
    """A batch of single samples."""
    return Sample(*(torch.stack(parts) for parts in zip(*samples, strict=True)))


class Mixture(Dataset[Sample]):
    """Views without end, each drawn by the seed and its own number.

    Parameters
    ----------
    data : Path
        Holds a folder for each of `DOMAINS`.
    model : Architecture
        That is trained.
    seed : int
        Of all that is random.
    """

    def __init__(self, data: Path, model: Architecture, seed: int) -> None:
        self.seed, self.model = seed, model
        self.domains = list(DOMAINS.values())
        weights = np.array([domain.share for domain in self.domains])
        self.weights = weights / weights.sum()
        self.pairs: list[list[tuple[np.ndarray, np.ndarray]]] = []
        self.shares: list[np.ndarray] = []
        self.augmentations: list[Augmentation] = []
        size = model.image_size
        self.every_way = Augmentation(size)
        for name in DOMAINS:
            pairs, _ = split(data / name)
            loaded = [
                (to_rgb8(read_image(pair.image)), read_labels(pair.mask))
                for pair in pairs
            ]
            self.pairs.append(loaded)
            self.shares.append(shares([pair.kind for pair in pairs]))
            symmetry = symmetry_of([labels for _, labels in loaded])
            self.augmentations.append(Augmentation(size, symmetry=symmetry))

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng((self.seed, index))
        torch.manual_seed(int(rng.integers(2**62)))
        if rng.random() < GENERATED:
            image, labels, unprompted = generate(int(rng.integers(2**31)))
            domain = Domain(unprompted=unprompted, instances=True)
            augment = self.every_way
        else:
            n = rng.choice(len(self.pairs), p=self.weights)
            domain, augment = self.domains[n], self.augmentations[n]
            image, labels = self.pairs[n][
                rng.choice(len(self.pairs[n]), p=self.shares[n])
            ]
            sides = crop_sides(rng, labels, domain.closest, self.model)
            image, labels = crop(rng, image, labels, sides)
            image = recolour(rng, image)
        view = augment(image, labels)
        # A class map's regions, and an object's pieces, get labels of their own.
        apart = measure.label(view.labels.numpy(), background=0, connectivity=1)
        small = np.bincount(apart.ravel()) < LEAST_PIXELS
        apart[small[apart]] = 0
        relief = relief_of(apart, self.model.mask_size)
        return Sample(
            view.image,
            torch.from_numpy(apart.astype(np.int64)),
            view.valid,
            torch.from_numpy(relief),
            torch.tensor(domain.unprompted),
            torch.tensor(domain.instances),
        )


def shares(kinds: list[str]) -> np.ndarray:
    """How often each image is drawn: every kind as often as any other.

    Drawn by their numbers, or by the roots of them, a rare kind (11 brightfield images
    of 359) was never learnt.
    """
    count = Counter(kinds)
    rarity = np.array([1 / count[kind] for kind in kinds])
    return rarity / rarity.sum()


def crop_sides(
    rng: np.random.Generator,
    labels: np.ndarray,
    closest: int | None,
    model: Architecture,
) -> np.ndarray:
    """Height and width of a crop: near the field in use, or of any magnification.

    Drawn from all magnifications down to ``closest`` pixels alone, most crops show
    objects smaller than they are in use, and the smallest never as near. Regions need
    what surrounds them.
    """
    whole = np.array(labels.shape)
    if closest is not None and rng.random() < AS_IN_USE:
        width = mean_object_width(labels) or np.inf
        side = field_for(width, labels.shape, model.image_size, model.patch_size)
        return np.minimum(whole, round(side * 1.4 ** rng.uniform(-1, 1)))
    smallest = 0.5 if closest is None else min(1, closest / whole.min())
    return (whole * smallest ** rng.random()).astype(int)


def crop(
    rng: np.random.Generator, image: np.ndarray, labels: np.ndarray, sides: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Crop anywhere, half of the time so that the crop holds some foreground.

    Of sparse objects most crops would hold none.
    """
    first, last = np.zeros(2, int), np.array(labels.shape) - sides
    foreground = np.flatnonzero(labels) if rng.random() < 0.5 else ()
    if len(foreground):
        inside = np.array(np.unravel_index(rng.choice(foreground), labels.shape))
        first, last = np.maximum(inside - sides + 1, 0), np.minimum(inside, last)
    top, left = rng.integers(first, last + 1)
    window = slice(top, top + sides[0]), slice(left, left + sides[1])
    return image[window], labels[window]


def recolour(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Another stain, contrast or camera: ``(Y, X, 3)`` uint8 to the same."""
    if rng.random() < 0.15:
        gray = image @ np.array([0.299, 0.587, 0.114])
        image = np.repeat(gray[..., None], 3, axis=-1).astype(np.uint8)
    elif rng.random() < 0.1:
        image = image[..., rng.permutation(3)]
    if rng.random() < 0.1:
        image = 255 - image
    if rng.random() < 0.3:
        # Dim objects beside bright ones, and the other way.
        curve = 255 * (np.arange(256) / 255) ** (2 ** rng.uniform(-1, 1))
        image = curve.astype(np.uint8)[image]
    if rng.random() < 0.15:
        noise = rng.normal(0, rng.uniform(2, 20), image.shape[:2])[..., None]
        image = (image + noise).clip(0, 255).astype(np.uint8)
    return image
