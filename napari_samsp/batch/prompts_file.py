"""Points and boxes from a CSV file, in the columns of napari's points and shapes."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_samsp.utils.errors import InputError, in_words

if TYPE_CHECKING:
    from pathlib import Path

    from napari_samsp.inference.interactive.cut import Box

BOXES = ("rectangle", "ellipse", "polygon", "path", "line")
"""What napari calls its shapes; the bounding box of each counts."""


@dataclass(frozen=True)
class ObjectPrompt:
    """The points and the box of one object.

    Attributes
    ----------
    plane : tuple of int
        Indices of the slice in a stack; empty for a 2D image.
    points : tuple
        Row and column of each.
    inside : tuple of bool
        For each point, whether it is on the object.
    box : tuple of float or None
        row0, column0, row1, column1.
    """

    plane: tuple[int, ...]
    points: tuple[tuple[float, float], ...] = ()
    inside: tuple[bool, ...] = ()
    box: Box | None = None


class PromptsFile:
    """The prompts of images.

    Columns: ``index`` numbers the objects of an image; ``axis-0``, ``axis-1``, ... are
    the axes, rows and columns last; ``shape-type`` and ``vertex-index`` are those of
    napari's shapes. Two that napari does not write: ``image``, the file's name with or
    without its ending, and ``label``, 1 for a point on the object and 0 for one beside
    it. Points of one index and image are of one object.

    Parameters
    ----------
    path : Path
        The CSV file.

    Raises
    ------
    InputError
        If it cannot be read, or a column or number is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open(newline="", encoding="utf-8-sig") as stream:
                rows = list(csv.DictReader(stream))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            what = in_words(error) if isinstance(error, OSError) else str(error)
            raise InputError(f"{path} cannot be read as CSV: {what}") from error
        columns = set(rows[0]) if rows else set()
        axes = [f"axis-{n}" for n in range(len(columns)) if f"axis-{n}" in columns]
        if not rows or "index" not in columns or len(axes) < 2:
            raise InputError(
                f"{path} has no prompts: it needs the columns index, axis-0 and "
                "axis-1, as napari saves points and shapes."
            )
        self.names_images = "image" in columns
        self._objects: dict[str, list[ObjectPrompt]] = {}
        grouped: dict[tuple[str, str], list[dict[str, str]]] = {}
        for line, row in enumerate(rows, start=2):
            # The line's number is for messages.
            key = ((row.get("image") or "").strip(), (row.get("index") or "").strip())
            grouped.setdefault(key, []).append({**row, "": str(line)})
        for (image, _), group in grouped.items():
            self._objects.setdefault(image, []).append(self._object(group, axes))

    def of(self, image: Path) -> list[ObjectPrompt]:
        """The prompts of an image file, in the order of the CSV.

        Raises
        ------
        InputError
            If there are none.
        """
        name = image.name
        if not self.names_images:
            return self._objects[""]
        found = [
            prompt
            for known, prompts in self._objects.items()
            if known == name or (known and name.startswith(f"{known}."))
            for prompt in prompts
        ]
        if not found:
            raise InputError(f"{self._path} has no prompts of {name}.")
        return found

    def _object(self, group: list[dict[str, str]], axes: list[str]) -> ObjectPrompt:
        places = [tuple(self._number(row, axis) for axis in axes) for row in group]
        planes = {tuple(round(at) for at in place[:-2]) for place in places}
        if len(planes) > 1:
            raise InputError(
                f"{self._path}, line {group[0]['']}: the object lies on several "
                "slices; give each slice an index of its own."
            )
        plane = planes.pop()
        flat = tuple((place[-2], place[-1]) for place in places)
        kind = (group[0].get("shape-type") or "").strip()
        if not kind:
            labels = [row.get("label") or "1" for row in group]
            if not set(labels) <= {"0", "1"}:
                raise InputError(
                    f"{self._path}, line {group[0]['']}: label must be 1 (inside) or 0 "
                    "(outside)."
                )
            return ObjectPrompt(plane, flat, tuple(label == "1" for label in labels))
        if kind not in BOXES:
            raise InputError(f"{self._path}: {kind!r} is no shape of napari's.")
        rows, columns = zip(*flat, strict=True)
        return ObjectPrompt(
            plane, box=(min(rows), min(columns), max(rows), max(columns))
        )

    def _number(self, row: dict[str, str], axis: str) -> float:
        try:
            return float(row[axis])
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{self._path}, line {row['']}: {axis} is {row[axis]!r}, which is no "
                "number."
            ) from error
