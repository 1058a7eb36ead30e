"""The intensity limits of an image, or one pair of them for all planes of a stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from napari_samsp.core.images import Scaling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PLANES_LOOKED_AT = 16
PIXELS_LOOKED_AT = 4_000_000
"""Of all those planes together; percentiles of more are not worth their time."""

P = TypeVar("P")


def fixed(
    scaling: Scaling, read: Callable[[P], np.ndarray], planes: Sequence[P]
) -> Scaling:
    """Replace percentiles by the intensities that they stand for.

    Parameters
    ----------
    scaling : Scaling
        Of any kind; only percentiles are replaced.
    read : callable
        Gives a plane, ``(Y, X)`` or ``(Y, X, C)``. Of a stack some planes are read,
        evenly spread.
    planes : sequence
        What ``read`` takes. One plane is looked at pixel by pixel, as
        `napari_samsp.core.images.to_rgb8` does.

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


def _some(plane: np.ndarray, most: int, whole: bool) -> np.ndarray:
    plane = np.asarray(plane)[..., :3] if plane.ndim == 3 else np.asarray(plane)
    if plane.dtype == bool:
        plane = plane.astype(np.uint8)
    elif plane.dtype.kind == "f" and plane.dtype.itemsize < 4:
        plane = plane.astype(np.float32)
    step = 1 if whole else max(1, int(np.ceil((plane.size / most) ** 0.5)))
    seen = plane[::step, ::step].ravel()
    return seen[np.isfinite(seen)] if seen.dtype.kind == "f" else seen
