"""What can be done with a result without a new run: threshold, holes, least size.

The widget, `predict` and `Segmenter` all clean up through `clean`. Needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_samsp.metrics import iou
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.numbers import is_integer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_samsp.data.lazy_rgb import LazyRGB
    from napari_samsp.data.training_sets.classes import LabelClass
    from napari_samsp.inference.results import Iteration

LOWEST, HIGHEST = 0.01, 0.99
"""Thresholds allowed; beyond them the map tells one noise from another."""
MOST_PIXELS = 2**31 - 1
"""Largest least size in pixels: Qt's spin boxes have 32 bits."""


@dataclass(frozen=True)
class Cleanup:
    """How labels are cleaned up; the default leaves them as they are.

    First the threshold, then the holes, then the least size.

    Attributes
    ----------
    threshold : float
        Probability, 0.01 to 0.99, above which a pixel is foreground. *One region*: all
        pixels above it. *Objects and classes*: a pixel is of the object whose map is
        largest there, if that is above the threshold; below 0.5, objects grow into the
        pixels above the threshold that they reach, downhill in the map and not across
        each other. No threshold makes a new object or parts one.
    min_size : int
        In pixels. Smaller objects are removed; of one region, or of classes, smaller
        connected parts (diagonal neighbours are apart).
    fill_holes : bool
        Whether background that an object encloses becomes part of it; other objects
        within stay.

    Raises
    ------
    InputError
        If a number makes no sense.
    """

    threshold: float = 0.5
    min_size: int = 0
    fill_holes: bool = False

    def __post_init__(self) -> None:
        is_number = isinstance(self.threshold, Real)
        if not is_number or not LOWEST <= self.threshold <= HIGHEST:
            raise InputError(
                f"The threshold is a probability from {LOWEST} to {HIGHEST}, not "
                f"{self.threshold!r}."
            )
        if not is_integer(self.min_size) or not 0 <= self.min_size <= MOST_PIXELS:
            raise InputError(
                f"The least size is a number of pixels from 0, not {self.min_size!r}."
            )

    @property
    def logit(self) -> float:
        """The threshold as a logit, such as 0 for a probability of 0.5."""
        return log(self.threshold / (1 - self.threshold))

    @property
    def is_off(self) -> bool:
        """Whether labels stay as they are."""
        return self == Cleanup()


@dataclass(frozen=True)
class Meaning:
    """What the labels of a result mean.

    Attributes
    ----------
    objects : bool
        Each label is an object, in whatever pieces.
    region : int or None
        The label of the one region; None where several labels are told apart.
    """

    objects: bool
    region: int | None

    @classmethod
    def of(cls, objects: bool, classes: Sequence[LabelClass]) -> Meaning:
        """The meaning of the labels that a segmenter with these classes gives."""
        if objects or len(classes) > 1:
            return cls(objects, None)
        return cls(False, classes[0].label if classes else 1)


def clean(
    iteration: Iteration,
    cleanup: Cleanup,
    meaning: Meaning,
    previous: np.ndarray | None = None,
) -> Iteration:
    """Clean up the labels of an iteration.

    Parameters
    ----------
    iteration : Iteration
        As it was found; where its logits are minus infinity, nothing becomes
        foreground.
    cleanup : Cleanup
        Threshold, least size and hole filling.
    meaning : Meaning
        What the iteration's labels mean.
    previous : numpy.ndarray, optional
        ``(Y, X)`` cleaned labels of the iteration before, to compare with.

    Returns
    -------
    Iteration
        Objects keep their numbers, so that some may be left out; the class of those is
        0. The same iteration if there is nothing to do.
    """
    if cleanup.is_off:
        return iteration
    labels, logits = iteration.labels, iteration.logits
    if cleanup.logit != 0:
        # As coarse as the widget keeps it, for the same labels there and here.
        labels = _above(labels, logits.astype(np.float16), cleanup.logit, meaning)
    if cleanup.fill_holes:
        labels = _filled(labels, np.isneginf(logits))
    if cleanup.min_size > 1:
        labels = _large(labels, cleanup.min_size, meaning)
    agreement = iteration.iou_to_previous
    if agreement is not None and previous is not None:
        agreement = iou(labels, previous)
    classes = iteration.object_classes
    if classes is not None:
        left = np.bincount(labels.ravel(), minlength=len(classes)) > 0
        classes = np.where(left, classes, 0)
    return replace(
        iteration,
        labels=labels,
        iou_to_previous=agreement,
        object_classes=classes,
    )


def without_missing(iteration: Iteration, image: LazyRGB) -> Iteration:
    """Make the logits minus infinity where an image has no data.

    Parameters
    ----------
    iteration : Iteration
        Of the image, which was read.
    image : LazyRGB
        ``(Y, X, 3)``.
    """
    missing = image.missing((slice(None), slice(None)))
    if missing is None:
        return iteration
    return replace(iteration, logits=np.where(missing, -np.inf, iteration.logits))


def _above(
    labels: np.ndarray, logits: np.ndarray, threshold: float, meaning: Meaning
) -> np.ndarray:
    above = logits > threshold
    if meaning.region is not None:
        return np.where(above, meaning.region, 0).astype(labels.dtype)
    if threshold > 0:
        return np.where(above, labels, 0)
    from skimage.segmentation import watershed

    # Only what is to be labelled, and its neighbours: objects are large, bands thin.
    band = ndimage.binary_dilation(above & (labels == 0)) & above
    seeds = np.where(band, labels, 0)
    grown = watershed(-logits.astype(np.float32), seeds, mask=band)
    return np.where(labels > 0, labels, grown.astype(labels.dtype))


def _filled(labels: np.ndarray, nothing: np.ndarray) -> np.ndarray:
    labels = labels.copy()
    boxes = [
        (labels[box].size, number, box)
        for number, box in enumerate(ndimage.find_objects(labels), start=1)
        if box is not None
    ]
    # Of two that lie in each other the inner one fills its own hole first.
    for _, number, box in sorted(boxes, key=lambda one: one[:2]):
        part = labels[box]
        whole = ndimage.binary_fill_holes(part == number)
        part[whole & (part == 0) & ~nothing[box]] = number
    return labels


def _large(labels: np.ndarray, least: int, meaning: Meaning) -> np.ndarray:
    parts = labels
    if not meaning.objects:
        from skimage.measure import label

        parts = label(labels, background=0, connectivity=1)
    large = np.bincount(parts.ravel()) >= least
    return np.where(large[parts], labels, 0)
