"""What a click that mends a mask changes: the one rule, wherever masks and clicks meet.

A click lies in the middle of what is wrong, and the mask's border on its edge. So the
way from the click to the border tells how wide the error is.

What the model says elsewhere of an object that is known is left out: a user looks at
the click. Of a change only the connected parts that hold a click are taken, as by
FocalClick (Chen et al., CVPR 2022, arXiv 2204.02574).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage

from napari_samsp.inference.interactive.cut import Cut
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
SPECK = 0.01
"""Islands and holes that a click left go up to this share of the object's area."""
ALSO_CORNERS = np.ones((3, 3), bool)


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


def at_clicks(mask: np.ndarray, known: np.ndarray, clicks: Clicks) -> np.ndarray:
    """A known mask, changed where a click asks for it and nowhere else.

    Parameters
    ----------
    mask, known : numpy.ndarray
        ``(Y, X)`` bool: the object as it would be, and as it was.
    clicks : Clicks
        Rows and columns in pixels of the masks.

    Returns
    -------
    numpy.ndarray
        ``(Y, X)`` bool: as ``mask`` in those connected parts of the change, corners
        count, that hold a click; elsewhere as ``known``.
    """
    out = known.copy()
    changed = mask != known
    box = _box(changed, 0)
    parts, count = ndimage.label(changed[box], ALSO_CORNERS)
    taken = np.zeros(count + 1, bool)
    taken[_under(parts, box, clicks)] = True
    taken[0] = False
    out[box] ^= taken[parts]
    return out


def without_specks(mask: np.ndarray, known: np.ndarray, clicks: Clicks) -> np.ndarray:
    """Remove the tiny islands that a change left, and fill its tiny holes.

    Parameters
    ----------
    mask, known : numpy.ndarray
        ``(Y, X)`` bool: the object as it is, and as it was.
    clicks : Clicks
        Rows and columns in pixels of the masks. What holds a click stays.

    Returns
    -------
    numpy.ndarray
        ``(Y, X)`` bool. What was as small before, and has not changed, stays; so does
        what is at the masks' edge, and may go on beyond it.
    """
    out, changed = mask.copy(), mask != known
    most = SPECK * np.count_nonzero(mask)
    box = _box(changed, 1 + math.ceil(math.sqrt(most)))  # what reaches out is large
    mask, near = mask[box], _with_neighbours(changed[box])
    for side in (True, False):
        parts, count = ndimage.label(mask == side)
        gone = np.bincount(parts.ravel(), minlength=count + 1) <= most
        gone &= np.bincount(parts[near], minlength=count + 1) > 0
        gone[_under(parts, box, clicks)] = False
        gone[0] = False
        for edge in (parts[:1], parts[-1:], parts[:, :1], parts[:, -1:]):
            gone[edge] = False
        out[box][gone[parts]] = not side
    return out


def _box(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Index of the smallest rectangle of what is True, and of so much round it."""
    tile = Cut.of(mask).place
    rows = slice(max(0, tile.top - margin), tile.bottom + margin)
    return rows, slice(max(0, tile.left - margin), tile.right + margin)


def _with_neighbours(mask: np.ndarray) -> np.ndarray:
    """What is True, and the pixels above, below and beside it."""
    out = mask.copy()
    out[1:] |= mask[:-1]
    out[:-1] |= mask[1:]
    out[:, 1:] |= mask[:, :-1]
    out[:, :-1] |= mask[:, 1:]
    return out


def _under(parts: np.ndarray, box: tuple[slice, slice], clicks: Clicks) -> np.ndarray:
    """The numbers of the parts of a box that clicks are in."""
    places = np.array(clicks.points).astype(int) - (box[0].start, box[1].start)
    held = ((places >= 0) & (places < parts.shape)).all(1)
    rows, columns = places[held].T
    return parts[rows, columns]
