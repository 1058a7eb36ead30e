"""The list of what is done, in the output folder, so that a second call continues."""

from __future__ import annotations

import json
import os
import re
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samsp.batch.object_sizes import as_columns
from napari_samsp.data.formats.scenes import file_of
from napari_samsp.data.image_files import is_ome_zarr
from napari_samsp.utils.atomic_files import sync_folder, write_atomically
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from napari_samsp.batch.job import Outcome

MANIFEST_FILE = "manifest.jsonl"
_BEGUN_FILE = ".manifest.begun"
_LABELS = re.compile(r"(\.iter\d+)?\.(tif|ome\.zarr|nii\.gz)|\.classes\.csv")
"""What follows an image's name in the names of its labels and of their classes."""


@dataclass(frozen=True)
class State:
    """Size and time of a file, by which a change is noticed without reading it.

    Attributes
    ----------
    bytes : int
        Size; of a folder that of all its files.
    modified : int
        Time of the last change in nanoseconds, of a folder that of the newest file.
    """

    bytes: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> State:
        """The state of a file, of that which a scene is in, or of an OME-Zarr folder.

        Raises
        ------
        OSError
            If it is gone.
        """
        found = [file_of(path).stat()]
        if path.is_dir():
            found = [
                (Path(place) / name).stat()
                for place, _, names in os.walk(path)
                for name in names
            ]
        return cls(
            sum(one.st_size for one in found),
            max((one.st_mtime_ns for one in found), default=0),
        )


class Manifest:
    """A line of JSON for every image that was tried; the last one of an image counts.

    A line that a crash cut short is left out when the list is read, and its image is
    done again. One call at a time writes it.

    It also tells which files are this command's own and may be replaced: those that it
    lists, unless somebody changed them since, and those that a call had begun when it
    was killed.

    Parameters
    ----------
    folder : Path
        The output folder, which exists.
    settings : mapping
        Plain values of all that the labels depend on, besides the image.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._folder, self._settings = folder, dict(settings)
        self._path = folder / MANIFEST_FILE
        text = _text(self._path)
        self._lines: dict[str, dict[str, Any]] = {}
        self._written: dict[str, State | None] = {}
        for line in _lines(text):
            self._note(line)
        self._begun = _read_begun(folder)
        self._needs_newline = bool(text) and not text.endswith("\n")

    def is_done(self, name: str, image: Path) -> bool:
        """Whether an image was segmented with these settings and did not change since.

        Parameters
        ----------
        name : str
            The output's name, relative to the folder and without its ending.
        image : Path
            The image file.
        """
        line = self._lines.get(name)
        if line is None or line.get("status") != "done":
            return False
        try:
            state = State.of(image)
        except OSError:
            return False
        files = _labels(line)
        return (
            line.get("image") == str(image.resolve())
            and line.get("bytes") == state.bytes
            and line.get("modified") == state.modified
            and line.get("settings") == self._settings
            and bool(files)
            and files == line["files"]
            and all(_has_content(self._folder / file) for file in files)
        )

    def line(self, name: str) -> dict[str, Any]:
        """The line of an image, which anyone may have edited; empty without one."""
        return self._lines.get(name, {})

    def labels(self, name: str) -> Path:
        """The labels of an image that `is_done`: those of its last iteration."""
        return self._folder / _labels(self._lines[name])[0]

    def others(self, names: Iterable[str]) -> list[str]:
        """Images besides these whose labels are in the folder."""
        return [
            name
            for name in sorted(self._lines.keys() - set(names))
            if any(
                (self._folder / file).exists() for file in _labels(self._lines[name])
            )
        ]

    def may_replace(self, file: str) -> bool:
        """Whether a file in the output folder is this command's own, or not there.

        Parameters
        ----------
        file : str
            Relative to the folder, with ``/``.

        Returns
        -------
        bool
            False for what others made, and for labels that were changed after they
            were written, such as by a correction.
        """
        path = self._folder / file
        if not os.path.lexists(path) or file in self._begun:
            return True
        if file not in self._written:
            return False
        return (
            self._written[file] is None  # listed by an earlier version
            or self._is_as_listed(file)
            or not _has_content(path)
        )

    def begin(self, files: Iterable[str]) -> None:
        """Note what is about to be written, so that a crash leaves no stranger's files.

        Parameters
        ----------
        files : iterable of str
            Relative to the folder, with ``/``; each may be replaced.
        """
        self._begun |= set(files)
        text = json.dumps(sorted(self._begun))
        write_atomically(self._folder / _BEGUN_FILE, text.encode())

    def end(self) -> None:
        """Forget what was begun, if all that was written is listed by now."""
        if all(
            self._is_as_listed(file) or not os.path.lexists(self._folder / file)
            for file in self._begun
        ):
            (self._folder / _BEGUN_FILE).unlink(missing_ok=True)

    def add(self, name: str, outcome: Outcome, state: State | None) -> None:
        """Append what became of an image; it is on the disk when this returns.

        Parameters
        ----------
        name : str
            The output's name, relative to the folder and without its ending.
        outcome : Outcome
            What became of it.
        state : State or None
            Of the image before it was read; None if it was gone.
        """
        files, meaning = outcome.files, outcome.classes
        line = {
            "name": name,
            "status": "failed" if outcome.error else "done",
            "image": str(outcome.job.image.resolve()),
            "bytes": state.bytes if state else None,
            "modified": state.modified if state else None,
            "files": [file.relative_to(self._folder).as_posix() for file in files],
            "written": [list(astuple(State.of(file))) for file in files],
            "seconds": round(outcome.seconds, 3),
            "error": outcome.error or None,
            **as_columns(outcome.scales),
            "settings": self._settings,
            "scores": [[round(score, 4) for score in one] for one in outcome.scores],
            "objects": outcome.count,
            **({} if outcome.look is None else {"look": outcome.look}),
            **({} if meaning is None else {"classes": meaning.as_dict()}),
        }
        text = _as_text(line)
        fresh = not self._path.exists()
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write("\n" + text if self._needs_newline else text)
            stream.flush()
            os.fsync(stream.fileno())
        if fresh:
            sync_folder(self._folder)
        self._needs_newline = False
        self._note(line)

    def _is_as_listed(self, file: str) -> bool:
        try:
            return self._written.get(file) == State.of(self._folder / file)
        except OSError:
            return False

    def _note(self, line: dict[str, Any]) -> None:
        self._lines[str(line["name"])] = line
        states = line.get("written")
        files = _labels(line)
        if not isinstance(states, list) or len(states) != len(files):
            states = [None] * len(files)  # as earlier versions wrote it
        for file, state in zip(files, states, strict=True):
            pair = isinstance(state, list) and len(state) == 2
            self._written[file] = State(*state) if pair else None


def read_manifest(folder: Path) -> list[dict[str, Any]]:
    """What is known of each image, as `Manifest.add` wrote it.

    Parameters
    ----------
    folder : Path
        The output folder.

    Returns
    -------
    list of dict
        One entry per image, the last one that was written; anyone may have changed it.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    lines = _lines(_text(folder / MANIFEST_FILE))
    return list({str(line["name"]): line for line in lines}.values())


