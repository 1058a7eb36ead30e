"""Any image as the 8-bit RGB that SAM reads."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from napari_samsp.data.intensities import Intensities
from napari_samsp.data.lazy_rgb import LazyRGB
from napari_samsp.utils.errors import InputError


@dataclass(frozen=True)
class Scaling:
    """How intensities become 0 to 255; stored with an adapter, repeated at inference.

    Attributes
    ----------
    kind : {"percentile", "limits", "none"}
        Limits from the image's percentiles, fixed limits, or 8-bit values as they
        are.
    low, high : float
        Percentiles from 0 to 100, or intensities, as ``kind`` says.
    """

    kind: Literal["percentile", "limits", "none"] = "percentile"
    low: float = 0.5
    high: float = 99.8

    def __post_init__(self) -> None:
        if self.kind not in ("percentile", "limits", "none"):
            raise InputError(f"Unknown intensity scaling {self.kind!r}.")
        if self.kind == "percentile" and not (self.low >= 0 and self.high <= 100):
            raise InputError("The scaling's percentiles must be from 0 to 100.")
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
        found = Intensities.of([image], image.dtype, image.size)
        return self.limits_from(found)

    def limits_from(self, found: Intensities) -> tuple[float, float]:
        """As `limits`, of an image that was read already."""
        if self.kind == "limits":
            return self.low, self.high
        if self.kind == "none":
            return 0.0, 255.0
        low, high = found.percentiles(self.low, self.high)
        return (low, high) if low < high else (found.low, found.high)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """As `parse` reads it, such as ``percentile:0.5:99.8``."""
        if self.kind == "none":
            return self.kind
        return f"{self.kind}:{self.low!r}:{self.high!r}"

    @classmethod
    def parse(cls, text: str) -> Scaling:
        """Read a scaling from a command line or a settings file.

        Parameters
        ----------
        text : str
            ``percentile:LOW:HIGH``, ``limits:LOW:HIGH`` or ``none``.

        Returns
        -------
        Scaling
            The scaling that the text describes.

        Raises
        ------
        InputError
            If it is written otherwise, or makes no sense.
        """
        kind, *numbers = text.split(":")
        try:
            if kind == "none" and not numbers:
                return cls("none")
            low, high = (float(number) for number in numbers)
            if kind == "percentile":
                return cls("percentile", low, high)
            if kind == "limits" and np.isfinite([low, high]).all():
                return cls("limits", low, high)
        except ValueError:
            pass  # not two numbers
        raise InputError(
            f"The intensity scaling {text!r} is not of the form percentile:0.5:99.8, "
            "limits:0:4095 or none."
        )


def to_rgb8(
    image: Any, channel_axis: int | None = None, scaling: Scaling | None = None
) -> np.ndarray:
    """Bring an image to the layout and depth that SAM reads.

    Parameters
    ----------
    image : array_like
        ``(Y, X)``, or ``(Y, X, C)`` with one to four channels, or with
        ``channel_axis`` any order of three axes. Any real dtype. A fourth channel of
        an image without ``channel_axis`` is alpha: where it is 0 there is no data.
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
        If the image is empty, constant, not real, too narrow, or of other
        shape.
    """
    return as_lazy_rgb(image, channel_axis, scaling)[:, :]


def as_lazy_rgb(
    image: Any, channel_axis: int | None = None, scaling: Scaling | None = None
) -> LazyRGB:
    """Read an image into memory, to be brought to 8-bit RGB.

    Parameters
    ----------
    image, channel_axis, scaling
        As for `to_rgb8`.

    Returns
    -------
    LazyRGB
        ``[:, :]`` is what `to_rgb8` gives, and `LazyRGB.missing` where there is no
        data.

    Raises
    ------
    InputError
        As `to_rgb8`.
    """
    try:
        array = np.asarray(image)
    except (ValueError, TypeError) as error:
        raise InputError(f"The image is no array of numbers: {error}.") from error
    return LazyRGB(array, channel_axis, scaling or Scaling())
