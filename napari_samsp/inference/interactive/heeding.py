"""What a click that mends a mask changes: the one rule, wherever masks and clicks meet.

A click lies in the middle of what is wrong, and the mask's border on its edge. So the
way from the click to the border tells how wide the error is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_samsp.self_prompting.refitting import refitted

if TYPE_CHECKING:
    from torch import Tensor

    from napari_samsp.inference.interactive.cut import Clicks

SHOWN, KEPT = 1.5, 1.0
"""What a click changes is a disc about it, whose radius is so many times the way to the
mask's border: in the mask that the model is shown, and in what it makes of it."""
WIDEST = 1.0
"""Such a disc is at most so many times as wide as one with the object's area."""
LEAST = 2.0
"""Its radius in pixels, at least."""


def as_clicked(mask: np.ndarray, clicks: Clicks, reach: float) -> np.ndarray:
    """A mask that holds the clicks inside and none of those outside.

    A model that is shown a mask trusts it: against it, a click alone changes little.

    Parameters
    ----------
    mask : numpy.ndarray
        ``(Y, X)`` bool.
    clicks : Clicks
        Rows and columns in pixels of the mask.
    reach : float
        How far a click that the mask does not heed changes it, by the way to its
        border.

    Returns
    -------
    numpy.ndarray
        ``(Y, X)`` bool. Each click's own pixel is as it says; of clicks that say
        different things in one pixel, as the last one does.
    """
    out = mask.copy()
    widest = WIDEST * float(np.sqrt(np.count_nonzero(mask) / np.pi))
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    places, sides = np.array(clicks.points), np.array(clicks.inside, bool)
    for (row, column), inside in zip(places, sides, strict=True):
        if mask[int(row), int(column)] == inside:
            continue
        away = (rows - row) ** 2 + (columns - column) ** 2
        way = np.sqrt(away[mask == inside].min(initial=widest**2))
        radius = max(LEAST, reach * min(way, widest))
        against = places[sides != inside] - (row, column)
        if len(against):  # a click is not to undo another
            radius = min(radius, np.hypot(*against.T).min() / 2)
        out[away <= radius**2] = inside
    for (row, column), inside in zip(places, sides, strict=True):
        out[int(row), int(column)] = inside
    return out


def heeded(
    logits: Tensor, features: Tensor, clicks: Clicks, shape: tuple[int, int]
) -> Tensor:
    """What a model says of an object, mended as the clicks say.

    Parameters
    ----------
    logits : Tensor
        ``(h, w)`` low-res logits of a view, without padding.
    features : Tensor
        ``(h, w, c)``, what they are made of.
    clicks : Clicks
        Rows and columns in pixels of the view.
    shape : tuple of int
        Height and width of the view in pixels.

    Returns
    -------
    Tensor
        ``(h, w)`` float32. The cells about a click that the model did not heed are as
        it says, and cells like them follow (`refitted`).
    """
    scale = np.array(logits.shape) / shape
    pixels = np.array(clicks.points).astype(int)
    cells = ((pixels + 0.5) * scale).astype(int)
    cells = cells.clip(0, np.array(logits.shape) - 1)
    points = tuple((float(row), float(column)) for row, column in cells)
    mask = (logits > 0).cpu().numpy()
    target = as_clicked(mask, replace(clicks, points=points), KEPT)
    wanted, clicked = (
        torch.from_numpy(each).to(logits.device) for each in (target, target != mask)
    )
    return refitted(logits, features, wanted, clicked)
