"""Projects: the corrections, adapters and settings that belong to one job.

A project is a folder: ``project.json`` with its name and settings, ``corrections/``, a
training set, and ``adapters/``, its training runs. The default project is where all of
this was before there were projects. A training set opens as a project too: it stays
what it is, and its adapters and settings are stored beside it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_samsp.utils.atomic_files import write_atomically
from napari_samsp.utils.errors import InputError, in_words
from napari_samsp.utils.file_names import safe_name
from napari_samsp.utils.paths import (
    corrections_folder,
    home,
    projects_folder,
    runs_folder,
    widget_file,
)

FILE = "project.json"
DEFAULT = "Default"
LARGEST_FILE = 2**20
"""Bytes of a file of settings that somebody else may have written."""


@dataclass(frozen=True)
class Project:
    """Where a project keeps what belongs to it.

    Attributes
    ----------
    name : str
        As it is shown.
    folder : Path
        The project's folder.
    corrections : Path
        Its training set; made by the first correction.
    adapters : Path
        Its training runs, one folder each; may not exist yet.
    settings_file : Path
        JSON; may not exist yet.
    """

    name: str
    folder: Path
    corrections: Path
    adapters: Path
    settings_file: Path

    def settings(self) -> dict[str, Any]:
        """What was stored; empty if there is nothing, or nothing that can be read."""
        try:
            if self.settings_file.stat().st_size > LARGEST_FILE:
                return {}
            content = json.loads(self.settings_file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    def store(self, settings: dict[str, Any]) -> None:
        """Write settings; others that are in the file stay.

        Parameters
        ----------
        settings : dict
            Plain values by name.

        Raises
        ------
        OSError
            If the file cannot be written; the one before is left.
        """
        self.settings_file.parent.mkdir(parents=True, exist_ok=True)
        content = json.dumps(self.settings() | settings, indent=2)
        write_atomically(self.settings_file, content.encode())


def default_project() -> Project:
    """The project that is there without being made."""
    return Project(DEFAULT, home(), corrections_folder(), runs_folder(), widget_file())


def new_project(name: str) -> Project:
    """Make a project without corrections or adapters.

    Parameters
    ----------
    name : str
        As a person writes it; the folder's name is like it.

    Returns
    -------
    Project
        Of a folder that exists now, with a ``project.json``.

    Raises
    ------
    InputError
        If there is no name, the name is taken, or the disk refuses.
    """
    name = name.strip()
    if not name:
        raise InputError("A project needs a name.")
    taken = {project.name.casefold() for project in known_projects()}
    folder = projects_folder() / safe_name(name)
    if name.casefold() in taken or folder.exists():
        raise InputError(f"There is a project {name} already: choose another name.")
    try:
        folder.mkdir(parents=True)
        project = _of(folder, name)
        project.store({"name": name})
    except OSError as error:
        raise InputError(f"The project cannot be made: {in_words(error)}") from error
    return project


def open_project(folder: Path) -> Project:
    """Open a project, or a training set as one.

    Parameters
    ----------
    folder : Path
        With a ``project.json``, or with ``images`` and ``masks``.

    Returns
    -------
    Project
        The project with its settings.

    Raises
    ------
    InputError
        If the folder is neither.
    """
    if folder.resolve() == home().resolve():
        return default_project()
    if (folder / FILE).is_file() and not (folder / "images").is_dir():
        name = _of(folder, folder.name).settings().get("name")
        return _of(folder, name if isinstance(name, str) and name else folder.name)
    if (folder / "images").is_dir() and (folder / "masks").is_dir():
        return Project(folder.name, folder, folder, folder / "adapters", folder / FILE)
    raise InputError(
        f"{folder} is no project: it has neither a {FILE} nor the folders images and "
        "masks of a training set."
    )


def known_projects() -> list[Project]:
    """The default project, and those made in the widget by name."""
    found = [default_project()]
    for file in sorted(projects_folder().glob(f"*/{FILE}")):
        found.append(open_project(file.parent))
    return found


def _of(folder: Path, name: str) -> Project:
    return Project(
        name, folder, folder / "corrections", folder / "adapters", folder / FILE
    )
