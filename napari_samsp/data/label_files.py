"""Label images of any number of axes and any size, as TIFF or OME-Zarr.

Labels are collected in an array, which is a file itself if they are many, and written
from there piece by piece. A large OME-Zarr is filled where it is stored.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_samsp.data.image_source import is_large
from napari_samsp.utils.atomic_files import (
    folder_beside,
    replace_folder,
    sync_tree,
    written_beside,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_samsp.data.voxel_size import VoxelSize

CHUNK = 1024
TILE = 512
BIG_TIFF = 2**31
"""Bytes before compression. A larger file gets 64-bit offsets, in case compression
does not make it small enough."""
SMALLEST_LEVEL = 1024
"""Side in pixels of the last level of a pyramid, at most."""


@contextmanager
def collected(shape: tuple[int, ...], folder: Path, name: str) -> Iterator[Any]:
    """Make an array of labels that is in memory if it is small, else on the disk.

    Parameters
    ----------
    shape : tuple of int
        Y and X last.
    folder : Path
        Where there is room; nothing is left there.
    name : str
        Of the hidden folder.

    Yields
    ------
    array_like
        int32 zeros, numpy or zarr.
    """
    if not is_large(shape):
        yield np.zeros(shape, np.int32)
        return
    import zarr

    place = folder_beside(folder / name)
    try:
        yield zarr.create_array(
            str(place / "labels"), shape=shape, chunks=_chunks(shape), dtype="int32"
        )
    finally:
        shutil.rmtree(place, ignore_errors=True)


def write_tiff(path: Path, labels: Any, axes: str, voxels: VoxelSize) -> None:
    """Write labels as a compressed TIFF, atomically.

    Parameters
    ----------
    path : Path
        Ends in ``.tif``.
    labels : array_like
        int32, numpy or zarr.
    axes : str
        One letter per axis, ``YX`` last. Of axes that OME knows, or with a voxel size,
        the file is an OME-TIFF.
    voxels : VoxelSize
        Voxel size of the image.
    """
    ome = set(axes) <= set("TZYX") and (len(axes) > 2 or bool(voxels.as_ome(axes)))
    metadata: dict[str, Any] = {"axes": axes}
    options: dict[str, Any] = {"metadata": metadata, "compression": "zlib"}
    if ome:
        metadata |= voxels.as_ome(axes)
        options["ome"] = True
    elif len(axes) == 2:
        options["metadata"] = None
    if voxels.printed is not None and not ome:
        options["resolution"] = voxels.printed[:2]
        options["resolutionunit"] = voxels.printed[2]
    data: np.ndarray | Iterator[np.ndarray]
    if not is_large(labels.shape):
        data = np.asarray(labels)
    else:
        data = _tiles(labels)
        options |= {"shape": labels.shape, "dtype": "int32", "tile": (TILE, TILE)}
        options["bigtiff"] = 4 * int(np.prod(labels.shape)) > BIG_TIFF
    with written_beside(path) as place:
        tifffile.imwrite(place, data, photometric="minisblack", **options)


def write_ome_zarr(path: Path, labels: Any, axes: str, voxels: VoxelSize) -> None:
    """Write labels as an OME-Zarr 0.4 label image with a pyramid, atomically.

    Parameters
    ----------
    path : Path
        The group's folder, which replaces one that is there.
    labels : array_like
        int32, numpy or zarr.
    axes : str
        One letter per axis, ``YX`` last.
    voxels : VoxelSize
        Voxel size of the image.
    """
    with ome_zarr_to_fill(path, labels.shape, axes, voxels) as level:
        _copy(labels, level)


@contextmanager
def ome_zarr_to_fill(
    path: Path, shape: tuple[int, ...], axes: str, voxels: VoxelSize
) -> Iterator[Any]:
    """Let an OME-Zarr label image be filled where it is stored.

    Parameters
    ----------
    path : Path
        The group's folder, which replaces one that is there when all is written; until
        then the labels are in a hidden folder beside it, without metadata.
    shape : tuple of int
        Y and X last.
    axes : str
        One letter per axis, ``YX`` last.
    voxels : VoxelSize
        Voxel size of the image.

    Yields
    ------
    zarr.Array
        Level 0: int32 zeros, to be written window by window.
    """
    import zarr

    fresh = folder_beside(path)
    try:
        group = zarr.open_group(str(fresh), mode="w", zarr_format=2)
        level = _new_level(group, 0, shape)
        yield level
        count = 1
        while max(level.shape[-2:]) > SMALLEST_LEVEL:
            halved = _Halved(level)
            level = _new_level(group, count, halved.shape)
            _copy(halved, level)
            count += 1
        group.attrs.update(_ome_metadata(path.name.split(".")[0], count, axes, voxels))
        sync_tree(fresh)
        replace_folder(fresh, path)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _new_level(group: Any, number: int, shape: tuple[int, ...]) -> Any:
    from numcodecs import Blosc

    return group.create_array(
        str(number),
        shape=shape,
        chunks=_chunks(shape),
        dtype="int32",
        chunk_key_encoding={"name": "v2", "separator": "/"},
        # A fifth of the size that zarr's default, LZ4 with shuffled bytes, gives to
        # labels; as fast, and read by whatever reads Blosc.
        compressors=Blosc(cname="zstd", clevel=3, shuffle=Blosc.NOSHUFFLE),
    )


def _copy(source: Any, level: Any) -> None:
    for window in windows(source.shape, CHUNK):
        level[window] = source[window]


def _ome_metadata(
    name: str, levels: int, axes: str, voxels: VoxelSize
) -> dict[str, Any]:
    scale = [voxels.scale.get(axis, 1.0) for axis in axes]
    datasets: list[dict[str, Any]] = []
    for level in range(levels):
        factor = 2**level
        sized = [*scale[:-2], scale[-2] * factor, scale[-1] * factor]
        steps: list[dict[str, Any]] = [{"type": "scale", "scale": sized}]
        if voxels.origin:  # the same for all levels, which begin alike
            place = [voxels.origin.get(axis, 0.0) for axis in axes]
            steps.append({"type": "translation", "translation": place})
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    return {
        "multiscales": [
            {
                "version": "0.4",
                "name": name,
                "axes": [_zarr_axis(axis, voxels) for axis in axes],
                "datasets": datasets,
            }
        ],
        "image-label": {"version": "0.4"},
    }


def windows(shape: tuple[int, ...], side: int) -> Iterator[tuple[Any, ...]]:
    """Cut an array into windows of its planes.

    Parameters
    ----------
    shape : tuple of int
        Y and X last.
    side : int
        Of a window, at most.

    Yields
    ------
    tuple
        Indices of the plane, and slices of rows and columns.
    """
    planes = product(*map(range, shape[:-2]))
    for plane in planes:
        for top in range(0, shape[-2], side):
            rows = slice(top, min(top + side, shape[-2]))
            for left in range(0, shape[-1], side):
                yield *plane, rows, slice(left, min(left + side, shape[-1]))


class _Halved:
    """Every second row and column of an array, read window by window."""

    def __init__(self, array: Any) -> None:
        self._array = array
        *front, height, width = array.shape
        self.shape = (*front, -(-height // 2), -(-width // 2))

    def __getitem__(self, window: tuple[Any, ...]) -> np.ndarray:
        *plane, rows, cols = window
        double = [slice(2 * s.start, 2 * s.stop) for s in (rows, cols)]
        return np.asarray(self._array[(*plane, *double)])[::2, ::2]


def _tiles(labels: Any) -> Iterator[np.ndarray]:
    """A plane's tiles row by row; chunks are read once, a row of them at a time."""
    *front, height, width = labels.shape
    for plane in product(*map(range, front)):
        for top in range(0, height, CHUNK):
            rows = np.asarray(labels[(*plane, slice(top, top + CHUNK))])
            for upper in range(0, len(rows), TILE):
                for left in range(0, width, TILE):
                    tile = np.zeros((TILE, TILE), np.int32)
                    part = rows[upper : upper + TILE, left : left + TILE]
                    tile[: part.shape[0], : part.shape[1]] = part
                    yield tile


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*(1 for _ in shape[:-2]), *(min(side, CHUNK) for side in shape[-2:]))


def _zarr_axis(axis: str, voxels: VoxelSize) -> dict[str, str]:
    kind = {"T": "time", "Z": "space", "Y": "space", "X": "space"}.get(axis)
    made = {"name": axis.lower()}
    if kind:
        made["type"] = kind
    if axis in voxels.units:
        made["unit"] = voxels.units[axis]
    return made
