"""Any image as the 8-bit RGB that SAM reads."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from napari_samsp.core.errors import InputError


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
