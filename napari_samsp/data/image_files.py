"""Image and mask files: reading any, writing label images."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import tifffile
from PIL import UnidentifiedImageError

from napari_samsp.data.formats.dicom_files import is_dicom, is_series
from napari_samsp.data.formats.file_kinds import is_tiff, other_kind
from napari_samsp.data.formats.nifti_files import NIFTI_SUFFIXES, is_nifti
from napari_samsp.data.formats.ome_files import check_parts
from napari_samsp.data.formats.raster_files import picture_orientation, read_picture
from napari_samsp.data.formats.size_limit import check_size
from napari_samsp.data.formats.tiff_files import (
    MOST_COLOURS,
    as_shown,
    axes_of,
    main_series,
    tiff_orientation,
)
from napari_samsp.data.formats.volume_files import VOLUME_SUFFIXES, read_volume
from napari_samsp.utils.atomic_files import write_atomically
from napari_samsp.utils.errors import InputError, is_out_of_memory
from napari_samsp.utils.file_names import suffix_of

IMAGE_SUFFIXES = (
    *(".tif", ".tiff", ".png", ".jpg", ".jpeg"),
    *(".bmp", ".webp", ".gif", ".jp2"),
    *VOLUME_SUFFIXES,
)
MASK_SUFFIXES = (".tif", ".tiff", ".png", *NIFTI_SUFFIXES)


def read_image(
    path: Path,
    palette: Literal["colours", "indices"] = "colours",
    series: int | None = None,
) -> np.ndarray:
    """Read an image file.

    Parameters
    ----------
    path : Path
        Of any kind of `IMAGE_SUFFIXES`; the content counts, not which of them it is.
    palette : {"colours", "indices"}
        What the pixels of a file with a palette are.
    series : int, optional
        Which image of a file that holds several, from 0; default: the largest.

    Returns
    -------
    numpy.ndarray
        As viewers show it, upright; axes of length 1 before the image's are dropped.

    Raises
    ------
    InputError
        If it is missing, broken, or of another format.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    if suffix_of(path) not in IMAGE_SUFFIXES and not is_dicom(path):
        raise InputError(
            f"{path} is not one of {', '.join(IMAGE_SUFFIXES)}; convert it first."
        )
    try:
        if is_tiff(path):
            array = _read_tiff(path, palette == "indices", series)
        elif (volume := read_volume(path, series)) is not None:
            array = np.asarray(volume[0])
        elif kind := other_kind(path):
            raise InputError(f"{path} cannot be read as an image: it is {kind}.")
        else:
            array = read_picture(path, palette == "indices")
    except InputError:
        raise
    except Exception as error:  # readers raise whatever their format library raises
        raise unreadable(path, error) from error
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    return array


def orientation(path: Path, series: int | None = None) -> int:
    """How an image file stores its pixels: turned or mirrored, as EXIF says it.

    Parameters
    ----------
    path : Path
        An image file.
    series : int, optional
        As for `read_image`.

    Returns
    -------
    int
        1 to 8, as EXIF has it; 1 if the file does not say.
    """
    if is_dicom(path) or is_nifti(path):
        return 1
    if not is_tiff(path):
        return picture_orientation(path)
    with tifffile.TiffFile(path) as file:
        return tiff_orientation(main_series(path, file, series).keyframe)


def unreadable(
    path: Path | str, error: Exception, kind: str = "an image"
) -> InputError:
    """What to raise for whatever a reader raised.

    Parameters
    ----------
    path : Path or str
        What was read, for the message.
    error : Exception
        The reader's: a broken file, or too little memory.
    kind : str
        What it was read as.

    Returns
    -------
    InputError
        To be raised: one sentence for the user.
    """
    if is_out_of_memory(error):
        return InputError(
            f"{path} does not fit into memory: close other programs, or cut it into "
            "parts."
        )
    reason = "it is not one" if isinstance(error, UnidentifiedImageError) else error
    return InputError(f"{path} cannot be read as {kind}: {reason}")


