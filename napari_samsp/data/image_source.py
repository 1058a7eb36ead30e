"""An image file of any number of axes, as the 2D planes that are segmented."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_samsp.data.formats.file_kinds import is_tiff
from napari_samsp.data.formats.ome_files import check_parts
from napari_samsp.data.formats.scenes import file_of, tiff_image
from napari_samsp.data.formats.size_limit import check_size
from napari_samsp.data.formats.tiff_files import (
    MOST_COLOURS,
    as_shown,
    axes_of,
    check_series,
    main_series,
    note_planes_of_colours,
)
from napari_samsp.data.formats.volume_files import read_volume
from napari_samsp.data.formats.zarr_codecs import check_codecs
from napari_samsp.data.image_files import is_ome_zarr, read_image, unreadable
from napari_samsp.data.voxel_size import VoxelSize, of_ome_zarr, of_tiff
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import zarr

LARGE_PIXELS = 50_000_000
"""A plane or a stack of more pixels is never held in memory as a whole."""
MOST_BLOCKS = 10_000_000
"""Chunks of a lazy array: 30,000 x 30,000 in chunks of 64 are 220,000."""


@dataclass(frozen=True)
class StoredImage:
    """An image as its file holds it.

    Attributes
    ----------
    array : array_like
        numpy, or dask of what is read only when it is asked for.
    axes : str
        One letter per axis: Y and X, C or S for channels (S: the colours of a pixel),
        Z, T and others for stacks.
    voxels : VoxelSize
        As the file tells it.
    alpha : bool
        Whether the last of four colours is alpha.
    """

    array: Any
    axes: str
    voxels: VoxelSize = field(default_factory=VoxelSize)
    alpha: bool = False

    @property
    def channel_axis(self) -> str:
        """The letter of the channels' axis, C or else S; empty if there is none."""
        return next((axis for axis in "CS" if axis in self.axes), "")

    @property
    def channel_count(self) -> int:
        """How many channels there are, without alpha; 1 if there is no such axis."""
        if not self.channel_axis:
            return 1
        count = self._side(self.channel_axis)
        return 3 if self.channel_axis == "S" and count == MOST_COLOURS else count

    @property
    def plane_axes(self) -> str:
        """The axes of a stack, in order."""
        left_out = "YX" + self.channel_axis
        return "".join(axis for axis in self.axes if axis not in left_out)

    @property
    def labels_axes(self) -> str:
        """The axes of its labels: those of the stack, then Y and X."""
        return self.plane_axes + "YX"

    @property
    def labels_shape(self) -> tuple[int, ...]:
        """The length of each of `labels_axes`, in their order."""
        return tuple(self._side(axis) for axis in self.labels_axes)

    def planes(self) -> list[tuple[int, ...]]:
        """The indices of all planes along `plane_axes`."""
        return list(product(*(range(self._side(axis)) for axis in self.plane_axes)))

    def plane(
        self, index: Sequence[int | None], channels: Sequence[int] | None = None
    ) -> tuple[Any, int | None]:
        """Open one plane of the image.

        Parameters
        ----------
        index : tuple of int
            One of `planes`.
        channels : sequence of int, optional
            Up to three, from 0, that become red, green and blue; default: all.

        Returns
        -------
        tuple
            ``(Y, X)`` or ``(Y, X, C)``, read when it is used if it is dask, and the
            channel axis; None without channels and for RGBA.

        Raises
        ------
        InputError
            If there is no such channel, or too many to show as RGB.
        """
        where = dict(zip(self.plane_axes, index, strict=True))
        part = self.array[tuple(where.get(axis, slice(None)) for axis in self.axes)]
        left = [axis for axis in self.axes if axis not in where]
        part = part.transpose([left.index(a) for a in "YX" + self.channel_axis])
        if not self.channel_axis:
            if channels is not None and any(channels):
                raise InputError("The image has no channels to choose from.")
            return part, None
        if channels is None:
            colours = self.channel_axis == "S" and part.shape[-1] == MOST_COLOURS
            if colours and self.alpha:
                return part, None
            count = self.channel_count
            if count > 3:
                raise InputError(
                    f"The image has {count} channels: choose one with --channel N, or "
                    "three with --channels R,G,B, counted from 0."
                )
            channels = range(count)
        if not all(0 <= channel < part.shape[-1] for channel in channels):
            raise InputError(
                f"The image has the channels 0 to {part.shape[-1] - 1}, not "
                f"{', '.join(map(str, channels))}."
            )
        if len(channels) == 1:
            return part[..., channels[0]], None
        return part[..., list(channels)], 2

    def _side(self, axis: str) -> int:
        return int(self.array.shape[self.axes.index(axis)])


