"""Checkpoint files that the user opened, so that adapters made for them find them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from napari_samsp.utils.atomic_files import write_atomically
from napari_samsp.utils.paths import home

MOST = 20


@dataclass(frozen=True)
class KnownFile:
    """A checkpoint that the user opened.

    Attributes
    ----------
    path : str
        Absolute path of the file.
    sha256 : str
        SHA-256 of the file when it was last loaded; empty until then.
    """

    path: str
    sha256: str = ""


def known_files() -> list[KnownFile]:
    """The remembered files that are still there.

    Returns
    -------
    list of KnownFile
        The newest first.
    """
    try:
        content = json.loads(_list_file().read_text(encoding="utf-8"))
        known = [KnownFile(str(one["path"]), str(one["sha256"])) for one in content]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []  # a convenience: what is lost can be opened again
    return [one for one in known[:MOST] if _is_file(one.path)]


def remember(path: str | Path, sha256: str = "") -> None:
    """Put a file at the head of the list.

    Parameters
    ----------
    path : str or Path
        A checkpoint that was opened.
    sha256 : str
        Its SHA-256; if it is not given, the one that is known stays.

    Raises
    ------
    OSError
        If the list cannot be written.
    """
    path = str(Path(path).absolute())
    known = known_files()
    before = next((one.sha256 for one in known if one.path == path), "")
    first = KnownFile(path, sha256 or before)
    kept = [first, *(one for one in known if one.path != path)][:MOST]
    if kept != known:
        _list_file().parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps([asdict(one) for one in kept], indent=2)
        write_atomically(_list_file(), text.encode())


def find(name: str, sha256: str) -> Path | None:
    """Look a base model up, by its hash or else by its name.

    Parameters
    ----------
    name : str
        Name of the file, without a folder, as an adapter's card has it.
    sha256 : str
        SHA-256 of its content.

    Returns
    -------
    Path or None
        A file of this hash, or one of this name whose hash is not known yet.
    """
    known = known_files()
    for one in known:
        if one.sha256 == sha256:
            return Path(one.path)
    for one in known:
        if not one.sha256 and Path(one.path).name == name:
            return Path(one.path)
    return None


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # a name that no disk takes
        return False


def _list_file() -> Path:
    return home() / "checkpoints.json"
