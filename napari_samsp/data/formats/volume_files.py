"""DICOM, NIfTI and microscopes' files: what optional libraries read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_samsp.data.formats.dicom_files import (
    DICOM_SUFFIXES,
    is_dicom,
    is_series,
    read_dicom,
    read_series,
)
from napari_samsp.data.formats.nifti_files import NIFTI_SUFFIXES, is_nifti, read_nifti
from napari_samsp.data.formats.scenes import SCENE_SUFFIXES, file_of, read_scene

if TYPE_CHECKING:
    from pathlib import Path

    from napari_samsp.data.voxel_size import VoxelSize

VOLUME_SUFFIXES = (*DICOM_SUFFIXES, *NIFTI_SUFFIXES, *SCENE_SUFFIXES)


def read_volume(
    path: Path, series: int | None = None
) -> tuple[Any, str, VoxelSize] | None:
    """Read a file, or a folder of slices, if it is of such a format.

    Parameters
    ----------
    path : Path
        A file or folder of any kind, or an image in a file of several.
    series : int, optional
        Which of several images of a folder or file, from 0.

    Returns
    -------
    tuple or None
        The array, which may be lazy, its axes and the voxel size; None for what is
        of another format.

    Raises
    ------
    InputError
        If it cannot be read, or the library that reads it is missing.
    """
    if path.is_dir():
        return read_series(path, series) if is_series(path) else None
    if not file_of(path).is_file():
        return None
    if (scene := read_scene(path, series)) is not None:
        return scene
    if is_dicom(path):
        return read_dicom(path)
    return read_nifti(path) if is_nifti(path) else None
