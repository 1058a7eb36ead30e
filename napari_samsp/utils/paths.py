"""Where models, corrections and runs live on the user's disk."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

HOME_VARIABLE = "NAPARI_SAMSP_HOME"


def home() -> Path:
    """The folder of everything that we keep.

    Returns
    -------
    Path
        ``$NAPARI_SAMSP_HOME`` if set, else the platform's place for user data. It may
        not exist yet.
    """
    moved = os.environ.get(HOME_VARIABLE)
    return Path(moved) if moved else Path(platformdirs.user_data_dir("napari-samsp"))


def models_folder() -> Path:
    """Where downloaded checkpoints are kept."""
    return home() / "models"


def corrections_folder() -> Path:
    """The correction set of the default project."""
    return home() / "corrections"


def runs_folder() -> Path:
    """The training runs of the default project, one folder each."""
    return home() / "runs"


def projects_folder() -> Path:
    """Projects that were made in the widget, one folder each."""
    return home() / "projects"


def embeddings_folder() -> Path:
    """Image embeddings that the widget computed; may be deleted at any time."""
    moved = os.environ.get(HOME_VARIABLE)
    cache = Path(moved) if moved else Path(platformdirs.user_cache_dir("napari-samsp"))
    return cache / "embeddings"


def images_folder() -> Path:
    """What is known of the widget's image lists: results, edits and kept labels."""
    return home() / "images"


def widget_file() -> Path:
    """What the widget remembers from session to session."""
    return home() / "widget.json"
