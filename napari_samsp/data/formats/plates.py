"""OME-Zarr plates: wells and fields, each an image of its own."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from napari_samsp.utils.errors import InputError


def fields_of(path: Path) -> list[Path]:
    """The images of a plate or of a well.

    Parameters
    ----------
    path : Path
        Any folder.

    Returns
    -------
    list of Path
        In the order of the file; none if it is neither.

    Raises
    ------
    InputError
        If it names places outside of itself, or has no field.
    """
    attributes = _attributes(path)
    if "plate" in attributes:
        wells = [
            path / _inside(path, one) for one in _list(attributes, "plate", "wells")
        ]
        found = [field for well in wells for field in fields_of(well)]
    elif "well" in attributes:
        images = _list(attributes, "well", "images")
        found = [path / _inside(path, one) for one in images]
    else:
        return []
    if not found:
        raise InputError(f"The plate or well {path} has no field.")
    return found


def field_name(path: Path) -> str:
    """What a field of a plate is called.

    Parameters
    ----------
    path : Path
        A field of a plate, or any other image.

    Returns
    -------
    str
        Such as ``plate_A1_0`` for ``plate.zarr/A/1/0``; nothing for other images.
    """
    if len(path.parts) < 4 or "well" not in _attributes(path.parent):
        return ""
    plate = path.parents[2]
    row, column, field = path.parts[-3:]
    name = plate.name.removesuffix(".zarr").removesuffix(".ome")
    return f"{name}_{row}{column}_{field}"


def _attributes(path: Path) -> dict[str, Any]:
    """The attributes of a Zarr group of format 2 or 3; none of what is no group."""
    for name in (".zattrs", "zarr.json"):
        try:
            content = json.loads((path / name).read_text("utf-8"))
        except (OSError, ValueError):
            continue
        if name == "zarr.json" and isinstance(content, dict):
            content = content.get("attributes")
        if isinstance(content, dict):
            inner = content.get("ome")
            return inner if isinstance(inner, dict) else content
    return {}


def _list(attributes: dict[str, Any], kind: str, what: str) -> list[Any]:
    inside = attributes[kind]
    found = inside.get(what) if isinstance(inside, dict) else None
    return found if isinstance(found, list) else []


def _inside(path: Path, entry: Any) -> str:
    name = str(entry.get("path")) if isinstance(entry, dict) else ""
    place = PurePosixPath(name)
    if not name or place.is_absolute() or ".." in place.parts or "\\" in name:
        raise InputError(f"{path} names a field {name!r}, which is not in it.")
    return name
