"""``NAME.classes.csv``: the class of each object of a mask, or of a stack's labels.

Needs no torch.
"""

from __future__ import annotations

import csv
import io
import reprlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_samsp.data.training_sets.classes import (
    CLASSES_FILE,
    OtherProgramError,
    read_classes,
)
from napari_samsp.utils.errors import InputError, some
from napari_samsp.utils.file_names import composed, stem_of, suffix_of
from napari_samsp.utils.notes import tell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_samsp.data.training_sets.classes import Classes

PlaneClasses = tuple[tuple[int | None, ...], np.ndarray]
NamesByPlane = dict[tuple[int, ...], dict[int, str]]
"""Names of classes by the index of a plane, ``()`` for those of all planes, and by the
object's label."""
TABLE_ENDING = ".classes.csv"
_MOST_TABLE_BYTES = 50_000_000


@dataclass(frozen=True)
class ClassNames:
    """What the labels of a file, of one plane or of a stack, are called.

    Attributes
    ----------
    by_plane : dict
        Names by the index of the plane and the label.
    source : str
        The file that must name every label; empty if some may have no class.
    ignored : tuple of int
        Labels of what nobody labelled: they have no class.
    """

    by_plane: NamesByPlane
    source: str = ""
    ignored: tuple[int, ...] = ()

    @classmethod
    def of_areas(cls, classes: Classes, source: str = "") -> ClassNames:
        """The names of labels that are classes."""
        names = {one.label: one.name for one in classes.classes}
        return cls({(): names}, source, classes.ignore)

    def of_plane(self, index: Sequence[int]) -> dict[int, str]:
        """The names of a plane's labels."""
        return self.by_plane.get((), {}) | self.by_plane.get(tuple(index), {})

    def check(self, labels: Iterable[int], names: Iterable[str]) -> None:
        """Check that labels have names.

        Parameters
        ----------
        labels, names : iterable
            What was found, one for one; a name is empty where there is none.

        Raises
        ------
        InputError
            If one has none, and the source must name it.
        """
        lacking = {
            label
            for label, name in zip(labels, names, strict=True)
            if not name and label not in self.ignored
        }
        if self.source and lacking:
            raise InputError(
                f"The label {some([str(n) for n in sorted(lacking)])} has no class in "
                f"{self.source}: add it there."
            )


def classes_beside(labels: Path, top: Path | None = None) -> Classes | None:
    """What the labels of a file mean, as far as a ``classes.json`` tells.

    Parameters
    ----------
    labels : Path
        A file or an OME-Zarr.
    top : Path, optional
        The folder that was given, if the file may lie in a folder of it.

    Returns
    -------
    Classes or None
        Those of its folder, of the training set whose mask it is, or else of ``top``.
        A file of another program is told of, and left out.

    Raises
    ------
    InputError
        If the file is broken.
    """
    folder = labels.absolute().parent
    places = [folder, folder.parent] if folder.name == "masks" else [folder]
    for place in places if top is None else [*places, top]:
        try:
            found = read_classes(place)
        except OtherProgramError as error:
            tell(f"{error} It seems to be of another program, and is left out.")
            continue
        if found is not None:
            return found
    return None


def names_beside(
    labels: Path, classes: Classes | None, depth: int = 0
) -> ClassNames | None:
    """What the labels of a file are called.

    Parameters
    ----------
    labels : Path
        The file; a table ``NAME.classes.csv`` beside it tells the classes of objects.
    classes : Classes or None
        Of its folder, if those are known: of areas they name the labels, of objects
        they name what the table tells.
    depth : int
        How many axes the file has besides those of a plane.

    Returns
    -------
    ClassNames or None
        None if labels have no classes.

    Raises
    ------
    InputError
        If the table is broken, or is that of another file.
    """
    table = table_path(labels)
    ignored = classes.ignore if classes is not None else ()
    if table.is_file():
        found = read_class_table(table, classes)
        if any(len(plane) not in (0, depth) for plane in found):
            raise InputError(
                f"{table} cannot be used: its columns before label are not those of "
                f"the slices of {labels.name}."
            )
        return ClassNames(found, str(table), ignored)
    if classes is None or classes.kind == "instances":
        return None
    return ClassNames.of_areas(classes, CLASSES_FILE)


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
        If it is missing or broken, names an object twice or a class that there is not,
        or tells of the slices of a stack.
    """
    found = read_class_table(path, classes)
    if found.keys() - {()}:
        raise InputError(f"{path} cannot be used: it is of a stack, not of one mask.")
    index = {name: n for n, name in enumerate(classes.names)}
    return {label: index[name] for label, name in found.get((), {}).items()}


def read_class_table(path: Path, classes: Classes | None = None) -> NamesByPlane:
    """Read the classes of objects, of one plane or of several.

    Parameters
    ----------
    path : Path
        A CSV file with the columns ``label`` and ``class``, and before them one with a
        letter for each axis of a stack, as `class_table` writes them.
    classes : Classes, optional
        Those that there are: the table tells their names or labels. Default: it tells
        any names.

    Returns
    -------
    dict
        Names by plane and label.

    Raises
    ------
    InputError
        If it is missing or broken, names an object twice or a class that there is not.
    """
    found: NamesByPlane = {}
    try:
        if path.stat().st_size > _MOST_TABLE_BYTES:
            raise ValueError("it is too large")
        for plane, label, text in _rows(path):
            name = text
            if classes is not None:
                index = classes.index_of(text)
                name = "" if index is None else classes.names[index]
            if not name:
                raise ValueError(
                    f"object {label} has the class {reprlib.repr(text)}, which "
                    f"{CLASSES_FILE} does not name"
                    if classes is not None
                    else f"object {label} has no class"
                )
            if found.setdefault(plane, {}).setdefault(label, name) != name:
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


def _rows(path: Path) -> Iterator[tuple[tuple[int, ...], int, str]]:
    """Plane, label and class of each row; what is none of these is left out."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        header = list(rows.fieldnames or ())
        if not {"label", "class"} <= set(header):
            raise ValueError("it has no columns label and class")
        axes = [name for name in header[: header.index("label")] if len(name) == 1]
        for row in rows:
            label = _whole(row["label"])
            if not label:
                raise ValueError(f"line {rows.line_num} has no label from 1")
            plane = [_whole(row[axis]) for axis in axes]
            if None in plane:
                raise ValueError(f"line {rows.line_num} does not say which slice")
            yield (
                tuple(n for n in plane if n is not None),
                label,
                (row["class"] or "").strip(),
            )


def _whole(text: str | None) -> int | None:
    """A number of 32 bits from 0, else nothing."""
    text = (text or "").strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        return None
    number = int(text)
    return number if number <= np.iinfo(np.int32).max else None


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


def _csv(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
