"""NIfTI volumes, and their labels, which lie where the volume does."""

from __future__ import annotations

import gzip
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.data.formats.size_limit import check_size
from napari_samsp.data.voxel_size import VoxelSize
from napari_samsp.utils.atomic_files import write_atomically
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.optional_imports import reader_library

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NIFTI_SUFFIXES = (".nii", ".nii.gz")
_AXES = "XYZTC"
_MAGIC_1, _MAGIC_2 = (b"n+1\0", 344), (b"n+2\0", 4)
_GZIP = b"\x1f\x8b"
_UNITS = {"meter": "meter", "mm": "millimeter", "micron": "micrometer", "sec": "second"}
_PARTS = {"msec": ("second", 1e-3), "usec": ("second", 1e-6)}


def is_nifti(path: Path) -> bool:
    """Whether a file is a NIfTI volume, compressed or not, whatever its name says."""
    return _version(path) > 0


def read_nifti(path: Path) -> tuple[np.ndarray, str, VoxelSize]:
    """Read a NIfTI volume.

    Parameters
    ----------
    path : Path
        For which `is_nifti` holds.

    Returns
    -------
    tuple
        The array with its slope applied; its axes, such as ``ZYX``; and the voxel
        size. Rows and columns are the file's second and first axis: what is up is as
        it is stored.

    Raises
    ------
    InputError
        If nibabel is missing, or the volume is too large or of other axes.
    """
    with _opened(path) as volume:
        shape = volume.shape
        if not 2 <= len(shape) <= len(_AXES):
            raise InputError(f"{path} is a NIfTI of {len(shape)} axes, not 2 to 5.")
        check_size(path, shape)
        array = np.asanyarray(volume.dataobj)
        header = volume.header
        if array.dtype.names:  # RGB
            array = np.stack([array[name] for name in array.dtype.names], axis=-1)
        elif array.dtype == np.float64 and header.get_data_dtype() != np.float64:
            array = array.astype(np.float32)  # a slope was applied
        axes = _AXES[: len(shape)] + "S" * (array.ndim - len(shape))
        voxels = _voxels(header)
    order = [n for n, axis in enumerate(axes) if axis != "S"][::-1]
    order += [axes.index("S")] if "S" in axes else []
    return array.transpose(order), "".join(axes[n] for n in order), voxels


def write_nifti(path: Path, labels: Any, axes: str, image: Path) -> None:
    """Write labels as a NIfTI that lies where an image does, atomically.

    Parameters
    ----------
    path : Path
        Ends in ``.nii.gz``.
    labels : array_like
        int32, in the order of ``axes``.
    axes : str
        One letter per axis, of ``TZYX``.
    image : Path
        The volume, whose affine is kept.
    """
    with _opened(image) as volume:
        sides = dict(zip(axes, labels.shape, strict=True))
        shape = [sides.get(axis, 1) for axis in _AXES[: min(len(volume.shape), 4)]]
        order = [axes.index(axis) for axis in _AXES if axis in axes]
        pixels = np.asarray(labels, np.int32).transpose(order).reshape(shape)
        header = volume.header.copy()
        header.set_data_dtype(np.int32)
        header["cal_min"] = header["cal_max"] = 0
        header.set_intent("label")
        made = type(volume)(pixels, volume.affine, header)
        write_atomically(path, gzip.compress(made.to_bytes(), mtime=0))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    nibabel = reader_library("nibabel", "NIfTI")
    kind = nibabel.Nifti2Image if _version(path) == 2 else nibabel.Nifti1Image
    with path.open("rb") as file:
        zipped = file.read(2) == _GZIP
    with gzip.open(path) if zipped else path.open("rb") as stream:
        yield kind.from_stream(stream)


def _version(path: Path) -> int:
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(_GZIP):
        try:
            with gzip.open(path) as file:
                head = file.read(512)
        except (OSError, EOFError):
            return 0
    for version, (magic, place) in enumerate((_MAGIC_1, _MAGIC_2), start=1):
        if head[place : place + len(magic)] == magic:
            return version
    return 0


def _voxels(header: Any) -> VoxelSize:
    length, time = header.get_xyzt_units()
    told = {}
    for axis, size in zip(_AXES[:4], header.get_zooms(), strict=False):
        unit, factor = _PARTS.get(time, (_UNITS.get(time, ""), 1.0))
        if axis != "T":
            unit, factor = _UNITS.get(length, ""), 1.0
        told[axis] = float(size) * factor, unit
    return VoxelSize.of(told)
