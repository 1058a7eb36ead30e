"""Which flips and turns of a training set's images are plausible.

A nucleus looks the same upside down. A radargram, a section of skin or a scan with the
sky above do not: mirrored, what is to be learnt by its place becomes a contradiction.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LEAST_IMAGES = 3
"""With fewer images, foreground lies on one side by chance."""
AGREEING = 0.9
"""Share of the images that must have their foreground on the same side."""
OFF_CENTRE = 0.1
"""Distance from the middle, in sides of the image, that half of them must exceed."""
ELONGATED = 2.0
"""Images with a larger ratio of their sides are never turned by 90 degrees."""


class Symmetry(NamedTuple):
    """Flips and turns that do not change what an image means.

    Attributes
    ----------
    left_right : bool
        Whether it may be mirrored left to right.
    up_down : bool
        Whether it may be mirrored top to bottom.
    turn : bool
        Whether its rows and columns may be swapped.
    """

    left_right: bool = True
    up_down: bool = True
    turn: bool = True


def symmetry_of(masks: list[np.ndarray]) -> Symmetry:
    """Tell from where the foreground lies how images may be mirrored and turned.

    Parameters
    ----------
    masks : list of numpy.ndarray
        ``(Y, X)`` labels of the training images, 0 = background.

    Returns
    -------
    Symmetry
        An axis on one side of which the foreground of nearly all images lies is not
        mirrored; images are turned if they may be mirrored both ways and are not
        long and narrow. Of few images, or without foreground, everything is allowed.
    """
    places = np.array([_place(mask) for mask in masks if mask.any()])
    sided = [False, False]
    if len(places) >= LEAST_IMAGES:
        agreeing = np.maximum((places > 0).mean(0), (places < 0).mean(0))
        far = np.median(np.abs(places), axis=0)
        sided = ((agreeing >= AGREEING) & (far > OFF_CENTRE)).tolist()
    up_down, left_right = (not side for side in sided)
    elongation = np.median([max(mask.shape) / min(mask.shape) for mask in masks])
    turn = up_down and left_right and bool(elongation < ELONGATED)
    return Symmetry(left_right, up_down, turn)


def _place(labels: np.ndarray) -> tuple[float, float]:
    """Where foreground lies on average, from the middle, in sides of the image."""
    rows, cols = np.nonzero(labels)
    height, width = labels.shape
    return (rows.mean() + 0.5) / height - 0.5, (cols.mean() + 0.5) / width - 0.5
