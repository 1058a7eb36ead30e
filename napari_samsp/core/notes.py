"""What is said about a file that can be read, but not quite as it is written."""

from __future__ import annotations

import warnings


class FileNote(UserWarning):
    """How a file was read; commands print it, napari shows it as a notification."""


def tell(message: str) -> None:
    """Say something about a file.

    Parameters
    ----------
    message : str
        A sentence that names the file.
    """
    warnings.warn(message, FileNote, stacklevel=3)
