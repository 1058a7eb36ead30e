"""Masks with classes: the table of an object's class, and labels that tell it.

Needs no torch.
"""

from __future__ import annotations

import csv
import io
import reprlib
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from napari_samsp.data.components import connected_parts
from napari_samsp.data.training_sets.classes import CLASSES_FILE
from napari_samsp.utils.errors import InputError, some
from napari_samsp.utils.file_names import composed, stem_of, suffix_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from napari_samsp.data.training_sets.classes import Classes

PlaneClasses = tuple[tuple[int | None, ...], np.ndarray]
TABLE_ENDING = ".classes.csv"
_MOST_TABLE_BYTES = 50_000_000


def read_table(path: Path, classes: Classes) -> dict[int, int]:
    """Read which class each object of a mask has.

    Parameters
    ----------
    path : Path
        A CSV file with the columns ``label`` and ``class``: the class's name or label.
    classes : Classes
        Those that there are.

    Returns
    -------
    dict
        Index of the class by the object's label.

    Raises
    ------
    InputError
        If it is missing or broken, names an object twice or a class that there is not.
    """
    by_name = {one.name.casefold(): n for n, one in enumerate(classes.classes)}
    by_label = {str(one.label): n for n, one in enumerate(classes.classes)}
    known = by_label | by_name
    found: dict[int, int] = {}
    try:
        if path.stat().st_size > _MOST_TABLE_BYTES:
            raise ValueError("it is too large")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not {"label", "class"} <= set(rows.fieldnames or ()):
                raise ValueError("it has no columns label and class")
            for row in rows:
                text, name = (row["label"] or "").strip(), (row["class"] or "").strip()
                label = int(text) if text.isascii() and text.isdigit() else 0
                if not 1 <= label <= np.iinfo(np.int32).max or len(text) > 10:
                    raise ValueError(f"line {rows.line_num} has no label from 1")
                if name.casefold() not in known:
                    raise ValueError(
                        f"object {label} has the class {reprlib.repr(name)}, which "
                        f"{CLASSES_FILE} does not name"
                    )
                if (
                    found.setdefault(label, known[name.casefold()])
                    != known[name.casefold()]
                ):
                    raise ValueError(f"object {label} has two classes")
    except FileNotFoundError as error:
        raise InputError(
            f"There is no {path.name} beside the mask: it tells the class of each "
            "object, in the columns label and class."
        ) from error
    except (OSError, ValueError, csv.Error) as error:
        reason = str(error).removesuffix(".")
        raise InputError(f"{path} cannot be used: {reason}.") from error
    return found


def table_path(mask: Path) -> Path:
    """Where the classes of a mask's objects are: ``NAME.classes.csv`` beside it."""
    return mask.with_name(stem_of(mask) + TABLE_ENDING)


def tables_in(folder: Path) -> dict[str, Path]:
    """The tables of a folder of masks, by the name that each shares with its mask."""
    return {
        composed(path.name.removesuffix(TABLE_ENDING)): path
        for path in sorted(folder.glob(f"*{TABLE_ENDING}"))
        if not path.name.startswith(".")
    }


def ending_of(path: Path) -> str:
    """What follows the sample's name in the name of one of its files."""
    if path.name.endswith(TABLE_ENDING):
        return TABLE_ENDING
    return path.name[-len(suffix_of(path)) :]


def table_bytes(classes: Mapping[int, int]) -> bytes:
    """Write the classes of a mask's objects, for `read_table`.

    Parameters
    ----------
    classes : mapping
        The class's label by the object's. Not its name: a class can be renamed later.

    Returns
    -------
    bytes
        The CSV file.
    """
    return _csv([("label", "class"), *sorted(classes.items())])


def class_table(
    axes: str, planes: Iterable[PlaneClasses], names: Mapping[int, str]
) -> bytes:
    """Write the classes of objects; of a single plane `read_table` reads them.

    Parameters
    ----------
    axes : str
        Of the planes' indices, such as ``z``; they come before label and class.
    planes : iterable of PlaneClasses
        Index of each plane, and by the object's label the class's; labels with class 0
        are left out.
    names : mapping
        Of the classes, by label.

    Returns
    -------
    bytes
        The CSV file.
    """
    rows: list[Sequence[object]] = [(*axes, "label", "class")]
    for plane, classes in planes:
        place = [n for n in plane if n is not None]
        for label, of_class in enumerate(classes.tolist()):
            if label and of_class:
                rows.append((*place, label, names[of_class]))
    return _csv(rows)


def read_class_table(path: Path) -> dict[tuple[int, ...], dict[int, str]]:
    """Read what `class_table` wrote.

    Returns
    -------
    dict
        Names of the classes by the plane's index and the object's label.

    Raises
    ------
    InputError
        If it is missing or broken.
    """
    found: dict[tuple[int, ...], dict[int, str]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for *plane, label, name in islice(csv.reader(file), 1, None):
                found.setdefault(tuple(map(int, plane)), {})[int(label)] = name
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be used: {error}") from error
    return found


def _csv(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


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
