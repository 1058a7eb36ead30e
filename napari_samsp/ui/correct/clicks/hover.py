"""What a click would need is encoded while the pointer rests there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject
from superqt.utils import QSignalDebouncer

from napari_samsp.inference.interactive.cut import Clicks
from napari_samsp.ui.correct.clicks.toolbox import FIX, SPLIT, WITH_MODEL
from napari_samsp.ui.correct.clicks.work import ClickJob
from napari_samsp.ui.widgets.ties import Ties
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_samsp.data.tiling import Tile
    from napari_samsp.ui.correct.clicks.edits import Place, Plane
    from napari_samsp.ui.correct.clicks.toolbox import Surroundings
    from napari_samsp.ui.correct.clicks.work import ClickWork

REST_MS = 150
"""A pointer that has not moved for so long is about to click."""
CHANGES = (FIX, SPLIT)
"""Tools whose object is there, and shown to the model as it is."""


class Hover(QObject):
    """Has the model see what is under the pointer, while one of its tools is on.

    Parameters
    ----------
    parent : QObject
        Owner of this object.
    viewer : napari.viewer.Viewer
        The viewer whose pointer is followed.
    around : Surroundings
        The rest of the widget.
    work : ClickWork
        Encodes what is under the pointer.
    pair : callable
        Gives the labels that are clicked with their image; raises InputError.
    """

    def __init__(
        self,
        parent: QObject,
        viewer: napari.viewer.Viewer,
        around: Surroundings,
        work: ClickWork,
        pair: Callable[[], Any],
    ) -> None:
        super().__init__(parent)
        self._viewer, self._around = viewer, around
        self._work, self._pair = work, pair
        self._tool = ""
        self._position: Any = None
        self._rest = QSignalDebouncer(parent=self)
        self._rest.setTimeout(REST_MS)
        self._rest.triggered.connect(self._on_rest)
        # The very same object, to be found again.
        self._listener = self._on_move
        self._ties = Ties(self)
        self._ties.connect(viewer.events.mouse_over_canvas, self._on_canvas)
        self._ties.add(self._move_off)

    def use(self, tool: str) -> str:
        """Begin with a tool, before the pointer rests; or end.

        Parameters
        ----------
        tool : str
            Its name; empty, or one that needs no model, to end.

        Returns
        -------
        str
            Why nothing can be clicked; empty if it can, or as it is not known.
        """
        self.stop()
        self._move_off()
        self._tool = tool if tool in WITH_MODEL else ""
        if not self._tool:
            return ""
        self._viewer.mouse_move_callbacks.append(self._listener)
        try:
            self._encode(self._viewer.cursor.position, or_middle=True)
        except InputError as error:
            return str(error)
        return ""

    def stop(self) -> None:
        """Encode nothing more; what the pointer does next begins anew."""
        self._rest.cancel()
        self._work.cancel_ahead()

    def _move_off(self) -> None:
        callbacks = self._viewer.mouse_move_callbacks
        if self._listener in callbacks:
            callbacks.remove(self._listener)

    def _on_move(self, _viewer: Any, event: Any) -> None:
        if event.is_dragging:
            self._rest.cancel()
            return
        self._position = tuple(event.position)
        self._rest.throttle()

    def _on_canvas(self, event: Any) -> None:
        if not event.value and self._tool:
            self.stop()

    def _on_rest(self) -> None:
        try:
            self._encode(self._position)
        except InputError:
            # A click there says so.
            self._work.cancel_ahead()

    def _encode(self, position: Any, or_middle: bool = False) -> None:
        if not self._tool or self._around.busy():
            return
        pair = self._pair()
        try:
            at = pair.pixel_at(position)
        except (InputError, IndexError):
            if not or_middle:
                raise
            height, width = pair.numbers.shape
            at = height // 2, width // 2
        make = partial(
            encode, at=at, changes=self._tool in CHANGES, tell=self._work.sees
        )
        request = self._around.request(pair)
        self._work.submit(ClickJob(pair, request, make, at=at, ahead=True))


def encode(
    plane: Plane, at: Place, changes: bool, tell: Callable[[Tile], None]
) -> None:
    """Encode what a click is seen in; in a worker.

    Parameters
    ----------
    plane : Plane
        Of the labels.
    at : tuple of int
        The pixel under the pointer.
    changes : bool
        Whether the click changes the object that is there.
    tell : callable
        Called with what is encoded.

    Raises
    ------
    InputError
        If the image cannot be segmented.
    """
    known = None
    if changes and plane.labels[at]:
        _, known = plane.object_at(at)
    clicks = Clicks(((float(at[0]), float(at[1])),), (True,), mask=known)
    image = plane.opened()
    tell(image.tile_of(clicks))
    image.prepare(clicks)
