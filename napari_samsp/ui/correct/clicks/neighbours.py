"""What a followed object meets in the next slice: itself, others, and what stays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_samsp.inference.interactive.cut import Cut
from napari_samsp.inference.interactive.object_propagator import overlaps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.ui.correct.clicks.slices import Slices
    from napari_samsp.ui.correct.labelled_plane import LabelledPlane

SAME_IOU = 0.5
"""A predicted object that shares more with what is followed is the same thing: no two
can share so much with it."""


@dataclass(frozen=True)
class Known:
    """What is known of labels besides their pixels, as they were at the beginning.

    Attributes
    ----------
    written : mapping
        What propagations found, by label and plane of the labels.
    kept : set of PlaneIndex
        Planes of the image that are in the correction set.
    classes : mapping
        Names of the objects' classes by plane of the labels and label.
    """

    written: Mapping[tuple[int, PlaneIndex], Cut]
    kept: set[PlaneIndex] = field(default_factory=set)
    classes: Mapping[PlaneIndex | None, Mapping[int, str]] = field(default_factory=dict)

    def is_followed(self, pair: LabelledPlane, label: int, own: Cut) -> bool:
        """Whether an object is in a slice as it was followed into it."""
        known = self.written.get((label, pair.of_labels))
        if known is None or own.place != known.place:
            return False
        return np.array_equal(own.mask, known.mask)


class Neighbours:
    """The labels of the slices that an object is followed into; in a worker.

    A stack that was segmented slice by slice has the object in each, with a label that
    says nothing. Where it is as it was predicted it is taken over, and what has the
    object's label there gets that of its prediction.

    Parameters
    ----------
    slices : Slices
        All of them.
    label : int
        The object's.
    known : Known
        What is known of the labels.
    objects : bool
        Whether each object has its own label.

    Attributes
    ----------
    others, kept : list of str
        Slices that ended it: of another object with the label, and of the user's work
        on this object.
    named : list of tuple
        Slices that ended it because it is an object there that stays, and its label.
    """

    def __init__(self, slices: Slices, label: int, known: Known, objects: bool) -> None:
        self._slices, self._label, self._known = slices, label, known
        self._objects = objects
        self._numbers = np.zeros((0, 0), int)
        self._taken, self._clash, self._there = 0, False, False
        self.others: list[str] = []
        self.kept: list[str] = []
        self.named: list[tuple[str, int]] = []

    @property
    def last(self) -> tuple[np.ndarray, int]:
        """The labels of the last slice, and that of what is taken over in it, or 0."""
        return self._numbers, self._taken

    def free(self, index: int, before: Cut) -> np.ndarray | None:
        """`propagate_object`'s ``free``."""
        pair = self._slices[index]
        numbers = self._numbers = np.asarray(pair.numbers[:, :])
        mine = numbers == self._label
        same = Cut.of(mine)
        self._taken, self._there = 0, bool(same)
        # Slices that were not linked count their objects by themselves.
        self._clash = bool(same) and not overlaps(same, before)
        if self._clash:
            if not self._takes_over(pair):
                self.others.append(str(index))
                return None
            return numbers == 0
        kept = pair.plane in self._known.kept
        if same and (kept or not self._is_the_models(pair, mine, same)):
            self.kept.append(str(index))
            return None
        return (numbers == 0) | mine

    def take(self, index: int, found: Cut) -> np.ndarray | None:
        """`propagate_object`'s ``take``."""
        pair, numbers = self._slices[index], self._numbers
        own = 0
        if self._objects and (self._clash or not self._there):
            own = self._same(found)
        if own and self._takes_over(pair) and self._is_untouched(pair, own):
            if self._may_swap(pair, own):
                self._taken = own
                return numbers == own
        elif own and not self._clash:
            self.named.append((str(index), own))
            return None
        if self._clash:
            self.others.append(str(index))
            return None
        return np.zeros(numbers.shape, bool)

    def _takes_over(self, pair: LabelledPlane) -> bool:
        source = pair.source
        each = self._objects and source is not None and source.by_slice
        return each and pair.plane not in self._known.kept

    def _same(self, found: Cut) -> int:
        """The label of the object that is what was found, or 0."""
        if not found:
            return 0
        window, numbers = found.place.window, self._numbers
        inside = numbers[window][found.mask]
        present, shared = np.unique(inside[inside > 0], return_counts=True)
        if not len(present):
            return 0
        label, pixels = int(present[shared.argmax()]), int(shared.max())
        either = np.count_nonzero(numbers == label) + len(inside) - pixels
        return label if pixels > SAME_IOU * either else 0

    def _may_swap(self, pair: LabelledPlane, own: int) -> bool:
        """Whether the object that has the label, if any, can have the other one.

        The class of an object does not come back when labels do: both have one class.
        """
        if not self._clash:
            return True
        if not self._is_untouched(pair, self._label):
            return False
        classes = self._known.classes
        there = classes.get(pair.of_labels, {})
        here = classes.get(self._slices.pair.of_labels, {})
        named = {there.get(own), there.get(self._label), here.get(self._label)}
        return len(named) == 1

    def _is_untouched(self, pair: LabelledPlane, label: int) -> bool:
        """Whether an object is one of the prediction, whichever its label there."""
        assert pair.source is not None
        own = self._numbers == label
        prediction = pair.source.prediction_of(pair.plane)
        if prediction is None or self._known.is_followed(pair, label, Cut.of(own)):
            return False
        before = prediction[own]
        return bool(before[0] > 0) and np.array_equal(prediction == before[0], own)

    def _is_the_models(self, pair: LabelledPlane, mine: np.ndarray, own: Cut) -> bool:
        """Whether the object, as a mask and cut, is in a slice as a model left it."""
        if self._known.is_followed(pair, self._label, own):
            return True
        if pair.source is None:
            return False
        prediction = pair.source.prediction_of(pair.plane)
        return prediction is not None and np.array_equal(
            prediction == self._label, mine
        )
