"""A training image and its mask, as the model reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_samsp.data.components import connected_parts, holds_one_value
from napari_samsp.data.rgb import Scaling, to_rgb8
from napari_samsp.data.training_sets.class_labels import encode
from napari_samsp.data.training_sets.class_tables import read_table, table_path
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from napari_samsp.data.training_sets.classes import Classes
    from napari_samsp.data.training_sets.sample import Sample


@dataclass(frozen=True)
class Example:
    """One image as the model reads it.

    Attributes
    ----------
    name : str
        Name of the sample.
    image : numpy.ndarray
        ``(Y, X, 3)`` uint8.
    labels : numpy.ndarray
        ``(Y, X)`` int32. With K classes a label L is of the class of index
        ``(L - 1) % K``.
    split : bool
        Whether the labels are connected parts of the mask's labels.
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
    ignore: int = 0,
) -> list[Example]:
    """Read and scale samples.

    Parameters
    ----------
    samples : list of Sample
        Samples whose files can be read.
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
    ignore : int
        Without classes, the label of what nobody labelled; 0 for none.

    Returns
    -------
    list of Example
        One of each sample, in order.

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
        elif ignore and (labels == ignore).any():
            ignored = labels == ignore
            labels = np.where(ignored, 0, labels)
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
            table = read_table(sample.table or table_path(sample.mask), classes)
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
        How the run scales intensities.

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
        return scaling  # a broken note: percentiles are taken from the pixels
