"""Clicks are computed one after the other in worker threads."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QObject, Signal

from napari_samsp.data.rgb import Scaling
from napari_samsp.ui.correct.clicks.desk import Desk
from napari_samsp.ui.correct.clicks.edits import Edit
from napari_samsp.ui.planes import first_scale
from napari_samsp.ui.result_layers import RESULT_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Labels

    from napari_samsp.data.tiling import Tile
    from napari_samsp.ui.correct.clicks.edits import Place, Plane
    from napari_samsp.ui.correct.labelled_plane import LabelledPlane
    from napari_samsp.ui.models.workplace import Workplace
    from napari_samsp.ui.segment.segment_steps import SegmentRequest


@dataclass(frozen=True)
class ClickJob:
    """One thing to be done to labels.

    Attributes
    ----------
    pair : LabelledPlane
        Where.
    request : SegmentRequest
        With which model, and how.
    make : callable
        Gives the edit, or a sentence if there is none to be made; None where nothing is
        to be said.
    long : str
        What is done, of a job that takes many slices: it shows in napari's activity,
        and dropping it stops it.
    """

    pair: LabelledPlane
    request: SegmentRequest
    make: Callable[[Plane], Edit | str | None]
    long: str = ""
    at: Place | None = None
    ahead: bool = False

    @property
    def objects(self) -> bool:
        """Whether each object has its own label."""
        made_by = self.pair.labels.metadata.get(RESULT_KEY, {})
        return bool(made_by.get("objects", self.request.objects))

    @property
    def scaling(self) -> Scaling:
        """That of the plane's segmentation, whose embeddings are then found again."""
        limits = self.pair.scaling.get("limits")
        return Scaling("limits", *limits) if limits else self.request.scaling

    @property
    def image_key(self) -> tuple[Any, ...]:
        """Equal keys mean that an opened image can be used again."""
        pair = self.pair
        data = id(first_scale(pair.image))
        about = (data, pair.plane, pair.channels, self.objects, str(self.scaling))
        return (*self.request.model_key, *about, self.request.object_size)


class ClickWork(QObject):
    """Runs click jobs one at a time, and keeps the image that was clicked last.

    Signals: ``began`` (what it waits for, or nothing), ``made`` (job and `Edit`),
    ``refused`` (job and a sentence), ``idle``.

    Parameters
    ----------
    parent : QObject
        Qt's; the work stops when it is destroyed.
    workplace : Workplace
        Whose model is used, and which gets it if it is loaded here.
    """

    began = Signal(str)
    made = Signal(object, object)
    refused = Signal(object, str)
    idle = Signal()

    def __init__(self, parent: QObject, workplace: Workplace) -> None:
        super().__init__(parent)
        self._desk = Desk(workplace)
        self._waiting: deque[ClickJob] = deque()
        self._job: ClickJob | None = None
        self.destroyed.connect(self._desk.stop.set)

    @property
    def running(self) -> bool:
        """Whether anything is left to do."""
        return self._job is not None

    def submit(self, job: ClickJob) -> None:
        """Do a job after those before it, but for those that only encode ahead."""
        waiting = self._waiting
        self._waiting = deque(other for other in waiting if not other.ahead)
        self._waiting.append(job)
        if self._job is None:
            self._next()
        elif self._job.ahead:
            alike = job.image_key == self._job.image_key
            self._desk.hurry(job.at if alike else None)

    def sees(self, tile: Tile) -> None:
        """Note what the job at hand, which encodes ahead, is encoding; in any thread.

        Parameters
        ----------
        tile : Tile
            Of the plane.
        """
        self._desk.sees(tile)

    def cancel_ahead(self) -> None:
        """Encode nothing ahead; what was clicked is done."""
        self._waiting = deque(job for job in self._waiting if not job.ahead)
        self._desk.cancel()

    def drop(self) -> bool:
        """Forget what has not begun, and the result of what has; stop a long job.

        Returns
        -------
        bool
            Whether there was anything that somebody asked for.
        """
        at_hand = () if self._job is None else (self._job,)
        found = any(not job.ahead for job in (*at_hand, *self._waiting))
        self._waiting.clear()
        self._desk.dropped = True
        self._desk.cancel()
        return found

    def repainted(self, labels: Labels) -> None:
        """Note that others than these jobs gave labels to pixels of a layer."""
        self._desk.highest.pop(labels, None)

    def _next(self) -> None:
        if not self._waiting:
            self._job = None
            self.idle.emit()
            return
        job = self._job = self._waiting.popleft()
        self._desk.begin()
        waits_for = job.long or self._desk.waits_for(job)
        progress = {"total": 0, "desc": f"SAM-SP: {waits_for}"} if waits_for else None
        worker = create_worker(
            self._desk.do, job, _ignore_errors=True, _progress=progress
        )
        worker.returned.connect(self._on_returned)
        worker.errored.connect(partial(self._on_error, job))
        worker.finished.connect(self._next)
        self.began.emit(waits_for)
        worker.start()

    def _on_returned(self, result: tuple[ClickJob, Edit | str | None]) -> None:
        job, found = result
        dropped = self._desk.dropped and isinstance(found, Edit)
        if job.long and (found is None or dropped):
            found = "Stopped."
        if found is None or (self._desk.dropped and not job.long):
            return
        if isinstance(found, str):
            self.refused.emit(job, found)
        else:
            self.made.emit(job, found)

    def _on_error(self, job: ClickJob, error: Exception) -> None:
        if job.long:
            self.refused.emit(job, "")
        notification_manager.receive_error(type(error), error, error.__traceback__)
