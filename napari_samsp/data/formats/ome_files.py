"""OME-TIFFs in several files: which files one may name."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import tifffile

from napari_samsp.data.formats.file_kinds import is_tiff
from napari_samsp.utils.errors import InputError, some
from napari_samsp.utils.notes import tell

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def check_parts(path: Path, file: tifffile.TiffFile) -> None:
    """Refuse an OME-TIFF that continues in a file elsewhere, or in one that is gone.

    Of a missing file tifffile makes blank planes; and it opens
    whatever the XML names, also ``../x.tif`` and absolute paths.

    Parameters
    ----------
    path : Path
        Of the file, for the message.
    file : tifffile.TiffFile
        Opened; its series are read only after this.

    Raises
    ------
    InputError
        If its XML names a file that is not in its own folder, or not there.
    """
    for name in _named(file)[0]:
        if any(kind(name).name != name for kind in (PurePosixPath, PureWindowsPath)):
            raise InputError(
                f"{path} says that it continues in {name!r}, which is not in its own "
                "folder: put the files of one image together and name them without "
                "folders."
            )
    for name in other_parts(path, file):
        if not (path.parent / name).is_file():
            raise InputError(
                f"{path} is one file of several, and {name} is missing: put it beside "
                "it."
            )


def other_parts(path: Path, file: tifffile.TiffFile) -> list[str]:
    """The names of the other files that an OME-TIFF's image is in.

    Parameters
    ----------
    path : Path
        Where the file is.
    file : tifffile.TiffFile
        The open file.

    Returns
    -------
    list of str
        In order; of an image in one file, whatever that is called today, none.
    """
    names, has_id = _named(file)
    if len(names) == 1 and not has_id:
        return []  # this file's own
    return sorted(names - {"", path.name})


def _named(file: tifffile.TiffFile) -> tuple[set[str], bool]:
    """The files that the XML names, without this one if the XML has an id of it."""
    if not file.ome_metadata:
        return set(), False
    try:
        root = ElementTree.fromstring(file.ome_metadata)
    except ElementTree.ParseError:
        return set(), False  # tifffile then reads the pages of this file alone
    own = root.get("UUID")
    names = {
        element.get("FileName", "")
        for element in root.iter()
        if element.tag.endswith("UUID") and element.text != own
    }
    return names, own is not None


def without_parts(paths: Iterable[Path]) -> list[Path]:
    """Leave out the files that belong to the image of another one.

    Parameters
    ----------
    paths : iterable of Path
        Any files and folders.

    Returns
    -------
    list of Path
        In order; of each OME-TIFF set the first one that names the others.
    """
    paths = list(paths)
    owner: dict[Path, Path] = {}
    for path in paths:
        here = path.absolute()
        if here in owner:
            continue
        for name in _parts_of(path):
            owner.setdefault(here.parent / name, path)
    kept = [path for path in paths if path.absolute() not in owner]
    for path in kept:
        others = [p.name for p in paths if owner.get(p.absolute()) == path]
        if others:
            tell(f"{some(others)} and {path} are one image: it is segmented once.")
    return kept


def _parts_of(path: Path) -> list[str]:
    try:
        if path.is_file() and is_tiff(path):
            with tifffile.TiffFile(path) as file:
                return other_parts(path, file)
    except Exception:  # tifffile raises many kinds for a broken file
        return []  # it is told when it is its turn
    return []
