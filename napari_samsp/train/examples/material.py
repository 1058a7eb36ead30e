"""The images that a run learns from and is validated on: read, scaled and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_samsp.data.components import parts_note
from napari_samsp.data.training_sets.class_labels import check_present
from napari_samsp.train.examples.example import Example, check_labelled, read_pictures
from napari_samsp.train.examples.unlabelled import read_unlabelled

if TYPE_CHECKING:
    from napari_samsp.data.rgb import Scaling
    from napari_samsp.data.training_sets.classes import Classes
    from napari_samsp.data.training_sets.sample import Sample
    from napari_samsp.train.config import TrainConfig


@dataclass(frozen=True)
class Material:
    """The images of a run.

    Attributes
    ----------
    pictures, held_out, unlabelled : list of Example
        Images to learn from, images held out for validation, and images without
        masks to learn from.
    notes : list of str
        What the user should hear about how they were read.
    """

    pictures: list[Example]
    held_out: list[Example]
    unlabelled: list[Example]
    notes: list[str]


def read_material(
    fitting: list[Sample],
    held_out: list[Sample],
    config: TrainConfig,
    scaling: Scaling,
    classes: Classes | None,
) -> Material:
    """Read the images of a run.

    Parameters
    ----------
    fitting, held_out : list of Sample
        What trains, and what only judges.
    config : TrainConfig
        Settings of the run.
    scaling : Scaling
        Stored with the adapter.
    classes : Classes or None
        What the labels mean, if not foreground.

    Returns
    -------
    Material
        With something to learn from.

    Raises
    ------
    InputError
        If an image cannot be used or every mask is empty; the message says which.
    """
    components = config.components if config.objects else "no"
    series = config.series if config.series >= 0 else None
    how = (scaling, components, series, classes, config.objects, config.ignore)
    pictures = read_pictures(fitting, *how)
    check_labelled(pictures)
    if classes is not None:
        check_present([picture.labels for picture in pictures], classes)
    judging = read_pictures(held_out, *how)
    labelled = [*pictures, *judging]
    notes = []
    split = [one.name for one in labelled if one.split]
    if split and components == "auto":
        notes.append(parts_note(split))
    unlabelled: list[Example] = []
    if config.unlabelled:
        unlabelled, unusable = read_unlabelled(
            Path(config.unlabelled), scaling, labelled
        )
        notes.append(_unlabelled_note(len(unlabelled), unusable))
    return Material(pictures, judging, unlabelled, notes)


def _unlabelled_note(count: int, unusable: list[str]) -> str:
    note = f"Also learning from {count} image{'s' * (count > 1)} without a mask."
    if unusable:
        note += f" {len(unusable)} could not be used, the first of them: {unusable[0]}"
    return note
