"""Zeiss' CZI: the scenes of a file, each an image of its own."""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree

import numpy as np

from napari_samsp.data.formats.size_limit import check_size
from napari_samsp.data.voxel_size import VoxelSize
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.optional_imports import reader_library

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

_BLOCK = 2048
"""Side in pixels of the blocks that are read at a time."""
_STACK_AXES = "RIHVTZ"
"""Rotation, illumination, phase, view, time and depth; C is a channel."""
_GRAYS = {"Gray8": np.uint8, "Gray16": np.uint16, "Gray32Float": np.float32}
_COLOURS = {"Bgr24": np.uint8, "Bgr48": np.uint16}
_reading = threading.Lock()


class OpenCzi(NamedTuple):
    """The library's reader and what the file's XML says."""

    czi: Any
    metadata: ElementTree.Element


@contextmanager
def open_czi(path: Path) -> Iterator[OpenCzi]:
    """Open a file for `czi_scenes` and `read_czi`; InputError without pylibCZIrw."""
    with _opened(path) as czi:
        yield OpenCzi(czi, _metadata(czi))


def czi_scenes(file: OpenCzi) -> list[str]:
    """The names of a file's scenes, in order; empty ones where it tells none."""
    numbers = sorted(file.czi.scenes_bounding_rectangle_no_pyramid)
    told = {
        scene.get("Index"): scene.get("Name", "")
        for scene in file.metadata.iterfind(
            "./Metadata/Information/Image/Dimensions/S/Scenes/Scene"
        )
    }
    return [told.get(str(number), "") for number in numbers] or [""]


def read_czi(path: Path, file: OpenCzi, scene: int) -> tuple[Any, str, VoxelSize]:
    """Read one scene of a file.

    Parameters
    ----------
    path : Path
        The file, which is opened again for each block of pixels.
    file : OpenCzi
        From `open_czi`.
    scene : int
        Number of the scene, from 0, in the order of `czi_scenes`.

    Returns
    -------
    tuple
        A dask array that reads blocks when they are asked for, mosaics put together;
        its axes, such as ``TZCYX``, with S for the colours of a pixel; and the voxel
        size. Where a mosaic has no tile the pixels are 0.

    Raises
    ------
    InputError
        If it is too large, or of a kind that is not read.
    """
    import dask.array

    czi = file.czi
    scenes = czi.scenes_bounding_rectangle_no_pyramid
    number = sorted(scenes)[scene] if scenes else None
    place = (
        czi.total_bounding_rectangle_no_pyramid if number is None else scenes[number]
    )
    sides = {axis: high - low for axis, (low, high) in czi.total_bounding_box.items()}
    kinds = {czi.get_channel_pixel_type(n) for n in range(sides["C"])}
    axes = "".join(axis for axis in _STACK_AXES if sides.get(axis, 0) > 1) + "CYX"
    shape = (*(sides[axis] for axis in axes[:-2]), place.h, place.w)
    if kinds <= set(_GRAYS):
        dtype = max(kinds, key=list(_GRAYS).index)
        pixels = _Pixels(path, number, place, axes, shape, np.dtype(_GRAYS[dtype]))
    elif len(kinds) == 1 and kinds <= set(_COLOURS) and sides["C"] == 1:
        (colour,) = kinds
        axes, shape = axes + "S", (*shape, 3)
        pixels = _Pixels(path, number, place, axes, shape, np.dtype(_COLOURS[colour]))
    else:
        raise InputError(
            f"{path} has pixels of the kind {' and '.join(sorted(kinds))}, which is "
            "not read: save it as OME-TIFF first."
        )
    check_size(path, shape[axes.index("Y") :])
    chunks = [
        {"Y": min(_BLOCK, n), "X": min(_BLOCK, n), "S": n}.get(axis, 1)
        for axis, n in zip(axes, shape, strict=True)
    ]
    array = dask.array.from_array(pixels, chunks=chunks, fancy=False)
    return array, axes, _voxels(file.metadata)


@dataclass(frozen=True)
class _Pixels:
    """A scene as an array that is sliced; it opens the file for each block."""

    path: Path
    scene: int | None
    place: Any
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        where = [
            range(n)[one] if isinstance(one, slice) else range(one, one + 1)
            for one, n in zip(index, self.shape, strict=True)
        ]
        found = np.empty([len(one) for one in where], self.dtype)
        if not found.size:
            return found
        y = self.axes.index("Y")
        rows, columns = where[y], where[y + 1]
        roi = (self.place.x + columns[0], self.place.y + rows[0],
               len(columns), len(rows))  # fmt: skip
        with _reading, _opened(self.path) as czi:
            for at in np.ndindex(found.shape[:y]):
                plane = {axis: where[n][at[n]] for n, axis in enumerate(self.axes[:y])}
                read = czi.read(roi=roi, plane=plane, scene=self.scene)
                # Colours are stored as blue, green, red.
                found[at] = read[..., 0] if y + 2 == self.ndim else read[..., ::-1]
        return found


def _opened(path: Path) -> AbstractContextManager[Any]:
    return reader_library("pylibCZIrw.czi", "CZI").open_czi(str(path))


def _metadata(czi: Any) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(czi.raw_metadata)
    except ElementTree.ParseError:
        return ElementTree.Element("ImageDocument")


def _voxels(metadata: ElementTree.Element) -> VoxelSize:
    told: dict[str, tuple[Any, Any]] = {}
    for distance in metadata.iterfind("./Metadata/Scaling/Items/Distance"):
        axis, value = distance.get("Id", ""), distance.findtext("Value")
        try:
            metres = float(value or "nan")
        except ValueError:
            continue
        if axis in ("X", "Y", "Z") and math.isfinite(metres):
            told[axis] = round(metres * 1e6, 9), "micrometer"
    return VoxelSize.of(told)
