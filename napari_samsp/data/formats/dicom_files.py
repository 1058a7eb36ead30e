"""DICOM files, and folders of the slices of one series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.data.formats.size_limit import check_size
from napari_samsp.data.voxel_size import VoxelSize
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.notes import tell
from napari_samsp.utils.optional_imports import reader_library

if TYPE_CHECKING:
    from pathlib import Path

DICOM_SUFFIXES = (".dcm", ".dicom")
_MILLIMETRES = "millimeter"


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, which may have any name."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def is_series(folder: Path) -> bool:
    """Whether a folder holds the slices of a DICOM series, and so is one image."""
    if not folder.is_dir():
        return False
    files = [path for path in folder.iterdir() if path.is_file()]
    # Most folders hold none, and a look at two files tells.
    if len(files) < 2 or not any(map(is_dicom, sorted(files)[:2])):
        return False
    return bool(_stacks(folder))


def read_dicom(path: Path) -> tuple[np.ndarray, str, VoxelSize]:
    """Read a DICOM file.

    Parameters
    ----------
    path : Path
        For which `is_dicom` holds.

    Returns
    -------
    tuple
        The array in its own units (slope and intercept applied), cut at the limits of
        its first window, dark where viewers show it dark; its axes, such as ``YX``,
        ``ZYX`` or ``YXS``; and the voxel size.

    Raises
    ------
    InputError
        If pydicom is missing, or the file holds no pixels or too many.
    """
    found = _dataset(path, pixels=True)
    array, window = _values(path, found)
    color = int(found.get("SamplesPerPixel", 1)) > 1 or array.shape[-1:] == (3,)
    axes = "YXS" if color and array.ndim > 2 else "YX"
    if array.ndim > len(axes):
        axes = ("T" if found.get("FrameTime") or found.get("CineRate") else "Z") + axes
    return _shown(array, window, found), axes, _voxels(found)


def read_series(
    folder: Path, number: int | None = None
) -> tuple[np.ndarray, str, VoxelSize]:
    """Read the slices of a series as a stack.

    Parameters
    ----------
    folder : Path
        For which `is_series` holds.
    number : int, optional
        Number of the series, from 0. Default: the one with the most slices.

    Returns
    -------
    tuple
        As `read_dicom`; the slices by their position.

    Raises
    ------
    InputError
        As `read_dicom`, and if there is no such series.
    """
    stacks = _stacks(folder)
    if not stacks:
        raise InputError(f"{folder} holds no DICOM series of several slices.")
    if number is not None and len(stacks) > 1:
        if not 0 <= number < len(stacks):
            raise InputError(
                f"{folder} has the images 0 to {len(stacks) - 1}, not {number}."
            )
        best = number
    else:
        best = max(range(len(stacks)), key=lambda n: len(stacks[n]))
        if len(stacks) > 1:
            tell(
                f"{folder} holds {len(stacks)} series: the one of {len(stacks[best])} "
                "slices is read; --series N picks another, counted from 0."
            )
    places, paths = zip(*stacks[best], strict=True)
    first = _dataset(paths[0])
    check_size(folder, (len(paths), int(first.Rows), int(first.Columns)))
    values, windows = [], []
    for path in paths:
        array, window = _values(path, _dataset(path, pixels=True))
        values.append(array)
        windows += [window] if window else []
    stack = np.stack(values)
    limits = None
    if len(windows) == len(paths):
        limits = min(w[0] for w in windows), max(w[1] for w in windows)
    voxels = _voxels(first)
    voxels.scale["Z"] = float(np.median(np.diff(places)))
    voxels.units["Z"] = _MILLIMETRES
    axes = "ZYX" if stack.ndim == 3 else "ZYXS"
    return _shown(stack, limits, first), axes, voxels


def _stacks(folder: Path) -> list[list[tuple[float, Path]]]:
    """Slices of equal size and direction in order, with their positions."""
    found: dict[Any, dict[float, Path]] = {}
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name.startswith(".") or not is_dicom(path):
            continue
        try:
            header = _dataset(path)
            position = np.array(header.ImagePositionPatient, float)
            direction = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
            if int(header.get("NumberOfFrames") or 1) > 1:
                continue
            key = (
                str(header.get("SeriesInstanceUID")),
                int(header.Rows),
                int(header.Columns),
                tuple(direction.round(3).ravel()),
            )
        except (AttributeError, TypeError, ValueError):
            continue  # without a position it has no place in a stack
        place = float(np.cross(*direction) @ position)
        found.setdefault(key, {}).setdefault(round(place, 4), path)
    return [sorted(slices.items()) for slices in found.values() if len(slices) > 1]


def _dataset(path: Path, pixels: bool = False) -> Any:
    pydicom = reader_library("pydicom", "DICOM")
    try:
        found = pydicom.dcmread(path, stop_before_pixels=not pixels)
    except Exception as error:  # pydicom raises many kinds for a broken file
        raise InputError(f"{path} cannot be read as DICOM: {error}") from error
    return found


def _values(path: Path, found: Any) -> tuple[np.ndarray, tuple[float, float] | None]:
    """The pixels in their own units, and the limits of the first window."""
    pixels: Any = reader_library("pydicom.pixels", "DICOM")

    if "PixelData" not in found:
        raise InputError(f"{path} is a DICOM file without an image.")
    frames = int(found.get("NumberOfFrames") or 1)
    check_size(path, (frames, int(found.Rows), int(found.Columns)))
    try:
        array = pixels.pixel_array(found)
        if found.PhotometricInterpretation == "PALETTE COLOR":
            return pixels.apply_color_lut(array, found), None
        if int(found.get("SamplesPerPixel", 1)) > 1:
            return array, None
        array = pixels.apply_modality_lut(array, found)
    except Exception as error:  # as above
        raise InputError(f"{path} cannot be read as DICOM: {error}") from error
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    return array, _window(found)


def _window(found: Any) -> tuple[float, float] | None:
    numbers = []
    for name in ("WindowCenter", "WindowWidth"):
        value = found.get(name)
        if not isinstance(value, int | float | str):
            value = next(iter(value or ()), None)  # the first of several
        try:
            numbers.append(float(value))
        except (TypeError, ValueError):
            return None
    centre, width = numbers
    return (centre - width / 2, centre + width / 2) if width >= 1 else None


def _shown(
    array: np.ndarray, window: tuple[float, float] | None, found: Any
) -> np.ndarray:
    """Cut at the window, and black where a viewer has it black."""
    if window is not None:
        low, high = window
        if array.dtype.kind in "iu":
            bounds = np.iinfo(array.dtype)
            low, high = max(low, bounds.min), min(high, bounds.max)
        if low < high:
            array = array.clip(
                np.array(low).astype(array.dtype), np.array(high).astype(array.dtype)
            )
    if found.PhotometricInterpretation == "MONOCHROME1":
        array = array.max() - (array - array.min())
    return array


def _voxels(found: Any) -> VoxelSize:
    measures: Any = found
    groups = found.get("SharedFunctionalGroupsSequence")
    if groups and groups[0].get("PixelMeasuresSequence"):
        measures = groups[0].PixelMeasuresSequence[0]
    spacing = measures.get("PixelSpacing") or found.get("ImagerPixelSpacing")
    told: dict[str, tuple[Any, Any]] = {
        "Z": (
            measures.get("SpacingBetweenSlices") or measures.get("SliceThickness"),
            _MILLIMETRES,
        )
    }
    if spacing and len(spacing) == 2:
        told["Y"], told["X"] = ((n, _MILLIMETRES) for n in spacing)
    if found.get("FrameTime"):
        told["T"] = found.FrameTime, "millisecond"
    return VoxelSize.of(told)
