"""``samples.jsonl``: a line of notes per sample; what is not understood is kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def read_list(path: Path) -> dict[str, dict[str, Any]]:
    """Read the notes of all samples.

    Parameters
    ----------
    path : Path
        The list, which may be missing: a person may have made the set.

    Returns
    -------
    dict
        The last line of each name. Broken lines are left out, so that they hide no
        image.
    """
    return {str(note["name"]): note for _, note in _lines(path) if note is not None}


def changed_list(path: Path, changes: Mapping[str, dict[str, Any] | None]) -> bytes:
    """The list with other notes of some samples.

    Parameters
    ----------
    path : Path
        The list, which may be missing.
    changes : mapping
        The new line by name; None takes it out.

    Returns
    -------
    bytes
        New lines are in the place of the old ones or at the end. All other lines, also
        comments and what another program wrote, are byte by byte as they were.
    """
    left = dict(changes)
    kept: list[bytes] = []
    for line, note in reversed(_lines(path)):  # of several, the last one counts
        name = "" if note is None else str(note["name"])
        if note is None or name not in changes:
            kept.append(line)
        elif (new := left.pop(name, None)) is not None:
            kept.append(json.dumps(new).encode())
    kept.reverse()
    kept += [json.dumps(new).encode() for new in left.values() if new is not None]
    return b"".join(line + b"\n" for line in kept)


def _lines(path: Path) -> list[tuple[bytes, dict[str, Any] | None]]:
    """Every line, and what it notes of a sample if it does."""
    try:
        content = path.read_bytes()
    except OSError:
        return []
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [(line, _note(line)) for line in lines]


def _note(line: bytes) -> dict[str, Any] | None:
    try:
        note = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return note if isinstance(note, dict) and "name" in note else None
