"""Figures by class: how well each of several classes was found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table
from rich.text import Text

from napari_samsp.data.training_sets.class_labels import objects_and_classes
from napari_samsp.data.training_sets.classes import (
    CLASSES_FILE,
    IGNORE,
    Classes,
    read_classes,
)
from napari_samsp.metrics import class_scores, scores, summary
from napari_samsp.utils.errors import InputError, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    Figures = dict[str, dict[str, float]]


def scores_by_class(
    planes: tuple[np.ndarray, np.ndarray],
    paths: tuple[Path, Path],
    classes: Classes,
    objects: bool,
    tolerance: float,
) -> Figures:
    """Figures of one image by the classes that it has, or is said to have.

    Parameters
    ----------
    planes : tuple of numpy.ndarray
        ``(Y, X)`` labels of the prediction and of the mask.
    paths : tuple of Path
        Their files, beside which the classes of objects are.
    classes : Classes
        Names and labels of the classes.
    objects, tolerance
        As for `napari_samsp.metrics.scores`.

    Returns
    -------
    dict
        `napari_samsp.metrics.scores` by the class's name.

    Raises
    ------
    InputError
        If a label has no class.
    """
    plain = replace(classes, kind="semantic", ignore=())  # without a table beside it
    labels, kinds, _ = objects_and_classes(planes[0], paths[0], plain, objects)
    truth, true_kinds, ignored = objects_and_classes(
        planes[1], paths[1], classes, objects
    )
    if ignored is not None:
        labels = np.where(ignored, 0, labels)
    found = class_scores(
        (labels, kinds),
        (truth, true_kinds),
        [one.label for one in classes.classes],
        lambda ours, true: scores(ours, true, objects, tolerance),
    )
    names = {one.label: one.name for one in classes.classes}
    return {names[label]: each for label, each in found.items()}


def mean_scores(found: Figures, objects: bool) -> dict[str, float]:
    """Means over the classes; of none, nothing was to be found, and nothing was."""
    if not found:
        nothing = np.zeros((1, 1), np.int32)
        return scores(nothing, nothing, objects)
    rows = list(found.values())
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def find_classes(masks: Path, predictions: Path) -> Classes:
    """What the labels of masks mean.

    Parameters
    ----------
    masks, predictions : Path
        Folders in which ``classes.json`` may be, or in the one above. That of the
        masks wins; that of the predictions names the classes of semantic masks.

    Returns
    -------
    Classes
        Whose labels may be those of objects if the masks' own file says so.

    Raises
    ------
    InputError
        If there is none.
    """
    for folder in (masks, predictions):
        for place in (folder, folder.absolute().parent):
            found = read_classes(place)
            if found is None:
                continue
            if folder == predictions:
                own = {one.label for one in found.classes}
                found = Classes("semantic", found.classes, (*({IGNORE} - own),))
            return found
    raise InputError(
        f"There is no {CLASSES_FILE} beside the masks or the predictions: it tells "
        "what their labels mean."
    )


def class_report(images: Mapping[str, Figures], classes: Classes) -> dict[str, Any]:
    """Sum up each class over the images that have it.

    Parameters
    ----------
    images : mapping
        What `scores_by_class` gives, by image.
    classes : Classes
        The classes, in the order of the report.

    Returns
    -------
    dict
        ``{class: {"dice": {"mean", "std", "n"}, ...}}``; a class that no image has is
        left out.
    """
    found = {}
    for name in classes.names:
        rows = [image[name] for image in images.values() if name in image]
        if rows:
            found[name] = {
                key: summary(row[key] for row in rows)._asdict() for key in rows[0]
            }
    return found


def class_rows(content: dict[str, Any], titles: dict[str, str]) -> Table:
    """A `class_report` for the terminal; ``titles`` are of its columns, by figure."""
    each = Table("class", *titles.values(), "images")
    for name, found in content.items():
        figures = [f"{found[key]['mean']:.3f}" for key in titles]
        each.add_row(Text(printable(name)), *figures, str(found["dice"]["n"]))
    return each
