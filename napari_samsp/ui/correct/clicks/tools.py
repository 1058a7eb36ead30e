"""Tools that change labels by clicks: from a mouse event to an edit of the layer."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_samsp.inference.interactive.cut import Clicks, box_between
from napari_samsp.ui.correct.clicks import edits as click_edits
from napari_samsp.ui.correct.clicks.hover import Hover
from napari_samsp.ui.correct.clicks.mouse import ClickMouse
from napari_samsp.ui.correct.clicks.mouse_grip import PAN, MouseGrip
from napari_samsp.ui.correct.clicks.outlines import Outlines
from napari_samsp.ui.correct.clicks.propagating import FOLLOWING, Propagation
from napari_samsp.ui.correct.clicks.slices import Slices
from napari_samsp.ui.correct.clicks.steps import Pending, write
from napari_samsp.ui.correct.clicks.toolbox import (
    ADD,
    DRAWS,
    ERASE,
    FIND,
    FINDING,
    FIX,
    HELP,
    SECOND,
    SPLIT,
)
from napari_samsp.ui.correct.clicks.work import ClickJob, ClickWork
from napari_samsp.ui.widgets.ties import Ties
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import napari

    from napari_samsp.ui.correct.clicks.edits import Edit, Place
    from napari_samsp.ui.correct.clicks.steps import Step
    from napari_samsp.ui.correct.clicks.toolbox import Surroundings
    from napari_samsp.ui.correct.labelled_plane import LabelledPlane


class ClickTools(QObject):
    """Listens to the mouse while a tool is on.

    Signals: ``said`` (a line for the user), ``switched`` (the tool's name, empty if
    none is on), ``chosen`` (other labels are chosen).

    Parameters
    ----------
    parent : QObject
        Qt's.
    viewer : napari.viewer.Viewer
        Where the user clicks.
    around : Surroundings
        The rest of the widget.
    """

    said = Signal(str)
    switched = Signal(str)
    chosen = Signal()

    def __init__(
        self, parent: QObject, viewer: napari.viewer.Viewer, around: Surroundings
    ) -> None:
        super().__init__(parent)
        self._viewer, self._around = viewer, around
        self.tool = ""
        self.work = ClickWork(self, around.workplace)
        self.work.began.connect(self._on_began)
        self.work.made.connect(self._on_made)
        self.work.refused.connect(self._on_refused)
        self.work.idle.connect(self._on_idle)
        self._first: tuple[Labels, Place] | None = None
        self._pending: Pending | None = None
        self._writing, self._waits = False, ""
        self.said.connect(self._on_said)
        self.hover = Hover(self, viewer, around, self.work, self._pair)
        self.propagation = Propagation(self, self.work, self._own_writing)
        self.propagation.said.connect(self.said)
        self.propagation.wrote.connect(self._on_wrote)
        keys = {"Enter": self.accept, "Escape": self.take_back}
        self._grip = MouseGrip(self._on_mode, self._on_paint, keys)
        self._outlines = Outlines()
        self._mouse = ClickMouse(viewer, self._draws, self._on_click, self.drag)
        ties = self._ties = Ties(self)
        ties.add(self._grip.release)
        ties.add(self._outlines.restore)
        ties.connect(viewer.layers.selection.events.active, self._on_active)
        ties.connect(viewer.layers.events.removed, self._on_removed)
        ties.add(partial(self._mouse.listen, False))

    def switch(self, tool: str) -> None:
        """Turn a tool on and the one before off; with an empty name none is on."""
        self._first = None
        self._mouse.listen(bool(tool))
        self._grip.release()
        self.tool = tool
        if tool:
            self.said.emit(HELP[tool])
            self._take_hold()
        else:
            self._outlines.restore()
        if refused := self.hover.use(tool):
            self.said.emit(refused)
        self.switched.emit(tool)

    def accept(self, *_: Any) -> None:
        """Leave the object as it is; Escape does not reach it any more."""
        if self._pending is not None or self._first is not None:
            self.said.emit("Accepted." if self._pending else HELP[self.tool])
        self._pending = self._first = None

    def take_back(self, *_: Any) -> None:
        """Take back the last click, and if called again those before it.

        Until Enter, or the first click on the object that was clicked last.
        """
        pending = self._pending
        if self.propagation.stop():
            return  # what was found stays; once more takes it back
        if self.work.drop() or self._first is not None:
            self._first = None
        elif pending is not None and pending.steps.pop().stands(pending.labels):
            pending.labels.undo()
            pending.told = None
            self._pending = pending if pending.steps else None
        else:
            self._pending = None
            return
        self.said.emit("Taken back.")

    def follow(self, *_: Any) -> None:
        """Look again which labels are chosen."""
        if self.tool:
            self._first = self._pending = None
            self._take_hold()
            self.hover.use(self.tool)
        self.chosen.emit()

    def propagate(self) -> None:
        """Follow the clicked object through the stack; if called again, stop that."""
        if self.propagation.stop():
            return
        try:
            slices = Slices.of(self._pair())
            if reason := self._around.busy():
                raise InputError(reason)
        except InputError as error:
            self.said.emit(str(error))
            return
        if not self.tool:
            self.switch(FIX)  # the keys are the tool's
        self.accept()
        pair = slices.pair
        kept = self._around.kept(pair.image)
        self.propagation.start(slices, self._around.request(pair), kept)

    def click(self, position: Any, belongs: bool = True) -> None:
        """Do what the tool does at a place.

        Parameters
        ----------
        position : sequence of float
            In the viewer's world.
        belongs : bool
            False for a click with the right button, or with Alt.
        """
        try:
            pair = self._pair()
            at = pair.pixel_at(position)
        except InputError as error:
            self.said.emit(str(error))
            return
        if self.tool == ADD:
            self.accept()
            said = Clicks((_floats(at),), (True,))
            self._submit(pair, partial(click_edits.add, clicks=said), at)
        elif self.tool == FIX:
            self._submit(pair, partial(self._fix, at, belongs), at)
        elif self.tool == FIND:
            self.accept()
            self._submit(pair, partial(click_edits.find, at=at), at, FINDING)
        elif self.tool == ERASE:
            self._submit(pair, partial(click_edits.erase, at=at))
        elif self._first is None or self._first[0] is not pair.labels:
            self._first = (pair.labels, at)
            self.said.emit(SECOND[self.tool])
        else:
            (_, first), self._first = self._first, None
            if self.tool == SPLIT:
                make = partial(click_edits.split, first=first, second=at)
                self._submit(pair, make, at)
            else:
                make = partial(click_edits.merge, first=first, second=at)
                self._submit(pair, make)

    def drag(self, one: Any, other: Any) -> None:
        """Add what is in a box, or split along a line.

        Parameters
        ----------
        one, other : sequence of float
            The drag's ends in the viewer's world.
        """
        try:
            pair = self._pair()
            start, end = pair.place_of(one), pair.place_of(other)
            if self.tool == SPLIT:
                self.accept()
                make = partial(click_edits.split_along, start=start, end=end)
                self._submit(pair, make)
                return
            said = Clicks(box=box_between(start, end, pair.numbers.shape))
        except InputError as error:
            self.said.emit(str(error))
            return
        self.accept()
        row, column = map(int, said.middle)
        self._submit(pair, partial(click_edits.add, clicks=said), (row, column))

    def _fix(self, at: Place, belongs: bool, plane: click_edits.Plane) -> Edit:
        told = self._pending.told if self._pending else None
        return click_edits.fix(plane, at, belongs, told)

    def _pair(self) -> LabelledPlane:
        pair = self._around.pair()
        if pair.labels.multiscale:
            raise InputError(
                f"{pair.labels.name} is a pyramid, which cannot be edited: keep what "
                "is under a rectangle of a Shapes layer, press Open, and click there."
            )
        if self._viewer.dims.ndisplay != 2:
            raise InputError("Clicks need the 2D view: press Ctrl-Y, then click.")
        return pair

    def _submit(
        self,
        pair: LabelledPlane,
        make: Callable[[click_edits.Plane], Edit],
        at: Place | None = None,
        long: str = "",
    ) -> None:
        """Do something, for which the model looks at a place if there is one."""
        if at is not None and (reason := self._around.busy()):
            self.said.emit(reason)
            return
        self.work.submit(ClickJob(pair, self._around.request(pair), make, long, at))

    def _on_began(self, waits_for: str) -> None:
        if waits_for:
            self._waits = f"{waits_for.capitalize()}…"
            self.said.emit(self._waits)

    def _on_said(self, text: str) -> None:
        if text != self._waits:
            self._waits = ""

    def _on_idle(self) -> None:
        if self._waits and self.tool:
            self.said.emit(HELP[self.tool])

    def _on_made(self, job: ClickJob, edit: Edit) -> None:
        labels = job.pair.labels
        if labels not in self._viewer.layers:
            self.said.emit("That layer was removed: choose another above.")
            return
        with self._own_writing():
            step = write(labels, [(job.pair, edit)])
        if step is None:
            self.said.emit("The labels changed meanwhile: click again.")
            return
        earlier = self._pending
        goes_on = edit.told is not None and len(edit.told.points) > 1
        steps = earlier.steps if goes_on and earlier is not None else []
        self._pending = Pending(labels, [*steps, step], edit.told)
        if edit.label:
            labels.selected_label = edit.label
        self.said.emit(edit.said)

    def _on_wrote(self, labels: Labels, step: Step) -> None:
        self._pending = Pending(labels, [step], None)

    def _on_refused(self, job: ClickJob, reason: str) -> None:
        if not (job.long == FOLLOWING or job.ahead):  # a click there says so
            self.said.emit(reason)

    @contextmanager
    def _own_writing(self) -> Iterator[None]:
        """What is painted meanwhile is our own."""
        self._writing = True
        try:
            yield
        finally:
            self._writing = False

    def _draws(self) -> str:
        held = self._grip.labels
        panning = held is not None and held.mouse_pan  # Space is held
        return "" if panning else DRAWS.get(self.tool, "")

    def _on_click(self, position: Any, belongs: bool) -> None:
        if belongs or self.tool == FIX:
            self.click(position, belongs)

    def _take_hold(self) -> None:
        """Give the mouse on the chosen labels to the tool."""
        self._grip.release()
        try:
            pair = self._around.pair()
        except InputError as error:
            self._outlines.restore()
            self.said.emit(str(error))
            return
        labels = pair.labels
        self._outlines.show(labels, pair.image)
        self._grip.take(labels, drags=self.tool in DRAWS)
        self._viewer.layers.selection.active = labels

    def _on_active(self, event: Any) -> None:
        # Whoever selects an image or a Shapes layer is done with clicking.
        if self.tool and not isinstance(event.value, Labels | None):
            self.switch("")

    def _on_removed(self, event: Any) -> None:
        self.propagation.forget(event.value)

    def _on_mode(self, _event: Any = None) -> None:
        # One of napari's own tools was chosen.
        if self._grip.labels is not None and self._grip.labels.mode != PAN:
            self.switch("")

    def _on_paint(self, _event: Any = None) -> None:
        if not self._writing and self._grip.labels is not None:
            self._pending = None
            self.work.repainted(self._grip.labels)


def _floats(place: Place) -> tuple[float, float]:
    return float(place[0]), float(place[1])
