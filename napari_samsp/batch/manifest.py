"""The list of what is done, in the output folder, so that a second call continues."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samsp.core.atomic_files import sync_folder
from napari_samsp.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_samsp.batch.segment_file import Outcome

MANIFEST_FILE = "manifest.jsonl"


@dataclass(frozen=True)
class State:
    """What tells whether a file changed: it is compared, its content is not read.

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
        """The state of a file or of an OME-Zarr folder.

        Raises
        ------
        OSError
            If it is gone.
        """
        found = [path.stat()]
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
        self._lines = _lines(text)
        self._needs_newline = bool(text) and not text.endswith("\n")

    def is_done(self, name: str, image: Path) -> bool:
        """Whether an image was segmented with these settings and did not change since.

        Parameters
        ----------
        name : str
            Of the output.
        image : Path
            The file.
        """
        line = self._lines.get(name)
        if line is None or line.get("status") != "done":
            return False
        try:
            state = State.of(image)
        except OSError:
            return False
        files = line.get("files")
        return (
            line.get("image") == str(image.resolve())
            and line.get("bytes") == state.bytes
            and line.get("modified") == state.modified
            and line.get("settings") == self._settings
            and isinstance(files, list)
            and all((self._folder / str(file)).exists() for file in files)
        )

    def add(self, name: str, outcome: Outcome, state: State | None) -> None:
        """Append what became of an image; it is on the disk when this returns.

        Parameters
        ----------
        name : str
            Of the output.
        outcome : Outcome
            What became of it.
        state : State or None
            Of the image before it was read; None if it was gone.
        """
        line = {
            "name": name,
            "status": "failed" if outcome.error else "done",
            "image": str(outcome.job.image.resolve()),
            "bytes": state.bytes if state else None,
            "modified": state.modified if state else None,
            "files": [
                file.relative_to(self._folder).as_posix() for file in outcome.files
            ],
            "seconds": round(outcome.seconds, 3),
            "error": outcome.error or None,
            "settings": self._settings,
        }
        text = json.dumps(line, ensure_ascii=False) + "\n"
        fresh = not self._path.exists()
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write("\n" + text if self._needs_newline else text)
            stream.flush()
            os.fsync(stream.fileno())
        if fresh:
            sync_folder(self._folder)
        self._needs_newline = False
        self._lines[name] = line


def read_manifest(folder: Path) -> list[dict[str, Any]]:
    """What is known of each image, as `Manifest.add` wrote it.

    Parameters
    ----------
    folder : Path
        The output folder.

    Returns
    -------
    list of dict
        An entry an image, the last one that was written; anyone may have changed it.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    return list(_lines(_text(folder / MANIFEST_FILE)).values())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}.") from error


def _lines(text: str) -> dict[str, dict[str, Any]]:
    """By name, the last line of each."""
    found = {}
    for line in text.splitlines():
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(content, dict) and "name" in content:
            found[str(content["name"])] = content
    return found
