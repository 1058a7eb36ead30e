"""Alpha is no channel: where it is 0, an image has no data."""

from __future__ import annotations

from typing import Any

import numpy as np


def with_gaps(gray: Any, alpha: Any, axis: int = -1) -> Any:
    """Keep the alpha of a gray image only if it says something.

    Parameters
    ----------
    gray, alpha : array_like
        Of equal shape, numpy or dask.
    axis : int
        Where the colours go.

    Returns
    -------
    array_like
        The gray image as it is; with pixels of alpha 0, or if that is not known before
        it is read, its RGBA.
    """
    if isinstance(alpha, np.ndarray) and alpha.all():
        return gray
    return np.stack([gray, gray, gray, alpha], axis=axis)


def straight(colours: Any, alpha: Any, axis: int = -1) -> Any:
    """Divide colours by the alpha that they were multiplied by.

    Parameters
    ----------
    colours : array_like
        Premultiplied, numpy or dask; integers, or floating from 0 to 1.
    alpha : array_like
        The opacity, of the same shape without ``axis``.
    axis : int
        Where the colours are.

    Returns
    -------
    array_like
        Of the same dtype; unchanged where alpha is 0.
    """
    if colours.dtype.kind not in "uf":
        return colours
    whole = colours.dtype.kind == "u"
    top = float(np.iinfo(colours.dtype).max) if whole else 1.0
    divisor = np.expand_dims(np.where(alpha == 0, top, alpha), axis)
    found = colours * (top / divisor)
    if whole:
        found = np.clip(np.rint(found), 0, top)
    return found.astype(colours.dtype)
