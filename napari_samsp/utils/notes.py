"""Notes for the user about files that are not read exactly as they were written."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_about: ContextVar[str] = ContextVar("_about", default="")


class FileNote(UserWarning):
    """How a file was read; commands print it, napari shows it as a notification."""


def tell(message: str) -> None:
    """Tell the user something about a file.

    Parameters
    ----------
    message : str
        A sentence; within `about` it need not name the file.
    """
    name = _about.get()
    if name and name not in message:
        message = f"{name}: {message}"
    warnings.warn(message, FileNote, stacklevel=3)


@contextmanager
def about(path: Path) -> Iterator[None]:
    """Name a file in all notes within the block.

    Parameters
    ----------
    path : Path
        The file that notes are about.
    """
    token = _about.set(str(path))
    try:
        yield
    finally:
        _about.reset(token)
