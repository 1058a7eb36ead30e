"""Any image as the 8-bit RGB that SAM reads, and files in and out."""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from PIL import Image

from napari_samsp.core.errors import InputError

IMAGE_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Scaling:
    """How intensities become 0 to 255; stored with an adapter, repeated at inference.

    Attributes
    ----------
    kind : {"percentile", "limits", "none"}
        Limits from the image's percentiles, fixed limits, or 8-bit values as they
        are.
    low, high : float
        Percentiles, or intensities.
    """

    kind: Literal["percentile", "limits", "none"] = "percentile"
    low: float = 0.5
    high: float = 99.8

    def __post_init__(self) -> None:
        if self.kind not in ("percentile", "limits", "none"):
            raise InputError(f"Unknown intensity scaling {self.kind!r}.")
        if self.kind != "none" and not self.low < self.high:
            raise InputError(
                f"The scaling's lower limit ({self.low:g}) is not below the upper "
                f"({self.high:g})."
            )

    def limits(self, image: np.ndarray) -> tuple[float, float]:
        """The intensities that become 0 and 255.

        Parameters
        ----------
        image : numpy.ndarray
            Any shape; channels share their limits, so that colours stay.

        Returns
        -------
        tuple of float
            The image's extremes where its percentiles coincide.
        """
        if self.kind == "limits":
            return self.low, self.high
        if self.kind == "none":
            return 0.0, 255.0
        low, high = np.percentile(image, (self.low, self.high))
        if high <= low:
            low, high = image.min(), image.max()
        return float(low), float(high)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def to_rgb8(
    image: Any, channel_axis: int | None = None, scaling: Scaling | None = None
) -> np.ndarray:
    """Bring an image to the layout and depth that SAM reads.

    Parameters
    ----------
    image : array_like
        ``(Y, X)``, or ``(Y, X, C)`` with one to four channels, or with
        ``channel_axis`` any order of three axes. Any real dtype. A fourth channel of
        an image without ``channel_axis`` is alpha and is dropped.
    channel_axis : int, optional
        Where the channels are; up to three.
    scaling : Scaling, optional
        Default: the 0.5th to 99.8th percentile of all channels together.

    Returns
    -------
    numpy.ndarray
        ``(Y, X, 3)`` uint8, contiguous. Gray fills all three, two channels leave
        blue empty.

    Raises
    ------
    InputError
        If the image is empty, constant, not finite, not real, or of another shape.
    """
    array = np.asarray(image)
    if array.size == 0:
        raise InputError("The image is empty: it has no pixels.")
    if array.dtype == object or np.iscomplexobj(array):
        raise InputError(
            f"The image holds {array.dtype} values; convert it to real numbers first."
        )
    if array.ndim == 3:
        array = _channels_last(array, channel_axis)
    elif array.ndim != 2:
        raise InputError(
            f"The image has {array.ndim} axes (shape {array.shape}); "
            "give one 2D image, gray or with channels."
        )
    if array.shape[0] * array.shape[1] == 1:
        raise InputError("The image is a single pixel: there is nothing to segment.")
    if array.dtype.kind == "f":
        bad = int(array.size - np.isfinite(array).sum())
        if bad:
            raise InputError(
                f"The image has {bad} NaN or infinite values; replace them first, "
                "for instance with numpy.nan_to_num."
            )
        array = array.astype(np.float32 if array.dtype.itemsize < 4 else array.dtype)
    if array.dtype == bool:
        array = array.astype(np.uint8)
    first, last = array.min(), array.max()
    if first == last:
        raise InputError(
            f"The image is constant (every value is {first}): "
            "there is nothing to segment."
        )
    scaling = scaling or Scaling()
    if scaling.kind == "none" and array.dtype != np.uint8:
        raise InputError(
            f"Unscaled input must be 8-bit, not {array.dtype}; choose a scaling."
        )
    if scaling.kind != "none":
        low, high = scaling.limits(array)
        scaled = (array.astype(np.float64) - low) * (255.0 / (high - low))
        array = (scaled.clip(0, 255) + 0.5).astype(np.uint8)
    if array.ndim == 2:
        array = array[..., None]
    channels = array.shape[-1]
    if channels == 1:
        array = np.repeat(array, 3, axis=-1)
    elif channels == 2:
        array = np.concatenate([array, np.zeros_like(array[..., :1])], axis=-1)
    return np.ascontiguousarray(array)


