"""JSON files that others wrote: read within limits, and checked piece by piece."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.utils.atomic_files import write_atomically
from napari_samsp.utils.errors import InputError, is_out_of_memory

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 1_000_000_000
"""COCO's own annotations of 118,000 images are half of that."""


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Parameters
    ----------
    path : Path
        Of at most `MOST_BYTES`.

    Returns
    -------
    object
        The decoded JSON.

    Raises
    ------
    InputError
        If it is too large or no JSON.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise InputError(
            f"{path} has {size:,} bytes, more than the {MOST_BYTES:,} that are read: "
            "split it."
        )
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no valid JSON: {error}.") from error
    except MemoryError as error:
        assert is_out_of_memory(error)
        raise InputError(f"{path} does not fit into memory: split it.") from error


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, atomically."""
    write_atomically(path, (json.dumps(content) + "\n").encode())


def items(path: Path, content: Any, key: str) -> list[dict[str, Any]]:
    """A list of objects in a JSON object, or an error that names it.

    Parameters
    ----------
    path : Path
        The file, for the message.
    content : object
        Supposed to be a mapping.
    key : str
        The key whose value must be a list.

    Raises
    ------
    InputError
        If there is no such list.
    """
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise InputError(f"{path} has no list of {key!r}.")
    return found


def points(path: Path, values: Any) -> np.ndarray:
    """Coordinates as an array.

    Parameters
    ----------
    path : Path
        The file, for the message.
    values : object
        Supposed to be pairs of x and y, or these one after the other.

    Returns
    -------
    numpy.ndarray
        ``(N, 2)`` float64.

    Raises
    ------
    InputError
        If they are something else.
    """
    try:
        array = np.array(values, np.float64)
        if array.ndim == 2:
            array = array[:, :2]  # a third number is a height
        array = array.reshape(-1, 2)
    except (ValueError, TypeError, OverflowError, IndexError) as error:
        raise InputError(f"{path} has an outline that is no list of x, y.") from error
    if not np.isfinite(array).all():
        raise InputError(f"{path} has coordinates that are not finite.")
    return array


def whole(value: Any) -> int:
    """A positive whole number, also as text; 0 for anything else."""
    text = str(value) if isinstance(value, int | str) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
