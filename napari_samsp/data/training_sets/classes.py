"""``classes.json``: the classes of a training set, and what its labels mean.

It may come from a person or another program: it is read within limits, and each error
is a sentence. Needs no torch.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from napari_samsp.utils.atomic_files import write_atomically
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CLASSES_FILE = "classes.json"
KINDS = ("semantic", "instances")
IGNORE = 255
"""The label of what nobody labelled in semantic masks, if nothing else is said."""
MOST_CLASSES = 64
"""Each class is a decoding, and a map of every tile."""
MOST_NAME = 80
HIGHEST_LABEL = 65_535
COLORS = (
    "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7",
)  # fmt: skip
"""Told apart by the colour-blind too (Okabe and Ito, 2008)."""
_MOST_BYTES = 1_000_000
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_NUMBER = re.compile(r"[+-]?(\d+)(\.0*)?")
"""Whole numbers, also as a spreadsheet writes them."""


@dataclass(frozen=True)
class LabelClass:
    """A class that labels can mean.

    Attributes
    ----------
    label : int
        Its number in semantic masks, from 1.
    name : str
        What a person calls it.
    color : str
        ``#rrggbb``.
    """

    label: int
    name: str
    color: str


@dataclass(frozen=True)
class Classes:
    """What the labels of a training set mean.

    Attributes
    ----------
    kind : {"semantic", "instances"}
        Whether a label is a class, or an object whose class a table tells.
    classes : tuple of LabelClass
        At least one; the K-th has index K - 1 in the model.
    ignore : tuple of int
        Labels of pixels that nobody labelled: they carry no loss.
    """

    kind: Literal["semantic", "instances"]
    classes: tuple[LabelClass, ...]
    ignore: tuple[int, ...] = (IGNORE,)

    @property
    def names(self) -> list[str]:
        """Of the classes, in order."""
        return [one.name for one in self.classes]

    def index_of(self, text: str) -> int | None:
        """Index of the class that a table means, by its name or label; None: of none.

        The two cannot be confused, see `parse_classes`.
        """
        for n, one in enumerate(self.classes):
            if text.casefold() == one.name.casefold() or text == str(one.label):
                return n
        return None

    def as_dict(self) -> dict[str, Any]:
        """What `parse_classes` reads."""
        ignore = list(self.ignore)
        return {
            "kind": self.kind,
            "classes": [asdict(one) for one in self.classes],
            "ignore": ignore[0] if len(ignore) == 1 else ignore or None,
        }


class OtherProgramError(InputError):
    """A ``classes.json`` that some other program wrote: it is none of ours."""


def meaning_of(classes: Sequence[LabelClass], objects: bool) -> Classes | None:
    """What the labels of a model mean; None if it tells no classes apart.

    Parameters
    ----------
    classes : sequence of LabelClass
        Those of the model.
    objects : bool
        Whether labels are objects.
    """
    if len(classes) < 2:
        return None
    return Classes("instances" if objects else "semantic", tuple(classes), ())


def read_classes(folder: Path) -> Classes | None:
    """Read a folder's ``classes.json``.

    Parameters
    ----------
    folder : Path
        A training set, or a folder of masks.

    Returns
    -------
    Classes or None
        None if there is no such file.

    Raises
    ------
    OtherProgramError
        If it is no such file: other programs use this name, too.
    InputError
        If it is broken.
    """
    path, ours = folder / CLASSES_FILE, True
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too large")
        content = json.loads(path.read_text(encoding="utf-8"))
        ours = _is_ours(content)
        return parse_classes(content)
    except RecursionError as error:
        raise InputError(f"{path} cannot be used: nested too deep.") from error
    except (OSError, ValueError) as error:
        reason = str(error).removesuffix(".")
        kind = InputError if ours else OtherProgramError
        raise kind(f"{path} cannot be used: {reason}.") from error


def classes_bytes(classes: Classes) -> bytes:
    """The content of a ``classes.json``."""
    text = json.dumps(classes.as_dict(), indent=2, ensure_ascii=False)
    return f"{text}\n".encode()


def write_classes(folder: Path, classes: Classes) -> None:
    """Write a folder's ``classes.json``, atomically."""
    write_atomically(folder / CLASSES_FILE, classes_bytes(classes))


def classes_to_learn(folder: Path) -> Classes:
    """What the labels of a training set mean.

    Parameters
    ----------
    folder : Path
        The training set's folder.

    Returns
    -------
    Classes
        Those that ``classes.json`` names.

    Raises
    ------
    InputError
        If there is none, or it is broken.
    """
    found = read_classes(folder)
    if found is None:
        raise InputError(
            f"There is no {CLASSES_FILE} in {folder}: it tells what labels mean, such "
            'as {"kind": "semantic", "classes": [{"label": 1, "name": "leaf"}, '
            '{"label": 2, "name": "spot"}]}.'
        )
    return found


