"""What a file is by its first bytes, whatever its name says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HEAD = 512
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_OTHERS = {
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a ZIP archive or an Office document",
    b"\x1f\x8b": "a gzip archive",
    b"\x89HDF": "an HDF5 file",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself",
    b"%!PS": "a PostScript file",
    b"8BPS": "a Photoshop file",
}
_MICROSCOPES = {b"ZISRAWFILE": ".czi", b"\xda\xce\xbe\x0a": ".nd2"}
_PAGES = (b"<!doctype html", b"<html")


def is_tiff(path: Path) -> bool:
    """Whether a file begins as a TIFF or BigTIFF does.

    Parameters
    ----------
    path : Path
        A file of any kind.

    Returns
    -------
    bool
        Judged by its content, not by its name.
    """
    head = _head(path)
    # What begins as a TIFF may be DICOM too, whose first 128 bytes are free.
    return head.startswith(_TIFF) and head[128:132] != b"DICM"


def microscope_kind(path: Path) -> str:
    """The usual ending of a microscope's file, whatever its name is.

    Parameters
    ----------
    path : Path
        A file of any kind, or of none.

    Returns
    -------
    str
        ``.czi``, ``.nd2`` or ``.lif``; nothing for other files.
    """
    try:
        head = _head(path)
    except OSError:
        return ""
    if head.startswith(b"p\0\0\0") and head[8:9] == b"*":
        return ".lif"
    ends = (end for start, end in _MICROSCOPES.items() if head.startswith(start))
    return next(ends, "")


def other_kind(path: Path) -> str:
    """Say what a file is that cannot be read as an image.

    Parameters
    ----------
    path : Path
        A file of any kind.

    Returns
    -------
    str
        Such as ``an HTML page``; nothing if it is not known.
    """
    head = _head(path)
    if not head:
        return "an empty file"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(_PAGES) or (text.startswith(b"<?xml") and b"<html" in text):
        return "an HTML page"
    return next((kind for start, kind in _OTHERS.items() if head.startswith(start)), "")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)
