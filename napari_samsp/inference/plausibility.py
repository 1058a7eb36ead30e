"""Whether a result looks odd, by its figures alone.

The model never says that it does not know a kind of image: it finds nothing, or
everything, or pieces of it. A new user takes that for the program's fault, or for the
truth.
"""

from __future__ import annotations

from enum import Enum

import numpy as np
from scipy import ndimage

EVERYTHING = 0.95
"""Part of the image; a larger foreground is hardly an object."""
UNSURE = 0.3
"""SAM's predicted IoU. Of the sets that samsp_small was tried on, results below it were
no use; good ones were above 0.45, with separate objects too."""
PLAUSIBLE = 0.45
"""SAM's predicted IoU. Above it a result is good however large its objects are."""
CONFETTI = 20
"""So many objects with a score below `UNSURE` are pieces rather than objects."""
MANY_PARTS = 5
"""So many separate parts of one region are more likely objects."""
PART = 0.05
"""Parts smaller than this share of the largest one are specks, as a region may have."""


class Oddity(Enum):
    """What is odd about a result."""

    NOTHING = "nothing"
    EVERYTHING = "everything"
    SCALE = "scale"
    CONFETTI = "confetti"
    UNSURE = "unsure"
    PARTS = "parts"


def find_oddity(
    area_fraction: float,
    score: float,
    object_count: float,
    parts: float = 0,
    objects: bool = False,
    size_is_certain: bool = True,
) -> Oddity | None:
    """Say what is odd about a result.

    Parameters
    ----------
    area_fraction : float
        Part of the image that is foreground, 0 to 1.
    score : float
        SAM's predicted IoU; with objects the mean over them.
    object_count : float
        How many labels there are; of several slices the mean.
    parts : float
        As `separate_parts` counts them; of several slices the mean.
    objects : bool
        Whether separate objects were asked for, and not one region.
    size_is_certain : bool
        Whether the size of the objects was told, or the model is sure of it.

    Returns
    -------
    Oddity or None
        The one that matters most; None if the result looks plausible.
    """
    if area_fraction == 0:
        return Oddity.NOTHING
    if area_fraction > EVERYTHING:
        return Oddity.EVERYTHING
    if objects and not size_is_certain and score < PLAUSIBLE:
        return Oddity.SCALE
    if score < UNSURE:
        many = objects and object_count >= CONFETTI
        return Oddity.CONFETTI if many else Oddity.UNSURE
    if not objects and parts >= MANY_PARTS:
        return Oddity.PARTS
    return None


def separate_parts(labels: np.ndarray) -> int:
    """Count the parts of a foreground that do not touch.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(Y, X)`` integers or bool, 0 is background. Diagonal neighbours are apart.

    Returns
    -------
    int
        Without specks, which are smaller than `PART` of the largest part.
    """
    parts, count = ndimage.label(labels)
    if not count:
        return 0
    areas = np.bincount(parts.ravel())[1:]
    return int(np.count_nonzero(areas >= PART * areas.max()))


def count_labels(labels: np.ndarray) -> int:
    """Count the labels of an image.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(Y, X)`` integers, 0 is background; numbers may be left out.

    Returns
    -------
    int
        Number of labels, without the background.
    """
    if labels.size == 0:
        return 0
    # Sorting, as numpy.unique does, takes ten times as long.
    seen = np.zeros(int(labels.max()) + 1, bool)
    seen[labels] = True
    return int(np.count_nonzero(seen[1:]))
