"""How well a segmentation agrees with the truth.

All functions take integer label images of equal shape, 0 = background. Two empty images
agree fully: every figure is 1. If only one of them is empty, every figure is 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.csgraph import maximum_bipartite_matching

from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

BOUNDARY_TOLERANCE = 2.0
"""Pixels by which a boundary may be off."""
THRESHOLDS = (0.5, 0.75)
"""IoU thresholds of the average precision."""


class Summary(NamedTuple):
    """Figures of several images in short: mean, sample standard deviation, count."""

    mean: float
    std: float
    n: int


def summary(values: Iterable[float]) -> Summary:
    """Sum up figures by their mean and spread.

    Parameters
    ----------
    values : iterable of float
        One or more.

    Returns
    -------
    Summary
        The standard deviation is the sample's (``n - 1``), 0 for one value.

    Raises
    ------
    InputError
        If there is none.
    """
    array = np.fromiter(values, float)
    if array.size == 0:
        raise InputError("There are no figures to take the mean of.")
    spread = float(array.std(ddof=1)) if array.size > 1 else 0.0
    return Summary(float(array.mean()), spread, array.size)


def scores(
    prediction: np.ndarray,
    truth: np.ndarray,
    objects: bool = False,
    tolerance: float = BOUNDARY_TOLERANCE,
) -> dict[str, float]:
    """All figures of one image.

    Parameters
    ----------
    prediction, truth : numpy.ndarray
        ``(Y, X)`` integer labels.
    objects : bool
        Whether to add the figures of instances.
    tolerance : float
        Pixels by which a boundary may be off.

    Returns
    -------
    dict
        ``dice``, ``iou``, ``boundary_f1``; with ``objects`` also ``ap50``, ``ap75``
        and ``aji``.
    """
    figures = {
        "dice": dice(prediction, truth),
        "iou": iou(prediction, truth),
        "boundary_f1": boundary_f1(prediction, truth, tolerance),
    }
    if objects:
        figures["ap50"], figures["ap75"] = average_precision(prediction, truth)
        figures["aji"] = aggregated_jaccard(prediction, truth)
    return figures


def class_scores(
    prediction: tuple[np.ndarray, np.ndarray],
    truth: tuple[np.ndarray, np.ndarray],
    classes: Iterable[int],
    figures: Callable[[np.ndarray, np.ndarray], dict[str, float]],
) -> dict[int, dict[str, float]]:
    """Figures of each class of one image.

    Parameters
    ----------
    prediction, truth : tuple of numpy.ndarray
        ``(Y, X)`` integer labels, and ``(Y, X)`` the class of each pixel; of semantic
        masks the two are the same.
    classes : iterable of int
        Labels of the classes to judge.
    figures : callable
        Gives those of two label images.

    Returns
    -------
    dict
        By class. One that neither of the two has is left out: it says nothing of this
        image.
    """
    found = {}
    for number in classes:
        ours, true = (
            np.where(kinds == number, labels, 0)
            for labels, kinds in (prediction, truth)
        )
        if ours.any() or true.any():
            found[number] = figures(ours, true)
    return found


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Dice coefficient of the foregrounds, ``2 |A ∩ B| / (|A| + |B|)``.

    Parameters
    ----------
    prediction, truth : numpy.ndarray
        ``(Y, X)`` integer labels.

    Returns
    -------
    float
        Score from 0 to 1.
    """
    a, b = _foregrounds(prediction, truth)
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return 2 * np.count_nonzero(a & b) / total if total else 1.0


