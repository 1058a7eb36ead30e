"""Random views of a run's images, and which of them each step sees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from napari_samsp.inference.scale.object_scale import field_for, mean_object_width
from napari_samsp.train.examples.augment import (
    NOT_LABELLED,
    Augmentation,
    View,
    stack_views,
)
from napari_samsp.train.examples.symmetry import symmetry_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_samsp.train.examples.example import Example


def best_fields(pictures: list[Example], input_size: int, patch_size: int) -> list[int]:
    """How much the model should see at once of images whose objects are known.

    Parameters
    ----------
    pictures : list of Example
        The training images.
    input_size, patch_size : int
        Of the model, in input pixels.

    Returns
    -------
    list of int
        Sides in image pixels, of each picture; the longest side of all pictures if it
        is best seen whole. One without objects is seen as the median of the others. If
        most are best seen whole all are: a small lesion among large ones is a small
        lesion, and none that was taken from further away.
    """
    widths = [mean_object_width(picture.labels) for picture in pictures]
    usual = float(np.median([w for w in widths if w > 0]))
    longest = max(max(picture.labels.shape) for picture in pictures)
    fields = [
        field_for(width or usual, (longest, longest), input_size, patch_size)
        for width in widths
    ]
    return [longest] * len(fields) if np.median(fields) == longest else fields


class Views(Dataset[View]):
    """Random views of the training images; each epoch sees every image equally often.

    Parameters
    ----------
    pictures : list of Example
        The training images.
    size : int
        Side of the model's input.
    least : int
        Least number of views per epoch.
    augment : bool
        Off gives each image as it is.
    fields : list of int
        Side in image pixels of what a view of each picture shows.
    kept : int or None
        Draw from so many views of each image, always the same, of which a frozen part
        of the model has to see each once. None: every view is a new one.
    seed : int
        Seed of the augmentation.
    unlabelled : list of Example
        Images that nobody labelled, to learn from without labels.
    """

    def __init__(
        self,
        pictures: list[Example],
        size: int,
        least: int,
        augment: bool,
        fields: list[int],
        kept: int | None = None,
        seed: int = 0,
        unlabelled: Sequence[Example] = (),
    ) -> None:
        self.pictures, self.unlabelled = pictures, unlabelled
        self.fields, self.usual_field = fields, int(np.median(fields))
        symmetry = symmetry_of([picture.labels for picture in pictures])
        self.augmentation = Augmentation(
            size, enabled=augment, symmetry=symmetry, plain=len(unlabelled) > 0
        )
        self.kept, self.seed = kept, seed
        self.repeats = max(1, -(-least // len(pictures))) if augment else 1

    def __len__(self) -> int:
        """Number of views of labelled images per epoch."""
        return len(self.pictures) * self.repeats

    def __getitem__(self, drawn: tuple[int, int]) -> View:
        """The view of a number and a seed, which are all that it depends on.

        Numbers below 0 count the images that nobody labelled, from the last.
        """
        index, seed = drawn
        if index < 0:
            torch.manual_seed(seed)
            picture = self.unlabelled[index]
            view = self.augmentation(picture.image, picture.labels, self.usual_field)
            nowhere = torch.full_like(view.labels, NOT_LABELLED)
            return view._replace(labels=nowhere, seed=torch.tensor(seed))
        number = index % len(self.pictures)
        picture = self.pictures[number]
        of_view = seed
        if self.kept is not None:
            of_view = hash((self.seed, number, seed % self.kept))
        torch.manual_seed(of_view)
        field = self.fields[number]
        labels = picture.labels
        if picture.ignored is not None:
            labels = np.where(picture.ignored, NOT_LABELLED, labels)
        view = self.augmentation(picture.image, labels, field)
        return view._replace(seed=torch.tensor(seed))

    def batch(self, views: list[View]) -> View:
        """Collate views to a batch, which is empty if there are none."""
        if views:
            return stack_views(views)
        size = self.augmentation.size
        return View(
            torch.zeros(0, 3, size, size),
            torch.zeros(0, size, size, dtype=torch.int64),
            torch.zeros(0, 2, dtype=torch.int64),
            torch.zeros(0, dtype=torch.int64),
            torch.zeros(0, 3, size, size),
        )


class Batches(Sampler[list[tuple[int, int]]]):
    """The views that a process sees at each step, and the seed of each.

    The steps of all processes together depend on nothing but the epoch's number and
    the seed: neither on how many processes there are, nor on when a run was resumed.

    Parameters
    ----------
    count : int
        Number of views in an epoch.
    batch : int
        Views a step, over all processes.
    seed : int
        Seed of the run.
    process, processes : int
        Which share is ours, from 0, of how many. A share of a short last step may be
        empty.
    unlabelled : int
        Images that nobody labelled: each step sees one of them for two others.
    """

    def __init__(
        self,
        count: int,
        batch: int,
        seed: int,
        process: int = 0,
        processes: int = 1,
        unlabelled: int = 0,
    ) -> None:
        self.count, self.size, self.seed = count, batch, seed
        self.process, self.processes = process, processes
        self.unlabelled = unlabelled
        self.epoch = 0

    def __len__(self) -> int:
        return -(-self.count // self.size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        order = torch.randperm(self.count, generator=generator)
        seeds = torch.randint(2**31, (self.count,), generator=generator)
        drawn = list(zip(order.tolist(), seeds.tolist(), strict=True))
        for first in range(0, self.count, self.size):
            step = drawn[first : first + self.size] + self._unlabelled(generator)
            yield step[self.process :: self.processes]

    def _unlabelled(self, generator: torch.Generator) -> list[tuple[int, int]]:
        if not self.unlabelled:
            return []
        some = (-(-self.size // 2),)
        numbers = torch.randint(self.unlabelled, some, generator=generator)
        seeds = torch.randint(2**31, some, generator=generator)
        return list(zip((-1 - numbers).tolist(), seeds.tolist(), strict=True))
