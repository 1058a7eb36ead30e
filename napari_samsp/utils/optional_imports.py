"""Optional libraries, imported where they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from napari_samsp.utils.errors import InputError


def reader_library(name: str, what: str) -> Any:
    """Import a library that reads a format.

    Parameters
    ----------
    name : str
        Name of the module.
    what : str
        The format, for the message.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    InputError
        If it is not installed; it says how to install it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(
            f"{what} is read by the library {name.split('.')[0]}, which is missing: "
            'install it with pip install "napari-samsp[formats]".'
        ) from error
