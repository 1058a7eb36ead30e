"""Follows the clicked object through the slices of a stack, in the background."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from qtpy.QtCore import QObject, Signal

from napari_samsp.inference.interactive.cut import Cut
from napari_samsp.ui.correct.clicks.edits import Edit, difference
from napari_samsp.ui.correct.clicks.neighbours import Known, Neighbours
from napari_samsp.ui.correct.clicks.steps import Step, write
from napari_samsp.ui.correct.clicks.work import ClickJob
from napari_samsp.ui.widgets.object_classes import pages_of
from napari_samsp.utils.cancellation import StoppedError
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from napari.layers import Labels

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.ui.correct.clicks.edits import Plane
    from napari_samsp.ui.correct.clicks.slices import Slices
    from napari_samsp.ui.correct.clicks.work import ClickWork
    from napari_samsp.ui.correct.labelled_plane import LabelledPlane
    from napari_samsp.ui.segment.segment_steps import SegmentRequest

LEAST_ITERATIONS = 2
"""With one, objects that drift are lost: the IoU of four, in stacks made from dsb2018,
was 0.48 over nine slices, and 0.77 with two."""

FOLLOWING = "following an object"
"""What such a job says that it does."""


class Found(NamedTuple):
    """The object in a slice, and what makes the labels so.

    Attributes
    ----------
    number : int
        Of the slice, from 0.
    pair : LabelledPlane
        The slice.
    cut : Cut
        The object.
    edit : Edit
        Of the slice.
    """

    number: int
    pair: LabelledPlane
    cut: Cut
    edit: Edit


Written = WeakKeyDictionary["Labels", dict[tuple[int, "PlaneIndex"], Cut]]
"""Of each layer, by label and plane, what was found there."""


class Trail:
    """What following one object wrote: one step of the layer's undo, which grows.

    Parameters
    ----------
    slices : Slices
        Where.
    label : int
        The object's.
    written : Written
        Gets what is found.
    """

    def __init__(self, slices: Slices, label: int, written: Written) -> None:
        self.labels, self.label = slices.pair.labels, label
        self.step: Step | None = None
        self.numbers: list[int] = [slices.shown]
        self.slices = slices
        self._written = written.setdefault(self.labels, {})
        self._parts: list[tuple[LabelledPlane, Edit]] = []

    def add(self, found: Found) -> bool:
        """Write a slice; in the GUI's thread.

        Returns
        -------
        bool
            False if somebody has undone, or painted over, what was written before.
        """
        if self.step is not None:
            if not self.step.stands(self.labels):
                return False
            self.labels.undo()
        self._parts.append((found.pair, found.edit))
        self.step = write(self.labels, self._parts)
        self._written[self.label, found.pair.of_labels] = found.cut
        self.numbers.append(found.number)
        return True

    def interrupt(self) -> None:
        """Begin a new step: undoing the one before would undo what others painted."""
        self.step = None
        self._parts.clear()

    @property
    def said(self) -> str:
        """From which slice to which."""
        first, last = min(self.numbers), max(self.numbers)
        return f"slices {first} to {last}" if first < last else f"slice {first} alone"


class Propagation(QObject):
    """Follows one object at a time.

    Signals: ``said`` (a line for the user), ``going`` (whether an object is being
    followed), ``wrote`` (a `Step`, at the end), ``followed`` (layer, label, and the
    planes that the object is in, the first one first).

    Parameters
    ----------
    parent : QObject
        Qt's.
    work : ClickWork
        Does it, after the clicks before.
    painting : callable
        Gives a context in which what is painted is our own.
    """

    said = Signal(str)
    going = Signal(bool)
    wrote = Signal(object, object)
    followed = Signal(object, int, object)
    _found = Signal(object)

    def __init__(
        self,
        parent: QObject,
        work: ClickWork,
        painting: Callable[[], AbstractContextManager[None]],
    ) -> None:
        super().__init__(parent)
        self._work, self._painting = work, painting
        self._trail: Trail | None = None
        self._written: Written = WeakKeyDictionary()
        self._writing = False
        self._found.connect(self._on_found)
        work.refused.connect(self._on_refused)

    @property
    def running(self) -> bool:
        """Whether an object is being followed."""
        return self._trail is not None

    def start(
        self, slices: Slices, request: SegmentRequest, kept: set[PlaneIndex]
    ) -> None:
        """Follow the object whose label is selected in the layer.

        Parameters
        ----------
        slices : Slices
            Where.
        request : SegmentRequest
            With which model, and how.
        kept : set of PlaneIndex
            Slices of the image whose labels the user kept: nothing there is taken over.
        """
        labels = slices.pair.labels
        label = int(labels.selected_label)
        self._trail = Trail(slices, label, self._written)
        labels.events.paint.connect(self._on_paint)
        make = partial(
            propagate,
            slices=slices,
            label=label,
            known=Known(dict(self._written[labels]), kept, dict(pages_of(labels))),
            tell=self._found.emit,
        )
        self._work.submit(ClickJob(slices.pair, request, make, FOLLOWING))
        self.said.emit("Following the object. Escape stops it.")
        self.going.emit(True)

    def stop(self) -> bool:
        """Stop; what was found stays.

        Returns
        -------
        bool
            Whether there was anything to stop.
        """
        if self._trail is None:
            return False
        self._work.drop()
        return True

    def forget(self, labels: Labels) -> None:
        """Stop if it is about a layer that is gone."""
        if self._trail is not None and self._trail.labels is labels:
            self._work.drop()
            self._end("The layer was removed, and so it ends here.")

    def _on_paint(self, _event: Any = None) -> None:
        if self._trail is not None and not self._writing:
            self._trail.interrupt()

    def _on_found(self, found: Found) -> None:
        trail = self._trail
        if trail is None:
            return
        self._writing = True
        try:
            with self._painting():
                stands = trail.add(found)
        finally:
            self._writing = False
        if stands:
            self.said.emit(f"Object {trail.label}: {trail.said}… Escape stops it.")
        else:
            self._work.drop()
            self._end("The labels changed meanwhile, and so it ends here.")

    def _on_refused(self, job: ClickJob, reason: str) -> None:
        if job.long == FOLLOWING:
            self._end(reason)

    def _end(self, reason: str) -> None:
        trail, self._trail = self._trail, None
        if trail is None:
            return
        trail.labels.events.paint.disconnect(self._on_paint)
        if len(trail.numbers) > 1:
            reason = f"Object {trail.label} is in {trail.said}. {reason}".strip()
        elif not reason:
            reason = "It was not found in the slices beside this one."
        if trail.step is not None:
            self.wrote.emit(trail.labels, trail.step)
            planes = [trail.slices[n].of_labels for n in trail.numbers]
            self.followed.emit(trail.labels, trail.label, planes)
            reason += " Escape takes it back."
        self.said.emit(reason)
        self.going.emit(False)


def propagate(
    plane: Plane,
    slices: Slices,
    label: int,
    known: Known,
    tell: Callable[[Found], None],
) -> str:
    """Follow an object; in a worker.

    Parameters
    ----------
    plane : Plane
        The labels of the slice that is shown.
    slices : Slices
        All of them.
    label : int
        Of the object; all that has it, in this slice.
    known : Known
        What is known of the labels besides.
    tell : callable
        Called with each slice.

    Returns
    -------
    str
        Why it ends, where that is not that the object does.

    Raises
    ------
    InputError
        If nothing in the slice has the label, or the image cannot be segmented.
    """
    from napari_samsp.inference.interactive.object_propagator import propagate_object

    cut = Cut.of(plane.labels == label)
    if not label or not cut:
        raise InputError(
            "Which object? Click it with Fix, or pick its label in this slice, and "
            "propagate it then."
        )
    near = Neighbours(slices, label, known, plane.objects)
    found = propagate_object(
        lambda index: plane.open_beside(slices[index]),
        slices.shown,
        len(slices),
        cut,
        max(plane.iterations, LEAST_ITERATIONS),
        near.free,
        near.take,
    )
    try:
        for one in found:
            labels, taken = near.last
            edit = difference(labels, label, one.cut, taken)
            tell(Found(one.number, slices[one.number], one.cut, edit))
    except StoppedError:
        return "Stopped."
    reasons = []
    if near.others:
        reasons.append(
            f"In {_slices(near.others)} the label {label} is another object, which "
            "stays: segment the slices with Link, or give this object an unused label "
            "first."
        )
    for index, other in near.named:
        reasons.append(f"In slice {index} it is object {other}, which stays.")
    if near.kept:
        reasons.append(f"What you made of it in {_slices(near.kept)} stays.")
    return " ".join(reasons)


def _slices(numbers: list[str]) -> str:
    return f"slice{'s' if len(numbers) > 1 else ''} {' and '.join(numbers)}"