def changed_classes(folder: Path, classes: Classes) -> bool:
    """Whether a training set would get another ``classes.json``.

    Parameters
    ----------
    folder : Path
        The training set's folder.
    classes : Classes
        What its labels are to mean.

    Raises
    ------
    InputError
        If what is there is broken, or says that labels are another kind of thing.
    """
    before = read_classes(folder)
    if before is not None and before.kind != classes.kind:
        areas, objects = "areas of a class", "objects, each with a class"
        meant = (areas, objects) if before.kind == "semantic" else (objects, areas)
        raise InputError(
            f"The labels of {folder} are {meant[0]}, not {meant[1]}: begin another "
            "project for those."
        )
    return classes != before


def parse_classes(content: Any) -> Classes:
    """Check the content of a ``classes.json``.

    Parameters
    ----------
    content : object
        ``{"kind": ..., "classes": [{"label", "name", "color"}], "ignore": 255}``;
        ``ignore`` may be null, a label or a list of them. A class called *ignore* is
        not labelled either. Colours may be left out. No class is called like a number
        that is not its label: a table of objects would mean another class.

    Returns
    -------
    Classes
        In the order of the labels.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if not isinstance(content, dict) or not isinstance(content.get("classes"), list):
        raise ValueError('it has no list "classes"')
    kind = content.get("kind")
    if kind not in KINDS:
        raise ValueError(
            f'its "kind" is {reprlib.repr(kind)}, not {" or ".join(KINDS)}'
        )
    if len(content["classes"]) > MOST_CLASSES + 1:
        raise ValueError(
            f"it has {len(content['classes']):,} classes, and at most {MOST_CLASSES} "
            "can be learnt: put together those that you do not need apart"
        )
    found = [_parse_class(n, one) for n, one in enumerate(content["classes"])]
    unlabelled = {one.label for one in found if one.name.casefold() == "ignore"}
    classes = sorted(
        (one for one in found if one.label not in unlabelled), key=lambda c: c.label
    )
    check_classes(classes)
    labels = {one.label for one in classes}
    # Of 300 objects, one has the label 255.
    usual = sorted({IGNORE} - labels) if kind == "semantic" else []
    ignore = _parse_ignore(content.get("ignore", usual))
    if both := sorted(labels & ignore):
        raise ValueError(f"the label {both[0]} is a class and to be ignored")
    return Classes(kind, tuple(classes), tuple(sorted(ignore | unlabelled)))


def check_classes(classes: Sequence[LabelClass]) -> None:
    """Check that classes can be told apart.

    Raises
    ------
    ValueError
        If there is none, or too many, or two have one label or name.
    """
    if not classes:
        raise ValueError("it names no class")
    if len(classes) > MOST_CLASSES:
        raise ValueError(f"it has {len(classes)} classes, more than {MOST_CLASSES}")
    for what, values in (
        ("label", [str(one.label) for one in classes]),
        ("name", [one.name.casefold() for one in classes]),
    ):
        first, times = Counter(values).most_common(1)[0]
        if times > 1:
            raise ValueError(f"two classes have the {what} {first}")


def _is_ours(content: Any) -> bool:
    """Whether this was meant to be ours, however broken it is."""
    # Lists of names, and dicts of names by number, are what other programs write.
    listed = content.get("classes") if isinstance(content, dict) else None
    return isinstance(listed, list) and (
        "kind" in content
        or any(isinstance(one, dict) and "label" in one for one in listed)
    )


def _parse_class(number: int, one: Any) -> LabelClass:
    which = f"class {number + 1} of the list"
    if not isinstance(one, dict):
        raise ValueError(f"{which} is {reprlib.repr(one)}")
    label, name = one.get("label"), one.get("name")
    if type(label) is not int or not 1 <= label <= HIGHEST_LABEL:
        raise ValueError(
            f"the label of {which} is {reprlib.repr(label)}, not a number from 1 to "
            f"{HIGHEST_LABEL}"
        )
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"the class with label {label} has no name")
    name = name.strip()
    if len(name) > MOST_NAME or not name.isprintable():
        raise ValueError(
            f"the name of the class with label {label} is longer than {MOST_NAME} "
            "characters, or holds some that cannot be shown"
        )
    like_number = _NUMBER.fullmatch(name)
    if like_number and int(like_number[1]) != label:
        raise ValueError(
            f"the class with label {label} is called {name}, which a table of objects "
            f"takes for a label: give it a name such as class {name}"
        )
    color = one.get("color")
    if color is None:
        color = default_color(label)
    if not isinstance(color, str) or not _COLOR.fullmatch(color):
        raise ValueError(
            f"the color of {name} is {reprlib.repr(color)}, not one such as #e69f00"
        )
    return LabelClass(label, name, color.lower())


def _parse_ignore(value: Any) -> set[int]:
    labels = value if isinstance(value, list) else [] if value is None else [value]
    if len(labels) > MOST_CLASSES or not all(
        type(label) is int and 1 <= label <= HIGHEST_LABEL for label in labels
    ):
        raise ValueError(f'"ignore" is {reprlib.repr(value)}, not a label')
    return set(labels)


def default_color(label: int) -> str:
    """A colour for a class that has none of its own."""
    return COLORS[(label - 1) % len(COLORS)]