def label_files(folder: Path) -> set[Path]:
    """The labels that the manifest of a folder lists, as absolute paths.

    Parameters
    ----------
    folder : Path
        The output folder, which need not exist.
    """
    return {
        folder.resolve() / file
        for line in _lines(_text(folder / MANIFEST_FILE))
        for file in _labels(line)
    }


def _text(path: Path) -> str:
    try:
        if os.path.lexists(path) and not path.is_file():
            # A pipe, a device or a broken link would block or swallow what is written.
            raise InputError(f"{path} is no plain file: remove it, or choose another.")
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}.") from error


def _lines(text: str) -> Iterator[dict[str, Any]]:
    # Not splitlines, which also splits at characters that a name may hold.
    for line in text.split("\n"):
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(content, dict) and "name" in content:
            yield content


def _as_text(line: dict[str, Any]) -> str:
    """A line of JSON, readable as far as its names are Unicode."""
    text = json.dumps(line, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a file's name that is not UTF-8
        text = json.dumps(line)
    return text + "\n"


def _labels(line: Mapping[str, Any]) -> list[str]:
    """The files of a line that can be its image's labels; anyone may have edited it."""
    files = line.get("files")
    name = str(line["name"])
    inside = not Path(name).anchor and ".." not in name.split("/")
    if not (inside and isinstance(files, list)):
        return []
    return [
        file
        for file in files
        if isinstance(file, str)
        and file.startswith(name)
        and _LABELS.fullmatch(file.removeprefix(name))
    ]


def _read_begun(folder: Path) -> set[str]:
    path = folder / _BEGUN_FILE
    try:
        content = json.loads(_text(path))
    except (ValueError, RecursionError):
        return set()
    return {str(file) for file in content} if isinstance(content, list) else set()


def _has_content(path: Path) -> bool:
    try:
        return is_ome_zarr(path) if path.is_dir() else path.stat().st_size > 0
    except OSError:
        return False
