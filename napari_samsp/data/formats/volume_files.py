"""DICOM and NIfTI: what optional libraries read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_samsp.data.formats.dicom_files import (
    DICOM_SUFFIXES,
    is_dicom,
    is_series,
    read_dicom,
    read_series,
)
from napari_samsp.data.formats.nifti_files import NIFTI_SUFFIXES, is_nifti, read_nifti

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from napari_samsp.data.voxel_size import VoxelSize

VOLUME_SUFFIXES = (*DICOM_SUFFIXES, *NIFTI_SUFFIXES)


def read_volume(
    path: Path, series: int | None = None
) -> tuple[np.ndarray, str, VoxelSize] | None:
    """Read a file, or a folder of slices, if it is of such a format.

    Parameters
    ----------
    path : Path
        A file or folder of any kind.
    series : int, optional
        Which of several series of a folder, from 0.

    Returns
    -------
    tuple or None
        The array, its axes and the voxel size; None for what is of another format.

    Raises
    ------
    InputError
        If it cannot be read, or the library that reads it is missing.
    """
    if path.is_dir():
        return read_series(path, series) if is_series(path) else None
    if not path.is_file():
        return None
    if is_dicom(path):
        return read_dicom(path)
    return read_nifti(path) if is_nifti(path) else None
