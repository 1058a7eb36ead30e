"""Pixels that are not a number: they are no data, and never foreground."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari_samsp.core.inference import Iteration


def missing(image: Any, channel_axis: int | None = None) -> np.ndarray | None:
    """Where an image has no data.

    Parameters
    ----------
    image : array_like
        ``(Y, X)``, or with channels.
    channel_axis : int, optional
        Where the channels are, if not last.

    Returns
    -------
    numpy.ndarray or None
        ``(Y, X)`` bool; None if every pixel has a value.
    """
    values = np.asarray(image)
    if values.dtype.kind != "f":
        return None
    nothing = np.logical_not(np.isfinite(values))
    if nothing.ndim == 3:
        nothing = nothing.any(axis=-1 if channel_axis is None else channel_axis)
    return nothing if nothing.any() else None


def cleared(
    steps: Iterable[Iteration], nothing: np.ndarray | None
) -> Iterator[Iteration]:
    """Take the foreground away where there is no data.

    Parameters
    ----------
    steps : iterable of Iteration
        Of one image.
    nothing : numpy.ndarray or None
        From `missing`.

    Yields
    ------
    Iteration
        The same, background there.
    """
    for step in steps:
        if nothing is None:
            yield step
            continue
        yield replace(
            step,
            labels=np.where(nothing, 0, step.labels),
            logits=np.where(nothing, -np.abs(step.logits), step.logits),
        )