def _read_tiff(path: Path, mask: bool, number: int | None) -> np.ndarray:
    with tifffile.TiffFile(path) as file:
        check_parts(path, file)
        series = main_series(path, file, number)
        check_size(path, series.shape)
        array, axes, alpha = as_shown(
            path, series.asarray(), axes_of(series), file, series.keyframe, mask
        )
    if "S" in axes:
        array = np.moveaxis(array, axes.index("S"), -1)
        if array.shape[-1] == MOST_COLOURS and not alpha:
            array = array[..., :3]  # the file does not say what the fourth channel is
    return np.asarray(array)


def is_ome_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr group.

    Parameters
    ----------
    path : Path
        Any path.

    Returns
    -------
    bool
        True for Zarr format 2 and 3.
    """
    return any((path / name).is_file() for name in (".zgroup", "zarr.json"))


def is_image_folder(path: Path) -> bool:
    """Whether a folder is one image: an OME-Zarr, or the slices of a DICOM series."""
    return is_ome_zarr(path) or is_series(path)


def read_labels(path: Path) -> np.ndarray:
    """Read a mask file.

    Parameters
    ----------
    path : Path
        TIFF or PNG of integer labels.

    Returns
    -------
    numpy.ndarray
        ``(Y, X)`` int32, 0 = background.

    Raises
    ------
    InputError
        If it cannot be read, is not 2D, or holds other than whole numbers from 0.
    """
    return as_labels(read_image(path, palette="indices"), str(path))


def as_labels(array: np.ndarray, name: str) -> np.ndarray:
    """Check that an array is a mask and make it int32.

    Parameters
    ----------
    array : numpy.ndarray
        Integer, boolean, or floating with whole values.
    name : str
        What to call it in an error.

    Returns
    -------
    numpy.ndarray
        ``(Y, X)`` int32.

    Raises
    ------
    InputError
        As `read_labels`.
    """
    try:
        return _as_labels(array, name)
    except MemoryError as error:
        raise unreadable(f"The mask {name}", error) from error


def _as_labels(array: np.ndarray, name: str) -> np.ndarray:
    if array.ndim != 2:
        raise InputError(
            f"The mask {name} has shape {array.shape}; it must be 2D integer labels."
        )
    if array.dtype.kind not in "biuf":
        raise InputError(f"The mask {name} holds {array.dtype}, not integer labels.")
    if array.dtype.kind == "f" and not (
        np.isfinite(array).all() and (array == np.floor(array)).all()
    ):
        raise InputError(f"The mask {name} holds fractions; it must be integer labels.")
    if array.size and not 0 <= array.min() <= array.max() <= np.iinfo(np.int32).max:
        raise InputError(f"The mask {name} has labels below 0 or above 2147483647.")
    return array.astype(np.int32)


def write_labels(path: Path, labels: np.ndarray) -> None:
    """Write integer labels as a compressed TIFF, atomically.

    Parameters
    ----------
    path : Path
        Ends in ``.tif``.
    labels : numpy.ndarray
        ``(Y, X)`` integers.
    """
    write_atomically(path, tiff_bytes(labels))


def write_image(path: Path, image: np.ndarray) -> None:
    """Write an image as a compressed TIFF, atomically.

    Parameters
    ----------
    path : Path
        Ends in ``.tif``.
    image : numpy.ndarray
        ``(Y, X)`` or ``(Y, X, C)``.
    """
    write_atomically(path, tiff_bytes(image))


def tiff_bytes(array: np.ndarray) -> bytes:
    """Encode an array as a compressed TIFF.

    Parameters
    ----------
    array : numpy.ndarray
        ``(Y, X)`` or ``(Y, X, C)``.

    Returns
    -------
    bytes
        The file's content.
    """
    buffer = BytesIO()
    tifffile.imwrite(buffer, array, compression="zlib")
    return buffer.getvalue()
