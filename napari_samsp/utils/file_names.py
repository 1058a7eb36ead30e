"""Names of files, compared as a person reads them."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

ITERATION = re.compile(r"(?P<name>.+)\.iter(?P<number>\d+)")
"""Stems of the files that `predict` writes for single iterations."""
_ENDING = re.compile(r"[-_. ](cp_masks|masks?|seg|labels?)$", re.IGNORECASE)
"""Endings that other programs append to an image's name for its mask."""


def composed(name: str) -> str:
    """One spelling of a name: macOS may store an umlaut as two characters.

    Parameters
    ----------
    name : str
        The name of a file.

    Returns
    -------
    str
        In Unicode's form NFC.
    """
    return unicodedata.normalize("NFC", name)


def suffix_of(path: Path) -> str:
    """The ending of a file's name in small letters, such as ``.tif`` or ``.nii.gz``."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()


def stem_of(path: Path) -> str:
    """The name that a file shares with those that belong to it.

    Parameters
    ----------
    path : Path
        Path of an image or of labels.

    Returns
    -------
    str
        Composed, without its ending, and without ``.ome`` before that.
    """
    name = path.name[: len(path.name) - len(suffix_of(path))]
    return composed(name).removesuffix(".ome")


def image_stem(stem: str) -> str:
    """The stem of the image that a mask belongs to, such as NAME for NAME_mask."""
    return _ENDING.sub("", stem)


def by_stem(
    folder: Path, suffixes: tuple[str, ...], unique: bool = True
) -> dict[str, Path]:
    """The files of a folder by `stem_of`.

    Parameters
    ----------
    folder : Path
        One that is not there holds nothing.
    suffixes : tuple of str
        In small letters; other files and hidden ones are left out.
    unique : bool
        Whether two files of one stem are refused; else the last by name counts.

    Returns
    -------
    dict
        In the files' order.

    Raises
    ------
    InputError
        If two files have one stem, which names both.
    """
    files: dict[str, Path] = {}
    if not folder.is_dir():
        return files
    for path in sorted(folder.iterdir()):
        if suffix_of(path) not in suffixes or path.name.startswith("."):
            continue
        stem = stem_of(path)
        if unique and stem in files:
            raise InputError(
                f"{files[stem].name} and {path.name} in {folder} have the same name; "
                "keep one of them."
            )
        files[stem] = path
    return files


def proposed_name(title: str) -> str:
    """A file name made from a layer's name, to be proposed in a dialog."""
    return "".join(c if c.isalnum() or c in "-_. " else "_" for c in title)


def safe_name(wished: str) -> str:
    """Make a file's stem of a name.

    Parameters
    ----------
    wished : str
        The name that the user wants.

    Returns
    -------
    str
        Good on any system, of at most 120 bytes.
    """
    name = re.sub(r"[^\w-]+", "_", composed(wished)).strip("_")
    name = name.encode("utf-8", "ignore")[:120].decode("utf-8", "ignore")
    if re.fullmatch(r"(?i)con|prn|aux|nul|(com|lpt)\d", name):
        name = f"{name}_image"  # Windows' own
    return name or "image"
