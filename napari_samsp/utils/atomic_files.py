"""Files and folders that are complete at every moment, also after a crash."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_HERE = -100  # AT_FDCWD: relative paths are those of the process
_EXCHANGE = 2  # RENAME_EXCHANGE
_UNFINISHED = ".samsp-part"
"""Ends the hidden names of what is being written, so that it is told from the hidden
files of others, such as an editor's."""
_NAME_BYTES = 100
"""Bytes of a file's name that its hidden name keeps; file systems allow 255 in all."""


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    It is on the disk when this returns: a power cut does not take it back.

    Parameters
    ----------
    path : Path
        Its folder must exist.
    data : bytes
        Content of the file.

    Raises
    ------
    OSError
        As the file system says; no partial file is left.
    """
    with written_beside(path) as place:
        place.write_bytes(data)


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Let a file be written under another name, and take its place when it is whole.

    Parameters
    ----------
    path : Path
        Its folder must exist.

    Yields
    ------
    Path
        An empty file in the same folder, to be written and closed.

    Raises
    ------
    OSError
        As `write_atomically`.
    """
    place = _unfinished(path)
    try:
        # Made with the permissions that the user's umask gives.
        os.close(os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
        try:
            yield place
            with place.open("rb+") as stream:
                os.fsync(stream.fileno())
            os.replace(place, path)
        except BaseException:
            place.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        # A full disk does not say for which file, and others name the temporary one.
        raise OSError(error.errno, error.strerror, str(path)) from error


def folder_beside(path: Path) -> Path:
    """Make a hidden folder, to be filled and to take the place of another.

    Parameters
    ----------
    path : Path
        What it may become, see `replace_folder`; the folder that this is in must exist.

    Returns
    -------
    Path
        Empty; `remove_leftovers` knows it.

    Raises
    ------
    OSError
        As the file system says.
    """
    place = _unfinished(path)
    place.mkdir()
    return place


def sync_folder(folder: Path) -> None:
    """Put a folder's own entries on the disk, where the system can.

    Parameters
    ----------
    folder : Path
        A folder in which files were made, renamed or removed. Windows needs no call.
    """
    if os.name == "nt":
        return
    with suppress(OSError):  # some network file systems refuse
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync_tree(folder: Path) -> None:
    """Flush all files in a folder to the disk, which libraries wrote without doing so.

    Parameters
    ----------
    folder : Path
        The folder, with all folders in it.
    """
    for place, _, names in os.walk(folder):
        for name in names:
            # Windows syncs what is open for writing only.
            with (Path(place) / name).open("rb+") as stream:
                os.fsync(stream.fileno())
        sync_folder(Path(place))


def replace_folder(fresh: Path, folder: Path) -> None:
    """Put a folder in the place of another.

    On Linux both change places in one step. Elsewhere a crash between two renames
    leaves the old one beside, which `recover_folder` puts back.

    Parameters
    ----------
    fresh : Path
        The new folder, on the same disk; afterwards it has the other's name.
    folder : Path
        The folder to replace, if it exists.

    Raises
    ------
    OSError
        As the file system says; the old folder is in its place.
    """
    if not folder.exists():
        os.replace(fresh, folder)
    elif _exchange(fresh, folder):
        shutil.rmtree(fresh, ignore_errors=True)
    else:
        old = _old(folder)
        shutil.rmtree(old, ignore_errors=True)
        os.replace(folder, old)
        try:
            os.replace(fresh, folder)
        except BaseException:
            os.replace(old, folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    sync_folder(folder.parent)


def recover_folder(folder: Path) -> None:
    """Put a folder back that a crash caught between the renames of a replacement.

    Only for the one process that replaces it.

    Parameters
    ----------
    folder : Path
        The folder that was to be replaced.
    """
    old = _old(folder)
    if old.exists() and not folder.exists():
        os.replace(old, folder)


def remove_leftovers(folder: Path, names: tuple[str, ...]) -> None:
    """Remove what writes left behind that were killed, and nothing else.

    Only for the one process that writes there.

    Parameters
    ----------
    folder : Path
        The folder, which exists.
    names : tuple of str
        The files and folders that are written there.
    """
    ours = {_hidden(name) for name in names}
    for path in folder.iterdir():
        begins = path.name.removesuffix(_UNFINISHED).rpartition(".")[0] + "."
        if begins not in ours or not path.name.endswith(_UNFINISHED):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _old(folder: Path) -> Path:
    return folder.with_name(f"{_hidden(folder.name)}old{_UNFINISHED}")


def _unfinished(path: Path) -> Path:
    return path.with_name(f"{_hidden(path.name)}{secrets.token_hex(6)}{_UNFINISHED}")


def _hidden(name: str) -> str:
    """How hidden names for a file begin; whole characters, whatever their bytes."""
    return f".{os.fsencode(name)[:_NAME_BYTES].decode('utf-8', 'ignore')}."


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step; False where that is not possible."""
    if sys.platform != "linux":
        return False
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):  # an old or another C library
        return False
    code = rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)
    return bool(code == 0)