@contextmanager
def open_image(
    path: Path,
    axes: str | None = None,
    mask: bool = False,
    series: int | None = None,
) -> Iterator[StoredImage]:
    """Open an image file; a large one is read only where it is asked for.

    Parameters
    ----------
    path : Path
        OME-Zarr, a folder of a DICOM series, an image in a file such as
        ``mouse.czi/P1``, or what `read_image` reads.
    axes : str, optional
        Instead of what the file says, such as ``"TZYX"``; one letter per axis longer
        than 1.
    mask : bool
        Whether the pixels are labels: the indices of a palette are values then.
    series : int, optional
        Which image of a file that holds several, from 0; default: the largest of a
        TIFF or DICOM folder, the first of an OME-Zarr.

    Yields
    ------
    StoredImage
        Valid within the ``with`` block.

    Raises
    ------
    InputError
        If the file is missing or broken, or the axes do not fit.
    """
    if is_ome_zarr(path):
        yield _open_zarr(path, axes, series)
    elif (tiff := file_of(path)).is_file() and is_tiff(tiff):
        try:
            file = tifffile.TiffFile(tiff)
        except Exception as error:  # tifffile raises many kinds for a broken file
            raise unreadable(path, error) from error
        with file:
            yield _open_tiff(path, file, axes, mask, series)
    else:
        try:
            volume = read_volume(path, series)
        except InputError:
            raise
        except Exception as error:  # as above
            raise unreadable(path, error) from error
        if volume is not None:
            array, found, voxels = volume
            array = array if is_large(array.shape) else np.asarray(array)
            yield _image(path, array, found, voxels, axes)
            return
        array = read_image(path, "indices" if mask else "colours")
        alpha = array.ndim == 3 and array.shape[-1] == MOST_COLOURS
        yield _image(path, array, "YXS"[: array.ndim], VoxelSize(), axes, alpha)


def _open_tiff(
    path: Path,
    file: tifffile.TiffFile,
    axes: str | None,
    mask: bool,
    number: int | None,
) -> StoredImage:
    try:
        check_parts(path, file)
        series = main_series(path, file, tiff_image(path, file, number))
        shape, found = series.shape, axes_of(series)
        if is_large(shape):
            array = _lazy_tiff(path, series)
        else:
            check_size(path, shape)
            array = series.asarray()
        array, found, alpha = as_shown(path, array, found, file, series.keyframe, mask)
        if alpha and axes is None:
            note_planes_of_colours(path, found, series.keyframe)
        voxels = of_tiff(file, series)
    except InputError:
        raise
    except Exception as error:  # as above
        raise unreadable(path, error) from error
    return _image(path, array, _distinct(found), voxels, axes, alpha)


def _distinct(axes: str) -> str:
    """Give axes that the file calls by one name, such as unknown ones, their own."""
    spare = (letter for letter in "IRHVWKJMNOP" if letter not in axes)
    return "".join(
        next(spare) if axis in axes[:n] and axis not in "YXCS" else axis
        for n, axis in enumerate(axes)
    )


