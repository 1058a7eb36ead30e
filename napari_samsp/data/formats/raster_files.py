"""PNG, JPEG and the other formats that hold one picture."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_samsp.data.formats.alpha import with_gaps
from napari_samsp.data.formats.orientation import upright
from napari_samsp.data.formats.size_limit import check_size
from napari_samsp.utils.notes import tell

if TYPE_CHECKING:
    from pathlib import Path

# Not whatever Pillow knows: for some kinds it starts other programs.
# MPO, of cameras, is opened as JPEG.
_PICTURES = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "JPEG2000")
_pillow_limit = threading.Lock()
_ORIENTATION = 0x0112
_CLEAR = ("1", "L", "P", "RGB")
"""Modes in which a file may declare one colour to be transparent."""
_DEPTH, _COLOURS = 24, 25
"""Offsets in a PNG file of its bits per sample and its colour type."""


def read_picture(path: Path, mask: bool = False) -> np.ndarray:
    """Read a picture as viewers show it.

    Parameters
    ----------
    path : Path
        Of a format that Pillow reads without other programs.
    mask : bool
        Whether the pixels of a palette are labels, not colours.

    Returns
    -------
    numpy.ndarray
        ``(Y, X)`` or ``(Y, X, C)``, upright; four colours are RGBA, which gray is too
        if some of it is transparent.
    """
    with _open(path) as picture:
        check_size(path, picture.size[::-1])
        frames = getattr(picture, "n_frames", 1)
        if frames > 1 and picture.format != "MPO":  # whose others are previews
            tell(f"{path} holds {frames} pictures: only the first is read.")
        value = _turn(picture)
        array = _deep(path, mask) if picture.format == "PNG" else None
        if array is None:
            array = _pixels(picture, mask)
    return np.asarray(upright(path, array, value))


def picture_orientation(path: Path) -> int:
    """How a picture is turned, 1 to 8; 1 if it does not say."""
    with _open(path) as picture:
        return _turn(picture)


def _turn(picture: Image.Image) -> int:
    return int(picture.getexif().get(_ORIENTATION, 1))


def _open(path: Path) -> Image.Image:
    # Pillow's own limit is lower than ours, and is checked in `open` only.
    with _pillow_limit:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path, formats=_PICTURES)
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _deep(path: Path, mask: bool) -> np.ndarray | None:
    """A PNG of 16 bits with colours or alpha, of which Pillow reads the high byte."""
    with path.open("rb") as file:
        header = file.read(_COLOURS + 1)
    if len(header) <= _COLOURS or header[_DEPTH] != 16 or header[_COLOURS] == 0:
        return None
    from imagecodecs import png_decode

    array = np.asarray(png_decode(path.read_bytes()))
    if array.shape[-1] != 2:
        return array
    return array[..., 0] if mask else _gray(array)


def _pixels(picture: Image.Image, mask: bool) -> np.ndarray:
    mode = picture.mode
    if mode == "P" and mask:
        return np.asarray(picture)
    if mode in _CLEAR and "transparency" in picture.info and not mask:
        array = np.asarray(picture.convert("RGBA"))
        if not array[..., 3].all():
            return array
    if mode == "LA":
        array = np.asarray(picture)
        return array[..., 0] if mask else _gray(array)
    if mode == "PA" and not mask:
        return np.asarray(picture.convert("RGBA"))
    if mode in ("P", "PA", "CMYK", "YCbCr"):
        return np.asarray(picture.convert("RGB"))
    return np.asarray(picture)


def _gray(array: np.ndarray) -> np.ndarray:
    return np.asarray(with_gaps(array[..., 0], array[..., 1]))
