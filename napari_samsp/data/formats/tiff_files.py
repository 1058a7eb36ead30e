"""A TIFF's pages as they are meant to be seen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tifffile

from napari_samsp.data.formats.alpha import straight, with_gaps
from napari_samsp.data.formats.orientation import upright
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.notes import tell

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
_PREMULTIPLIED, _STRAIGHT = 1, 2
"""Kinds of extra samples that are alpha."""
_ORIENTATION = 274
MOST_COLOURS = 4
_SLIDES = ("svs", "ndpi", "scn", "bif", "philips", "qpi", "avs")
_SLIDE_PARTS = ("label", "macro", "map", "overview", "thumbnail")
_SLIDE_PARTS_OF_OME = ("label image", "macro image", "thumbnail image")
"""As Bio-Formats calls them."""


class Shown(NamedTuple):
    """Pixels, a letter for each of their axes, and whether the last colour is alpha."""

    array: Any
    axes: str
    alpha: bool


def check_series(path: Path, count: int, number: int | None) -> None:
    """Raise `InputError` if a file of several images does not have one of a number."""
    if number is not None and count > 1 and not 0 <= number < count:
        raise InputError(f"{path} has the images 0 to {count - 1}, not {number}.")


def main_series(
    path: Path, file: tifffile.TiffFile, number: int | None = None
) -> tifffile.TiffPageSeries:
    """The image of a file that may hold several.

    Parameters
    ----------
    path : Path
        Of the file, for the message.
    file : tifffile.TiffFile
        The open file.
    number : int, optional
        Which of several, from 0. Default: that of the largest planes; thumbnails count
        only if there is nothing else.

    Returns
    -------
    tifffile.TiffPageSeries
        The series that is read as the image.

    Raises
    ------
    InputError
        If there are several, and fewer than that.
    """
    series = file.series
    check_series(path, len(series), number)
    if number is not None and len(series) > 1:
        return series[number]
    numbers = own_images(series)
    # By planes: many small pages are not worth more than a large one.
    best = max(numbers, key=lambda n: (_plane(series[n]), math.prod(series[n].shape)))
    if left := [n for n in numbers if n != best]:
        others = ", ".join(f"the {_ordinal(n)} ({_sides(series[n])})" for n in left)
        tell(
            f"{path} holds {len(numbers)} images: the {_ordinal(best)} "
            f"({_sides(series[best])}) is read, and left out is {others}; --series "
            f"{left[0]} reads the {_ordinal(left[0])}."
        )
    return series[best]


def own_images(series: Sequence[tifffile.TiffPageSeries]) -> list[int]:
    """Which series of a file are images of their own.

    Parameters
    ----------
    series : sequence of tifffile.TiffPageSeries
        All of the file.

    Returns
    -------
    list of int
        Their numbers, in order: without thumbnails, transparency masks, the label and
        the macro picture of a slide, and the levels of a pyramid that is not marked as
        one. All of them if there is nothing else.
    """
    numbers = [n for n, one in enumerate(series) if not _is_aside(one)]
    numbers = numbers or list(range(len(series)))
    return [
        n
        for n in numbers
        if not any(_is_level(series[n], series[m]) for m in numbers if m != n)
    ]


def _is_aside(series: tifffile.TiffPageSeries) -> bool:
    page = series.keyframe
    if page.is_reduced or page.is_mask:
        return True
    # Of a slide's own formats the bare name says it; elsewhere that may be a user's.
    words = _SLIDE_PARTS if series.kind in _SLIDES else _SLIDE_PARTS_OF_OME
    return series.name.casefold() in words


def _is_level(small: tifffile.TiffPageSeries, large: tifffile.TiffPageSeries) -> bool:
    """Whether nameless pages are others at a half, a quarter and so on."""
    if small.kind == "ome" or small.name or large.name:
        return False
    if (small.axes, small.dtype) != (large.axes, large.dtype):
        return False
    factors = set()
    for axis, few, many in zip(small.axes, small.shape, large.shape, strict=True):
        if axis in "YX":
            power = round(math.log2(many / few)) if 0 < few < many else 0
            if not few - 1 <= many / 2**power < few + 1:
                return False
            factors.add(power)
        elif few != many:
            return False
    return len(factors) == 1 and factors != {0}


def axes_of(series: tifffile.TiffPageSeries) -> str:
    """What the axes are; a guess only where the file does not say.

    Parameters
    ----------
    series : tifffile.TiffPageSeries
        Any series of a TIFF.

    Returns
    -------
    str
        One capital letter per axis.
    """
    axes, shape = series.axes.upper(), series.shape
    said = series.kind in ("imagej", "ome", "lsm") or axes[-3:-2] not in ("Q", "I")
    if len(shape) > 2 and axes[-2:] == "YX" and shape[-1] <= MOST_COLOURS and not said:
        # Colours that were written as if they were columns.
        return axes[:-3] + "YXS"
    return axes


def as_shown(
    path: Path,
    array: Any,
    axes: str,
    file: tifffile.TiffFile,
    page: tifffile.TiffPage,
    mask: bool = False,
) -> Shown:
    """Pixels as viewers show them: upright, black is 0, and in colours.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    array : array_like
        As stored, numpy or dask.
    axes : str
        One letter per axis.
    file : tifffile.TiffFile
        The open file.
    page : tifffile.TiffPage
        The key frame of the series.
    mask : bool
        Whether the pixels are labels: the indices of a palette, and what ImageJ shows
        inverted, are values then.

    Returns
    -------
    Shown
        Alpha only where the file says so; of gray images only if some of it is 0.
    """
    alpha = None
    kinds = [int(kind) for kind in page.extrasamples or ()]
    if "S" in axes and kinds in ([_PREMULTIPLIED], [_STRAIGHT]):
        array, alpha = _split(array, axes.index("S"))
        if kinds == [_PREMULTIPLIED]:
            array = straight(array, alpha, axes.index("S"))
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        if not (mask and file.is_imagej):
            array = _inverted(array, page.bitspersample)
        if mask:
            how = "its values stay" if file.is_imagej else "it is read as it is shown"
            tell(f"{path} is a mask that is shown inverted (white is zero): {how}.")
    elif (
        page.photometric == tifffile.PHOTOMETRIC.PALETTE
        and page.colormap is not None
        and not mask
    ):
        array, axes = _coloured(array, page.colormap), axes + "S"
    if alpha is not None:
        array, axes = _joined(array, None if mask else alpha, axes)
    if "Y" in axes and "X" in axes:
        rows, columns = axes.index("Y"), axes.index("X")
        array = upright(path, array, tiff_orientation(page), rows, columns)
    colours = array.shape[axes.index("S")] if "S" in axes else 0
    return Shown(array, axes, alpha is not None and colours == MOST_COLOURS)


def note_planes_of_colours(path: Path, axes: str, page: tifffile.TiffPage) -> None:
    """Tell how to read colours and alpha that were meant as channels or slices.

    It is what tifffile 2026 and earlier write of an array ``(4, Y, X)`` that nobody
    explains to them.

    Parameters
    ----------
    path : Path
        A file that says that its last colour is alpha.
    axes : str
        Its axes as they are stored.
    page : tifffile.TiffPage
        The key frame of the series.
    """
    is_straight = [int(kind) for kind in page.extrasamples] == [_STRAIGHT]
    if is_straight and axes.index("S") < axes.index("Y"):
        tell(
            f"{path} says that its planes are red, green, blue and alpha. If they are "
            "channels or slices, say so: --axes CYX or --axes ZYX."
        )


def tiff_orientation(page: tifffile.TiffPage) -> int:
    """How a page is turned, 1 to 8; 1 if it does not say."""
    tag = page.tags.get(_ORIENTATION)
    return 1 if tag is None else int(tag.value)


def _split(array: Any, place: int) -> tuple[Any, Any]:
    """The colours and the alpha, which is the last of the samples at an axis."""
    before = (slice(None),) * place
    return array[(*before, slice(-1))], array[(*before, -1)]


def _joined(array: Any, alpha: Any | None, axes: str) -> tuple[Any, str]:
    place = axes.index("S")
    if array.shape[place] > 1:
        if alpha is not None:
            array = np.concatenate([array, np.expand_dims(alpha, place)], axis=place)
        return array, axes
    array = array[(*(slice(None),) * place, 0)]
    if alpha is not None:
        array = with_gaps(array, alpha, place)
    return array, axes if array.ndim == len(axes) else axes.replace("S", "")


def _inverted(array: Any, bits: int) -> Any:
    if array.dtype == bool:
        return ~array
    if array.dtype.kind != "u":
        return array  # of signed and floating numbers white is not known
    return array.dtype.type(2**bits - 1) - array


def _coloured(array: Any, colormap: np.ndarray) -> Any:
    table = np.ascontiguousarray(colormap.T)
    if table.max() < 256:
        table = table.astype(np.uint8)  # some programs write bytes
    elif not (table % 257).any() or not (table % 256).any():
        table = (table >> 8).astype(np.uint8)
    if isinstance(array, np.ndarray):
        return table[array]
    chunks = (*array.chunks, (3,))
    return array.map_blocks(
        lambda block: table[block],
        dtype=table.dtype,
        chunks=chunks,
        new_axis=array.ndim,
    )


def _plane(series: tifffile.TiffPageSeries) -> int:
    sides = dict(zip(series.axes.upper(), series.shape, strict=False))
    return int(sides.get("Y", 1) * sides.get("X", 1))


def _sides(series: tifffile.TiffPageSeries) -> str:
    return " x ".join(map(str, series.shape))


def _ordinal(number: int) -> str:
    return _ORDINALS[number] if number < len(_ORDINALS) else f"{number + 1}th"