def _lazy_tiff(path: Path, series: tifffile.TiffPageSeries) -> Any:
    import dask.array
    import zarr

    stored = zarr.open(series.aszarr(level=0), mode="r")
    assert isinstance(stored, zarr.Array)
    if series.dataoffset is not None:
        # Plain numbers in one piece: the operating system reads what is touched.
        array = series.asarray(out="memmap")
        sides = [min(side, 1024) for side in array.shape]
        return dask.array.from_array(array, chunks=sides)
    check_size(path, stored.chunks)  # a chunk is decoded as a whole
    return _in_blocks(path, stored)


def _in_blocks(path: Path, stored: zarr.Array) -> Any:
    """A lazy array; dask keeps a record of each chunk, so their number is checked."""
    import dask.array

    sides = zip(stored.shape, stored.chunks, strict=True)
    blocks = math.prod(-(-side // chunk) for side, chunk in sides)
    if blocks > MOST_BLOCKS:
        size = " x ".join(map(str, stored.shape))
        raise InputError(
            f"{path} says that it holds {size} values in {blocks:,} chunks, more than "
            f"the {MOST_BLOCKS:,} that can be handled; store it in larger chunks."
        )
    return dask.array.from_array(stored, chunks=stored.chunks)


def _open_zarr(path: Path, axes: str | None, number: int | None) -> StoredImage:
    import zarr

    try:
        # Consolidated metadata could name other codecs than those that are checked.
        group = zarr.open_group(str(path), mode="r", use_consolidated=False)
        attributes: dict[str, Any] = dict(group.attrs)
        attributes = attributes.get("ome", attributes)
        if "multiscales" not in attributes and "bioformats2raw.layout" in attributes:
            images = [name for name in group.group_keys() if name.isdigit()]
            check_series(path, len(images), number)
            first = number if number is not None and len(images) > 1 else 0
            return _open_zarr(path / str(first), axes, None)
        scales = attributes["multiscales"][0]
        known = [
            axis if isinstance(axis, dict) else {"name": axis}
            for axis in scales.get("axes", "tczyx")
        ]
        first = scales["datasets"][0]
        check_codecs(path, str(first["path"]))
        stored = group[first["path"]]
        if not isinstance(stored, zarr.Array):
            raise InputError(f"{path} cannot be read: its first scale is no array.")
        check_size(path, stored.chunks)  # a chunk is decoded as a whole
        voxels = of_ome_zarr(
            known,
            first.get("coordinateTransformations", ()),
            scales.get("coordinateTransformations", ()),
        )
        names = "".join(str(axis["name"])[:1] for axis in known).upper()
        large = is_large(stored.shape)
        array: Any = _in_blocks(path, stored) if large else np.asarray(stored)
    except InputError:
        raise
    except Exception as error:  # zarr and its codecs raise many kinds
        raise unreadable(path, error, "OME-Zarr") from error
    return _image(path, array, names, voxels, axes)


def _image(
    path: Path,
    array: Any,
    found: str,
    voxels: VoxelSize,
    said: str | None,
    alpha: bool = False,
) -> StoredImage:
    """Drop axes of length 1 that are no plane's, and check what is left."""
    kept = [n for n, side in enumerate(array.shape) if side > 1 or found[n] in "YX"]
    index = tuple(slice(None) if n in kept else 0 for n in range(array.ndim))
    array, axes = array[index], "".join(found[n] for n in kept)
    if said is not None:
        if len(said) != array.ndim:
            sides = " x ".join(map(str, array.shape))
            raise InputError(
                f"{path} has {array.ndim} axes longer than 1 ({sides}), and --axes "
                f"{said} names {len(said)}."
            )
        axes = said
    if "Y" not in axes or "X" not in axes or len(set(axes)) < len(axes):
        raise InputError(
            f"{path} has the axes {axes or 'none'}: say what they are with --axes, "
            "such as --axes TZYX."
        )
    image = StoredImage(array, axes, voxels, alpha)
    check_size(path, image.labels_shape[-2:])
    return image


def is_large(shape: Sequence[int]) -> bool:
    """Whether a plane or a stack of this shape is too large to be held in memory."""
    return math.prod(shape) > LARGE_PIXELS