def _channels_last(array: np.ndarray, channel_axis: int | None) -> np.ndarray:
    if channel_axis is not None:
        if not -3 <= channel_axis < 3:
            raise InputError(f"The image has no axis {channel_axis}.")
        array = np.moveaxis(array, channel_axis, -1)
        most = 3
    else:
        most = 4
    if not 1 <= array.shape[-1] <= most:
        raise InputError(
            f"The image has {array.shape[-1]} channels (shape {array.shape}); choose "
            "up to three of them, or say which axis holds them."
        )
    return array[..., :3]


def read_image(
    path: Path, palette: Literal["colours", "indices"] = "colours"
) -> np.ndarray:
    """Read an image file.

    Parameters
    ----------
    path : Path
        TIFF, PNG or JPEG.
    palette : {"colours", "indices"}
        What the pixels of a file with a palette are.

    Returns
    -------
    numpy.ndarray
        As stored; axes of length 1 before the image's are dropped.

    Raises
    ------
    InputError
        If it is missing, broken, or of another format.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise InputError(
            f"{path} is not one of {', '.join(IMAGE_SUFFIXES)}; convert it first."
        )
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            array = tifffile.imread(path)
        else:
            array = _read_picture(path, palette)
    except Exception as error:  # readers raise whatever their format library raises
        raise InputError(f"{path} cannot be read as an image: {error}") from error
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    return array


def _read_picture(path: Path, palette: str) -> np.ndarray:
    with Image.open(path) as picture:
        if picture.mode == "LA":
            return np.asarray(picture.convert("L"))
        indices = picture.mode == "P" and palette == "indices"
        if picture.mode in ("P", "PA", "CMYK", "YCbCr") and not indices:
            return np.asarray(picture.convert("RGB"))
        return np.asarray(picture)


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


def read_ome_zarr(path: Path) -> tuple[np.ndarray, int | None]:
    """Read the full-resolution 2D image of an OME-Zarr group.

    Parameters
    ----------
    path : Path
        The group, OME-Zarr 0.4 or 0.5.

    Returns
    -------
    tuple
        The array without axes of length 1, and the channel axis or None.

    Raises
    ------
    InputError
        If it is no OME-Zarr image, or is a stack or time series.
    """
    import zarr

    try:
        group = zarr.open_group(str(path), mode="r")
        attributes: dict[str, Any] = dict(group.attrs)
        scales = attributes.get("ome", attributes)["multiscales"][0]
        names = [
            axis["name"] if isinstance(axis, dict) else axis for axis in scales["axes"]
        ]
        array = np.asarray(group[scales["datasets"][0]["path"]])
    except Exception as error:  # zarr and its codecs raise many kinds
        raise InputError(f"{path} cannot be read as OME-Zarr: {error}") from error
    kept = [n for n, side in enumerate(array.shape) if side > 1 or names[n] in "yx"]
    array = array.reshape([array.shape[n] for n in kept])
    names = [names[n] for n in kept]
    if long := [name for name in names if name not in ("c", "y", "x")]:
        raise InputError(
            f"{path} is no single 2D image: it has axes {', '.join(long)}."
        )
    return array, names.index("c") if "c" in names else None


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


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Parameters
    ----------
    path : Path
        Its folder must exist.
    data : bytes
        The content.

    Raises
    ------
    OSError
        As the file system says; no partial file is left.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_labels(path: Path, labels: np.ndarray) -> None:
    """Write integer labels as a compressed TIFF, atomically.

    Parameters
    ----------
    path : Path
        Ends in ``.tif``.
    labels : numpy.ndarray
        ``(Y, X)`` integers.
    """
    write_atomically(path, _tiff_bytes(labels))


def write_image(path: Path, image: np.ndarray) -> None:
    """Write an image as a compressed TIFF, atomically.

    Parameters
    ----------
    path : Path
        Ends in ``.tif``.
    image : numpy.ndarray
        ``(Y, X)`` or ``(Y, X, C)``.
    """
    write_atomically(path, _tiff_bytes(image))


def _tiff_bytes(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    tifffile.imwrite(buffer, array, compression="zlib")
    return buffer.getvalue()
