"""Masks with classes: labels that tell the class of each pixel.

Needs no torch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_samsp.data.components import connected_parts
from napari_samsp.data.training_sets.class_tables import (
    TABLE_ENDING,
    read_table,
    table_path,
)
from napari_samsp.data.training_sets.classes import CLASSES_FILE
from napari_samsp.utils.errors import InputError, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from napari_samsp.data.training_sets.classes import Classes


def encode(
    labels: np.ndarray,
    classes: Classes,
    table: Mapping[int, int] | None = None,
    objects: bool = False,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Number labels so that each tells its class.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(Y, X)`` integers as in the mask, 0 = background.
    classes : Classes
        The K classes.
    table : mapping, optional
        Of `read_table`, for masks of instances.
    objects : bool
        Whether objects are told apart: of a semantic mask the connected parts of
        each class.

    Returns
    -------
    labels : numpy.ndarray
        ``(Y, X)`` int32: 0 = background; a label L is of the class of index
        ``(L - 1) % K``. Without objects they are 1 to K.
    ignored : numpy.ndarray or None
        ``(Y, X)`` bool: what nobody labelled; None if everything is labelled.

    Raises
    ------
    InputError
        If a label has no class.
    """
    count = len(classes.classes)
    ignored = np.isin(labels, classes.ignore)
    if table is None:
        table = {one.label: n for n, one in enumerate(classes.classes)}
        lacks = f"{CLASSES_FILE} does not name"
    else:
        lacks = f"the table *{TABLE_ENDING} beside it gives no class"
    if objects and classes.kind == "semantic":
        parts = connected_parts(np.where(ignored, 0, labels))
        values, first = np.unique(parts, return_index=True)
        kinds = labels.ravel()[first]
    else:
        parts = np.where(ignored, 0, labels)
        values = kinds = np.unique(parts)
    inside = values > 0
    if unnamed := sorted({int(k) for k in kinds[inside]} - table.keys()):
        raise InputError(
            f"the mask has the label {some([str(n) for n in unnamed])}, which {lacks}: "
            "add it there, or make it 0 or the label to ignore."
        )
    numbers = np.zeros(len(values), np.int32)
    of_class = np.array([table[int(k)] for k in kinds[inside]], np.int32)
    which = np.arange(len(of_class), dtype=np.int32) if objects else 0
    numbers[inside] = which * count + of_class + 1
    encoded = numbers[np.searchsorted(values, parts)]
    return encoded, ignored if ignored.any() else None


def objects_and_classes(
    labels: np.ndarray, path: Path, classes: Classes, objects: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The objects of a mask, and the class of each pixel.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(Y, X)`` integers of the file.
    path : Path
        Of the file; a table beside it tells that its labels are objects.
    classes : Classes
        Those that there are.
    objects : bool
        Whether objects are told apart.

    Returns
    -------
    labels : numpy.ndarray
        ``(Y, X)`` int32, 0 = background.
    kinds : numpy.ndarray
        ``(Y, X)`` int32, the class's label.
    ignored : numpy.ndarray or None
        ``(Y, X)`` bool: what nobody labelled.

    Raises
    ------
    InputError
        If a label has no class.
    """
    table, kind = None, classes.kind
    if kind == "instances" or table_path(path).is_file():
        table, kind = read_table(table_path(path), classes), "instances"
    encoded, ignored = encode(labels, replace(classes, kind=kind), table, objects)
    of_class = np.array([0, *(one.label for one in classes.classes)], np.int32)
    index = np.where(encoded > 0, (encoded - 1) % len(classes.classes) + 1, 0)
    return encoded, of_class[index], ignored


def check_present(encoded: Iterable[np.ndarray], classes: Classes) -> None:
    """Check that every class can be learnt.

    Parameters
    ----------
    encoded : iterable of numpy.ndarray
        Labels of all training images, from `encode`.
    classes : Classes
        The classes to learn.

    Raises
    ------
    InputError
        If no image has a pixel of a class.
    """
    count = len(classes.classes)
    seen: set[int] = set()
    for labels in encoded:
        present = np.unique(labels)
        seen |= set(((present[present > 0] - 1) % count).tolist())
    lacking = [
        f"{c.name} ({c.label})" for n, c in enumerate(classes.classes) if n not in seen
    ]
    if lacking:
        raise InputError(
            f"No training mask has a pixel of {some(lacking)}: label some, or take it "
            f"out of {CLASSES_FILE}."
        )
