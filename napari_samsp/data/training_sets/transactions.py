"""Several files of a folder change as one, whoever else is there and whatever crashes.

A change is prepared in a folder of its own, ``.stage.*``. One rename to ``.change``
makes it valid; then its files are moved to their places. What a crash leaves before the
rename is thrown away, and what it leaves after it is finished by whoever comes next. A
lock, which the system takes from a process that dies, keeps two programs apart.

A folder from elsewhere may bring a change with it that asks for anything. So a change
is finished only in the place where it was prepared, and its paths never pass a link.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from napari_samsp.utils.atomic_files import sync_folder, write_atomically
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 10.0
"""A change takes milliseconds; a program that holds the lock for longer is stuck."""
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
            Path of the file, relative to the folder.
        data : bytes
            Content of the file.
        """
        path = self._stage / _NEW / place
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)

    def move(self, place: str, target: str) -> None:
        """Move a file that is there.

        Parameters
        ----------
        place, target : str
            Its path now, and its path after the change; both relative to the folder.
        """
        self._moves.append((place, target))

    def seal(self) -> None:
        """Put all of it on the disk.

        Raises
        ------
        InputError
            If one of its paths leads through a link.
        """
        _check_paths(self._stage.parent, self._stage, self._moves)
        content = {"id": _id(self._stage), "moves": self._moves}
        write_atomically(self._stage / _MOVES, json.dumps(content).encode())


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
        If another program does not let go of the folder, or a path in it leads through
        a link.
    OSError
        If the disk refuses; the files are as before, or the change is valid and the
        next one finishes it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        _finish(folder)
        for leftover in folder.glob(f"{_STAGE}*"):  # of a process that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        stage = folder / f"{_STAGE}{secrets.token_hex(6)}"
        stage.mkdir()
        try:
            change = Change(stage)
            yield change
            change.seal()
            os.replace(stage, folder / _VALID)
        except BaseException as error:
            shutil.rmtree(stage, ignore_errors=True)
            if isinstance(error, OSError) and error.filename:
                # What is being prepared is hidden, and by now it is gone.
                meant = str(error.filename).replace(str(stage / _NEW), str(folder))
                error.filename = str(folder) if str(stage) in meant else meant
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
    lock = lock_of(folder, PATIENCE_S)
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


def lock_of(folder: Path, patience: float) -> FileLock:
    """The lock of a folder, which all use who write there.

    Parameters
    ----------
    folder : Path
        It exists. Whoever may write into it, such as a team, may lock it.
    patience : float
        How many seconds to wait for whoever holds it.

    Returns
    -------
    FileLock
        The same object for the same folder, so that a thread may lock again within its
        own lock.

    Raises
    ------
    InputError
        If the lock is a link, which would empty the file that it leads to.
    """
    path = folder / _LOCK
    if path.is_symlink():
        raise InputError(f"{path} is a link: remove it, it is none of ours.")
    mode = folder.stat().st_mode & 0o666
    return FileLock(path, patience, mode=mode, is_singleton=True)


def _finish(folder: Path) -> None:
    """Take the steps of a valid change that were not taken yet."""
    valid = folder / _VALID
    if not os.path.lexists(valid):
        return
    touched = {folder}
    if os.path.lexists(valid / _MOVES):  # gone only when all else is done
        moves = _moves(folder, valid)
        for place, target in moves:
            if (folder / place).exists():
                touched |= _move(folder / place, folder / target)
        for place in _new_files(valid):
            touched |= _move(valid / _NEW / place, folder / place)
        for changed in touched:
            sync_folder(changed)
    elif _is_link(valid) or not valid.is_dir():
        raise InputError(f"{valid} is no change of ours: remove it.")
    shutil.rmtree(valid)


def _moves(folder: Path, valid: Path) -> list[tuple[str, str]]:
    """The moves of a change, if it was prepared here and stays within the folder."""
    try:
        if _is_link(valid) or _is_link(valid / _MOVES):
            raise ValueError("it is a link")
        content = json.loads((valid / _MOVES).read_text(encoding="utf-8"))
        if content["id"] != _id(valid):
            raise ValueError("it was prepared in another place")
        moves = [(str(place), str(target)) for place, target in content["moves"]]
        _check_paths(folder, valid, moves)
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        reason = str(error).removesuffix(".") or type(error).__name__
        raise InputError(
            f"The change {valid} that came with the folder is not finished ({reason}): "
            "remove it, then look at the samples that it was to change."
        ) from error
    return moves


def _check_paths(folder: Path, stage: Path, moves: list[tuple[str, str]]) -> None:
    """Raise `InputError` unless a change stays in its folder, whatever its links."""
    paths = [path for move in moves for path in move] + _new_files(stage)
    for path in map(Path, paths):
        hidden = any(part.startswith(".") for part in path.parts)
        if path.anchor or not path.parts or hidden:
            raise InputError(f"{path} is no place in {folder}")
        for parent in [folder / parent for parent in path.parents][:-1]:
            if _is_link(parent):
                raise InputError(
                    f"{parent} is a link, and changes do not pass links: put a real "
                    "folder in its place."
                )


def _new_files(stage: Path) -> list[str]:
    """The files that are to come, relative to the folder, in order."""
    top = stage / _NEW
    found = []
    for place, folders, names in os.walk(top):
        for name in [*folders, *names]:
            if _is_link(Path(place, name)):
                raise InputError(f"{Path(place, name)} is a link")
        found += [Path(place, name).relative_to(top).as_posix() for name in names]
    if _is_link(top):
        raise InputError(f"{top} is a link")
    return sorted(found)


def _is_link(path: Path) -> bool:
    if sys.version_info >= (3, 12) and path.is_junction():  # Windows' own kind
        return True
    return path.is_symlink()


def _id(stage: Path) -> int:
    """What a folder keeps when it is renamed, and a copy of it has not."""
    return stage.stat().st_ino


def _move(path: Path, target: Path) -> set[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(path, target)
    return {path.parent, target.parent, target.parent.parent}
