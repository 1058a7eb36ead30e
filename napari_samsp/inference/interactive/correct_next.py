"""Which images, or slices of a stack, are worth a correction most.

Where the model is unsure a correction teaches most, but the images of which it is least
sure are often alike, and the second of a kind teaches little. So each next one is the
most unsure by how different it looks from what was chosen before: a greedy k-centre.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

SPREAD = 64
"""So many are spread; nobody corrects more before the next fine-tuning."""
_STORED = np.dtype("<f2")


def confidence(scores: Sequence[Sequence[float]]) -> float | None:
    """How sure the model is of an image, on the mean of its planes.

    Parameters
    ----------
    scores : sequence of sequence of float
        SAM's predicted IoU of each plane, iteration by iteration.

    Returns
    -------
    float or None
        None if no plane was segmented.
    """
    found = [_last_score(plane) for plane in scores if len(plane)]
    return sum(found) / len(found) if found else None


def correction_order(
    confidences: Sequence[float],
    looks: Sequence[np.ndarray | None],
    known: Sequence[np.ndarray] = (),
) -> list[int]:
    """Sort by what a correction is expected to teach.

    Parameters
    ----------
    confidences : sequence of float
        SAM's predicted IoU of each, 0 to 1.
    looks : sequence of numpy.ndarray or None
        ``(C,)`` mean embedding of each; None if it is not known.
    known : sequence of numpy.ndarray
        ``(C,)`` mean embeddings of what was corrected before.

    Returns
    -------
    list of int
        Each index once. First come `SPREAD` that are spread, then the others, the least
        confident first; so do all if a look is missing or of another model.
    """
    gains = 1 - np.asarray(confidences, float)
    order = sorted(range(len(gains)), key=lambda n: -gains[n])  # stable
    sizes = {None if look is None else look.shape for look in looks}
    if len(sizes) != 1 or None in sizes:
        return order
    points = np.stack([look for look in looks if look is not None]).astype(np.float32)
    far = np.full(len(points), np.inf, np.float32)
    for look in known:
        if look.shape == points[0].shape:
            far = np.minimum(far, _distances(points, look))
    chosen: list[int] = []
    while len(chosen) < min(SPREAD, len(order)):
        worth = gains * far if np.isfinite(far).all() else gains.copy()
        worth[chosen] = -1
        best = order[int(worth[order].argmax())]  # the first of equals
        chosen.append(best)
        far = np.minimum(far, _distances(points, points[best]))
    return chosen + [n for n in order if n not in set(chosen)]


def _last_score(scores: Sequence[float]) -> float:
    """The score of the last iteration that found something, 0 if none did.

    An iteration that found no object has the score 0, which says nothing about how
    sure the model is of that.
    """
    return next((score for score in reversed(scores) if score > 0), 0.0)


def _distances(points: np.ndarray, one: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(points - one.astype(np.float32), axis=1))


def look_as_text(looks: Sequence[np.ndarray]) -> str | None:
    """The mean of looks for a line of text, such as a manifest's.

    Parameters
    ----------
    looks : sequence of numpy.ndarray
        ``(C,)`` of each plane of an image.

    Returns
    -------
    str or None
        2.7 characters a channel; None if there is none.
    """
    if not len(looks):
        return None
    mean = np.mean(np.stack(looks), 0).astype(_STORED)
    return base64.b64encode(mean.tobytes()).decode()


def look_from_text(text: object) -> np.ndarray | None:
    """What `look_as_text` wrote; None if it is anything else.

    Parameters
    ----------
    text : object
        As it stands in a file that somebody may have changed.
    """
    if not isinstance(text, str):
        return None
    try:
        found = np.frombuffer(base64.b64decode(text, validate=True), _STORED)
    except ValueError:
        return None
    return found if len(found) and np.isfinite(found).all() else None
