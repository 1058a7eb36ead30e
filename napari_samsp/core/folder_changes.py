"""Several files of a folder change as one, whoever else is there and whatever crashes.

A change is prepared in a folder of its own, ``.stage.*``. One rename to ``.change``
makes it valid; then its files are moved to their places. What a crash leaves before the
rename is thrown away, and what it leaves after it is finished by whoever comes next. A
lock, which the system takes from a process that dies, keeps two programs apart.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from napari_samsp.core.atomic_files import sync_folder, write_atomically
from napari_samsp.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 10.0
"""A change takes milliseconds; who holds the lock for longer is stuck."""
_LOCK, _STAGE, _VALID = ".lock", ".stage.", ".change"
_MOVES, _NEW = "moves.json", "new"


class Change:
    """What is to change in a folder; from `changing`.

    Paths are relative to the folder and use ``/``. A path that is moved away must not
    be written in the same change: who finishes it could not tell the old from the new.

    Parameters
    ----------
    stage : Path
        Where it is prepared.
    """

    def __init__(self, stage: Path) -> None:
        self._stage = stage
        self._moves: list[tuple[str, str]] = []

    def write(self, place: str, data: bytes) -> None:
        """Make or replace a file.

        Parameters
        ----------
        place : str
            Its path.
        data : bytes
            Its content.
        """
        path = self._stage / _NEW / place
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)

    def move(self, place: str, target: str) -> None:
        """Move a file that is there.

        Parameters
        ----------
        place, target : str
            From where to where.
        """
        self._moves.append((place, target))

    def seal(self) -> None:
        """Put all of it on the disk."""
        write_atomically(self._stage / _MOVES, json.dumps(self._moves).encode())


@contextmanager
def changing(folder: Path) -> Iterator[Change]:
    """Change files of a folder, alone, and all or none of them.

    Parameters
    ----------
    folder : Path
        Is made if it does not exist.

    Yields
    ------
    Change
        What is noted in it happens at the end, unless an error is raised before.

    Raises
    ------
    InputError
        If another program does not let go of the folder.
    OSError
        If the disk refuses; the files are as before, or the change is valid and the
        next one finishes it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        _finish(folder)
        for leftover in folder.glob(f"{_STAGE}*"):  # of a process that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        stage = Path(tempfile.mkdtemp(dir=folder, prefix=_STAGE))
        try:
            change = Change(stage)
            yield change
            change.seal()
            os.replace(stage, folder / _VALID)
        except BaseException:
            shutil.rmtree(stage, ignore_errors=True)
            raise
        sync_folder(folder)
        _finish(folder)


@contextmanager
def unchanging(folder: Path) -> Iterator[None]:
    """Read files of a folder that belong together, while nobody changes them.

    Parameters
    ----------
    folder : Path
        One that `changing` never touched is read as it is, and so is one that may not
        be written.

    Yields
    ------
    None

    Raises
    ------
    InputError
        If another program does not let go of the folder, or a change that was cut short
        cannot be finished.
    """
    lock = folder / _LOCK
    if not lock.is_file() or not os.access(lock, os.W_OK):
        yield
        return
    with _locked(folder):
        try:
            _finish(folder)
        except OSError as error:
            raise InputError(
                f"The last change of {folder} was cut short and cannot be finished: "
                f"{error.strerror}; make the folder writable."
            ) from error
        yield


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    # One object a file, so that a thread may lock within its own lock. Whoever may
    # write into the folder, such as a team's, may lock it.
    lock = FileLock(folder / _LOCK, PATIENCE_S, mode=0o666, is_singleton=True)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(
            f"Another program has been writing to {folder} for {PATIENCE_S:.0f} s: "
            "wait for it, or close it, and try again."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _finish(folder: Path) -> None:
    """Take the steps of a valid change that were not taken yet."""
    valid = folder / _VALID
    if not valid.is_dir():
        return
    touched = {folder}
    if (valid / _MOVES).is_file():  # gone only when all else is done
        for place, target in _moves(valid):
            if (folder / place).exists():
                touched |= _move(folder / place, folder / target)
        for path in sorted((valid / _NEW).rglob("*")):
            if path.is_file():
                touched |= _move(path, folder / path.relative_to(valid / _NEW))
        for changed in touched:
            sync_folder(changed)
    shutil.rmtree(valid)


def _moves(valid: Path) -> list[tuple[str, str]]:
    """The moves of a valid change; a folder from elsewhere may ask for anything."""
    try:
        moves = json.loads((valid / _MOVES).read_text(encoding="utf-8"))
        paths = [Path(path) for place, target in moves for path in (place, target)]
        if any(path.anchor or ".." in path.parts for path in paths):
            raise ValueError("it names what lies elsewhere")
    except (ValueError, TypeError) as error:
        raise InputError(
            f"The last change of {valid.parent} cannot be finished ({error}): if you "
            f"do not know where the folder comes from, remove {valid}."
        ) from error
    return [(place, target) for place, target in moves]


def _move(path: Path, target: Path) -> set[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(path, target)
    return {path.parent, target.parent, target.parent.parent}
