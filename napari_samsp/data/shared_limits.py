"""The intensity limits of an image, or one pair of them for all planes of a stack."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from napari_samsp.data.rgb import Scaling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PLANES_LOOKED_AT = 16
PIXELS_LOOKED_AT = 4_000_000
"""Pixels that are read of these planes together; reading more would take longer
without changing the percentiles much."""

P = TypeVar("P")


def resolve_percentiles(
    scaling: Scaling, read: Callable[[P], Any], planes: Sequence[P]
) -> Scaling:
    """Replace percentiles by the intensities that they stand for.

    Parameters
    ----------
    scaling : Scaling
        Of any kind; only percentiles are replaced.
    read : callable
        Gives a plane, ``(Y, X)`` or ``(Y, X, C)``, or what gives windows of it. Of a
        stack some planes are read, evenly spread, and of each some rows and columns.
    planes : sequence
        What ``read`` takes. One plane is looked at pixel by pixel, as
        `napari_samsp.data.rgb.to_rgb8` does.

    Returns
    -------
    Scaling
        Of kind ``limits``; what was given if the pixels have no limits, since they
        are all the same or not numbers.
    """
    if scaling.kind != "percentile":
        return scaling
    count = min(len(planes), PLANES_LOOKED_AT)
    chosen = np.linspace(0, len(planes) - 1, count).round().astype(int)
    pixels = np.concatenate(
        [_some(read(planes[n]), PIXELS_LOOKED_AT // count, count == 1) for n in chosen]
    )
    if not pixels.size or pixels.dtype.kind not in "uif":
        return scaling
    low, high = scaling.limits(pixels)
    return Scaling("limits", low, high) if low < high else scaling


def _some(plane: Any, most: int, whole: bool) -> np.ndarray:
    step = 1 if whole else max(1, int(np.ceil((prod(plane.shape) / most) ** 0.5)))
    # Not before it is cut: a plane may be too large to hold.
    seen = np.asarray(plane[::step, ::step])
    seen = (seen[..., :3] if seen.ndim == 3 else seen).ravel()
    if seen.dtype == bool:
        seen = seen.astype(np.uint8)
    elif seen.dtype.kind == "f" and seen.dtype.itemsize < 4:
        seen = seen.astype(np.float32)
    return seen[np.isfinite(seen)] if seen.dtype.kind == "f" else seen
