"""The images of a run: read once, seen as random views."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from napari_samsp.data.components import connected_parts, holds_one_value
from napari_samsp.data.rgb import Scaling, to_rgb8
from napari_samsp.data.training_sets.class_labels import (
    encode,
    read_table,
    table_path,
)
from napari_samsp.inference.object_scale import field_for, mean_object_width
from napari_samsp.train.examples.augment import (
    NOT_LABELLED,
    Augmentation,
    View,
    stack_views,
)
from napari_samsp.train.examples.symmetry import symmetry_of
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_samsp.data.training_sets.classes import Classes
    from napari_samsp.data.training_sets.sample import Sample


@dataclass(frozen=True)
class Example:
    """One image as the model reads it.

    Attributes
    ----------
    name : str
        The sample's.
    image : numpy.ndarray
        ``(Y, X, 3)`` uint8.
    labels : numpy.ndarray
        ``(Y, X)`` int32. With K classes a label L is of the class of index
        ``(L - 1) % K``.
    split : bool
        Whether the labels are the connected parts of fewer.
    ignored : numpy.ndarray or None
        ``(Y, X)`` bool: what nobody labelled, and labels are 0.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray
    split: bool = False
    ignored: np.ndarray | None = None


def read_pictures(
    samples: list[Sample],
    scaling: Scaling,
    components: str = "no",
    series: int | None = None,
    classes: Classes | None = None,
    objects: bool = False,
) -> list[Example]:
    """Read and scale samples.

    Parameters
    ----------
    samples : list of Sample
        Whose files are readable.
    scaling : Scaling
        Stored with the adapter.
    components : {"auto", "yes", "no"}
        Whether the connected parts of a label are the objects; ``auto``: in masks of
        one value only.
    series : int, optional
        Which image of a file that holds several, from 0; default: the largest.
    classes : Classes, optional
        What the labels mean; they, not ``components``, say what an object is.
    objects : bool
        With classes, whether objects are told apart.

    Returns
    -------
    list of Example
        In order.

    Raises
    ------
    InputError
        If an image cannot be used; the message names it.
    """
    pictures = []
    for sample in samples:
        image, labels = sample.read(series)
        ignored = None
        if classes is not None:
            labels, ignored = _encoded(sample, labels, classes, objects)
        split = classes is None and (
            components == "yes" or (components == "auto" and holds_one_value([labels]))
        )
        if split:
            labels = connected_parts(labels)
            split = int(labels.max()) > 1
        try:
            seen = sample_scaling(sample, scaling)
            rgb = to_rgb8(image, None, seen)
            pictures.append(Example(sample.name, rgb, labels, split, ignored))
        except InputError as error:
            raise InputError(f"{sample.name}: {error}") from error
    return pictures


def _encoded(
    sample: Sample, labels: np.ndarray, classes: Classes, objects: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    table = None
    try:
        if classes.kind == "instances":
            table = read_table(table_path(sample.mask), classes)
        return encode(labels, classes, table, objects)
    except InputError as error:
        raise InputError(f"{sample.name}: {error}") from error


def check_labelled(pictures: list[Example]) -> None:
    """Check that there is something to learn.

    Parameters
    ----------
    pictures : list of Example
        The training images.

    Raises
    ------
    InputError
        If every mask is empty.
    """
    if not any(picture.labels.any() for picture in pictures):
        raise InputError(
            "Every mask that could be trained on is empty: label at least one object."
        )


def sample_scaling(sample: Sample, scaling: Scaling) -> Scaling:
    """How a sample's intensities are scaled.

    Percentiles of a slice are not those of its stack, and those of a region not those
    of its image: a correction knows which limits the model saw it with.

    Parameters
    ----------
    sample : Sample
        Its info may hold ``scaling`` and ``limits``.
    scaling : Scaling
        Of the run.

    Returns
    -------
    Scaling
        The run's; its percentiles as the sample's own limits where it has them.
    """
    limits = sample.info.get("limits")
    if scaling.kind != "percentile" or sample.info.get("scaling") != str(scaling):
        return scaling
    if not isinstance(limits, list) or len(limits) != 2:
        return scaling
    try:
        return Scaling("limits", float(limits[0]), float(limits[1]))
    except (TypeError, ValueError, InputError):
        return scaling  # a broken note: the pixels themselves tell


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
        Views an epoch, at least.
    augment : bool
        Off gives each image as it is.
    fields : list of int
        Side in image pixels of what a view of each picture shows.
    kept : int or None
        Draw from so many views of each image, always the same, of which a frozen part
        of the model has to see each once. None: every view is a new one.
    seed : int
        Of those.
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
        """Views an epoch of the labelled images."""
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
        """Collate views; of none, a batch of none."""
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
    """What a process sees at each step, and the seed of each view.

    The steps of all processes together depend on nothing but the epoch's number and
    the seed: neither on how many processes there are, nor on when a run was resumed.

    Parameters
    ----------
    count : int
        Views an epoch.
    batch : int
        Views a step, over all processes.
    seed : int
        Of the run.
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