def iou(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of the foregrounds.

    Parameters
    ----------
    prediction, truth : numpy.ndarray
        ``(Y, X)`` integer labels.

    Returns
    -------
    float
        Score from 0 to 1.
    """
    a, b = _foregrounds(prediction, truth)
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def boundary_f1(
    prediction: np.ndarray, truth: np.ndarray, tolerance: float = BOUNDARY_TOLERANCE
) -> float:
    """F1 of the foregrounds' boundaries.

    A boundary is the foreground's pixels with a background pixel, or the image's edge,
    above, below, left or right. Precision is the part of the predicted boundary that
    lies within ``tolerance`` of the true one (Euclidean), recall the reverse.

    Parameters
    ----------
    prediction, truth : numpy.ndarray
        ``(Y, X)`` integer labels; borders between touching objects do not count.
    tolerance : float
        How far off a boundary may be, in pixels.

    Returns
    -------
    float
        Score from 0 to 1.

    Raises
    ------
    InputError
        If the tolerance is negative.
    """
    if not tolerance >= 0:
        raise InputError("The boundary's tolerance must be 0 or more.")
    a, b = (m & ~ndimage.binary_erosion(m) for m in _foregrounds(prediction, truth))
    if not a.any() or not b.any():
        return float(a.any() == b.any())
    precision = np.mean(ndimage.distance_transform_edt(~b)[a] <= tolerance)
    recall = np.mean(ndimage.distance_transform_edt(~a)[b] <= tolerance)
    both = precision + recall
    return float(2 * precision * recall / both) if both else 0.0


def average_precision(
    prediction: np.ndarray,
    truth: np.ndarray,
    thresholds: Sequence[float] = THRESHOLDS,
) -> list[float]:
    """Part of the objects that were found, ``TP / (TP + FP + FN)``.

    As in the 2018 Data Science Bowl, StarDist and Cellpose: an object is found if its
    IoU with a predicted one is above the threshold, one to one. Below 0.5, where
    several may qualify, the matching with the most pairs counts.

    Parameters
    ----------
    prediction, truth : numpy.ndarray
        ``(Y, X)`` integer labels.
    thresholds : sequence of float
        IoU from which on an object counts as found.

    Returns
    -------
    list of float
        One number a threshold, 0 to 1.
    """
    overlaps = _overlaps(prediction, truth)
    found_or_not = len(overlaps.predicted) + len(overlaps.true)
    if found_or_not == 0:
        return [1.0] * len(thresholds)
    shape = len(overlaps.predicted), len(overlaps.true)
    precisions = []
    for threshold in thresholds:
        good = overlaps.iou > threshold
        pairs = sparse.csr_matrix(
            (np.ones(good.sum(), bool), (overlaps.row[good], overlaps.column[good])),
            shape=shape,
        )
        found = np.count_nonzero(maximum_bipartite_matching(pairs) >= 0)
        precisions.append(float(found / (found_or_not - found)))
    return precisions


def aggregated_jaccard(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Aggregated Jaccard index (Kumar et al., IEEE TMI 2017).

    Each true object is paired with the predicted one of largest IoU, which may serve
    several. The sum of the intersections is divided by the sum of the unions plus the
    area of the predicted objects that serve none. Of equal ones the first in raster
    order is taken.

    Parameters
    ----------
    prediction, truth : numpy.ndarray
        ``(Y, X)`` integer labels.

    Returns
    -------
    float
        Score from 0 to 1.
    """
    overlaps = _overlaps(prediction, truth)
    if not len(overlaps.predicted) and not len(overlaps.true):
        return 1.0
    # By true object, then IoU downwards, then raster order: the first of each wins.
    order = np.lexsort((overlaps.row, -overlaps.iou, overlaps.column))
    column, first = np.unique(overlaps.column[order], return_index=True)
    best = order[first]
    alone = np.ones(len(overlaps.true), bool)
    alone[column] = False
    unused = np.ones(len(overlaps.predicted), bool)
    unused[overlaps.row[best]] = False
    union = overlaps.union[best].sum() + overlaps.true[alone].sum()
    union += overlaps.predicted[unused].sum()
    return float(overlaps.intersection[best].sum() / union)


class _Overlaps(NamedTuple):
    """Pairs that share pixels, as numbers in raster order, and all objects' areas."""

    row: np.ndarray
    column: np.ndarray
    intersection: np.ndarray
    union: np.ndarray
    predicted: np.ndarray
    true: np.ndarray

    @property
    def iou(self) -> np.ndarray:
        return self.intersection / self.union


def _overlaps(prediction: np.ndarray, truth: np.ndarray) -> _Overlaps:
    _check(prediction, truth)
    rows, predicted = _numbered(prediction)
    columns, true = _numbered(truth)
    both = (rows >= 0) & (columns >= 0)
    pairs, intersection = np.unique(
        rows[both] * max(len(true), 1) + columns[both], return_counts=True
    )
    row, column = np.divmod(pairs, max(len(true), 1))
    union = predicted[row] + true[column] - intersection
    return _Overlaps(row, column, intersection, union, predicted, true)


def _numbered(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each pixel's object, from 0 by first pixel, -1 for none; and areas.

    Labels may be sparse and large, so nothing here is as long as the largest.
    """
    flat = labels.ravel()
    inside = np.flatnonzero(flat)
    _, first, inverse, areas = np.unique(
        flat[inside], return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(first)
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    numbers = np.full(flat.shape, -1, np.int64)
    numbers[inside] = number[inverse]
    return numbers, areas[order]


def _foregrounds(
    prediction: np.ndarray, truth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    _check(prediction, truth)
    return prediction > 0, truth > 0


def _check(prediction: np.ndarray, truth: np.ndarray) -> None:
    if prediction.shape != truth.shape:
        ours, theirs = (" x ".join(map(str, a.shape)) for a in (prediction, truth))
        raise InputError(
            f"The prediction is {ours} but the mask is {theirs}; sizes must be equal."
        )
