"""OME-TIFFs in several files: which files one may name."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from napari_samsp.core.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import tifffile


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
    if not file.ome_metadata:
        return
    try:
        root = ElementTree.fromstring(file.ome_metadata)
    except ElementTree.ParseError:
        return  # tifffile then reads the pages of this file alone
    names = set()
    for element in root.iter():
        if not element.tag.endswith("UUID") or element.text == root.get("UUID"):
            continue
        name = element.get("FileName", "")
        if any(kind(name).name != name for kind in (PurePosixPath, PureWindowsPath)):
            raise InputError(
                f"{path} says that it continues in {name!r}, which is not in its own "
                "folder: put the files of one image together and name them without "
                "folders."
            )
        names.add(name)
    if root.get("UUID") is None and len(names) == 1:
        return  # this file's own, whatever it is called today
    for name in sorted(names - {"", path.name}):
        if not (path.parent / name).is_file():
            raise InputError(
                f"{path} is one file of several, and {name} is missing: put it beside "
                "it."
            )
