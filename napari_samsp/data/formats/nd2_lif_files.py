"""Nikon's ND2 and Leica's LIF: positions and images of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_samsp.data.formats.size_limit import check_size
from napari_samsp.data.voxel_size import VoxelSize
from napari_samsp.utils.optional_imports import reader_library

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy as np

_LETTERS = {"λ": "L", "Λ": "E"}
"""Of LIF: the wavelength that is seen, and that which excites."""


def open_nd2(path: Path) -> AbstractContextManager[Any]:
    """Open a file for `nd2_positions` and `read_nd2`; InputError without nd2."""
    return reader_library("nd2", "ND2").ND2File(path)


def nd2_positions(file: Any) -> list[str]:
    """The names of an open file's positions, in order; empty where it tells none."""
    count = int(file.sizes.get("P", 1))
    loops = [loop for loop in file.experiment if loop.type == "XYPosLoop"]
    points = loops[0].parameters.points if loops else []
    names = [str(point.name or "") for point in points]
    return names if len(names) == count else [""] * count


def read_nd2(path: Path, file: Any, position: int) -> tuple[Any, str, VoxelSize]:
    """Read one position of an ND2 file.

    Parameters
    ----------
    path : Path
        The file, for messages.
    file : nd2.ND2File
        From `open_nd2`.
    position : int
        Number of the position, from 0, in the order of `nd2_positions`.

    Returns
    -------
    tuple
        A dask array that reads planes when they are asked for; its axes, such as
        ``TZCYX``, with S for the colours of a pixel; and the voxel size.

    Raises
    ------
    InputError
        If it is too large.
    """
    axes, shape = "".join(file.sizes), tuple(file.sizes.values())
    size = file.voxel_size()._asdict()
    channels = file.metadata.channels or ()
    known = any(one.volume.axesCalibrated[0] for one in channels)
    check_size(path, shape[axes.index("Y") :])
    array = file.to_dask()  # which opens the file again when it is read
    if "P" in axes:
        array = array[(slice(None),) * axes.index("P") + (position,)]
        axes = axes.replace("P", "")
    told = {axis: (size[axis.lower()], "micrometer") for axis in "XYZ" if known}
    return array, axes, VoxelSize.of(told)


def open_lif(path: Path) -> AbstractContextManager[Any]:
    """Open a file for `lif_images` and `read_lif`; InputError without liffile."""
    return reader_library("liffile", "LIF").LifFile(path)


def lif_images(file: Any) -> list[str]:
    """The names of an open file's images, with their folders, in order."""
    return [str(image.path) for image in file.images]


def read_lif(path: Path, file: Any, number: int) -> tuple[np.ndarray, str, VoxelSize]:
    """Read one image of a LIF file.

    Parameters
    ----------
    path : Path
        The file, for messages.
    file : liffile.LifFile
        From `open_lif`.
    number : int
        Number of the image, from 0, in the order of `lif_images`.

    Returns
    -------
    tuple
        The array, read as a whole; its axes, such as ``TZCYX``, with M for the tiles of
        a mosaic, L and E for wavelengths, and S for the colours of a pixel; and the
        voxel size.

    Raises
    ------
    InputError
        If it is too large.
    """
    image = file.images[number]
    axes = "".join(_LETTERS.get(axis, axis) for axis in image.dims)
    check_size(path, image.shape)
    steps = {
        axis: float(places[1] - places[0])
        for axis, places in image.coords.items()
        if axis in "TZYX" and len(places) > 1
    }
    array = image.asarray()
    units = {"T": (1.0, "second")} | dict.fromkeys("ZYX", (1e6, "micrometer"))
    told = {
        axis: (round(abs(step) * units[axis][0], 9), units[axis][1])
        for axis, step in steps.items()
    }
    return array, axes, VoxelSize.of(told)
