"""Clicks are computed one after the other in worker threads."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.qt.threading import create_worker
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QObject, Signal

from napari_samsp.data.rgb import Scaling
from napari_samsp.data.shared_limits import resolve_percentiles
from napari_samsp.ui.correct.clicks.edits import Edit, Plane
from napari_samsp.ui.planes import first_scale
from napari_samsp.ui.result_layers import RESULT_KEY
from napari_samsp.ui.segment.segment_steps import explain
from napari_samsp.utils.cancellation import StoppedError, interruptible
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari.layers import Labels

    from napari_samsp.inference.interactive.clicks import ClickedImage
    from napari_samsp.ui.correct.labelled_plane import LabelledPlane
    from napari_samsp.ui.models.workplace import Workplace
    from napari_samsp.ui.segment.segment_steps import SegmentRequest

MANY = 2**16
"""More objects than one click finds."""


@dataclass(frozen=True)
class ClickJob:
    """One thing to be done to labels.

    Attributes
    ----------
    pair : LabelledPlane
        Where.
    request : SegmentRequest
        With which model, and how.
    make : callable or None
        Gives the edit, or a sentence if there is none to be made; None to load the
        model and encode the image.
    long : str
        What is done, of a job that takes many slices: it shows in napari's activity,
        and dropping it stops it.
    """

    pair: LabelledPlane
    request: SegmentRequest
    make: Callable[[Plane], Edit | str] | None = None
    long: str = ""

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
        self._desk = _Desk(workplace)
        self._waiting: deque[ClickJob] = deque()
        self._worker: Any = None
        self.destroyed.connect(self._desk.stop.set)

    @property
    def running(self) -> bool:
        """Whether anything is left to do."""
        return self._worker is not None

    def submit(self, job: ClickJob) -> None:
        """Do a job after those before it."""
        self._waiting.append(job)
        if self._worker is None:
            self._next()

    def drop(self) -> bool:
        """Forget what has not begun, and the result of what has; stop a long job.

        Returns
        -------
        bool
            Whether there was anything.
        """
        found = self.running
        self._waiting.clear()
        self._desk.dropped = True
        return found

    def repainted(self, labels: Labels) -> None:
        """Note that others than these jobs gave labels to pixels of a layer."""
        self._desk.highest.pop(labels, None)

    def _next(self) -> None:
        if not self._waiting:
            self._worker = None
            self.idle.emit()
            return
        job = self._waiting.popleft()
        self._desk.dropped = False
        waits_for = job.long or self._desk.waits_for(job)
        progress = {"total": 0, "desc": f"SAM-SP: {waits_for}"} if waits_for else None
        worker = create_worker(
            self._desk.do, job, _ignore_errors=True, _progress=progress
        )
        self._worker = worker
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


class _Desk:
    """What the workers use; outlives the widget for as long as one is at work."""

    def __init__(self, workplace: Workplace) -> None:
        self.stop = threading.Event()
        self.dropped = False
        self._workplace = workplace
        self.highest: WeakKeyDictionary[Labels, int] = WeakKeyDictionary()
        self._limits: tuple[ClickJob, Scaling] | None = None

    def waits_for(self, job: ClickJob) -> str:
        """What takes long in a job, if anything does."""
        loaded = self._workplace.loaded
        if loaded is None or loaded.key != job.request.model_key:
            return "loading the model"
        opened = self._workplace.opened
        if opened is None or opened[0] != job.image_key:
            return "encoding the image"
        return ""

    def do(self, job: ClickJob) -> tuple[ClickJob, Edit | str | None]:
        """Do a job, in a worker; a sentence says why it cannot be done."""
        try:
            if job.make is None:
                self._open(job)
                return job, None
            plane = Plane(
                job.pair.numbers[:, :],
                lambda: self._open(job),
                lambda pair: self._open_beside(job, pair),
                partial(next, self._unused(job.pair)),
                job.objects,
                job.request.iterations,
            )
            loaded = self._workplace.loaded
            if loaded is None or loaded.key != job.request.model_key:
                return job, job.make(plane)
            check = self._check_long if job.long else self._check
            with interruptible(loaded.segmenter.sam, check):
                return job, job.make(plane)
        except StoppedError:
            return job, None
        except InputError as error:
            return job, str(error)
        except (RuntimeError, MemoryError) as error:
            return job, explain(error)

    def _open(self, job: ClickJob) -> ClickedImage:
        opened, key = self._workplace.opened, job.image_key
        if opened is not None and opened[0] == key:
            return opened[1]
        loaded = self._workplace.load(job.request.model, job.request.adapter, self.stop)
        self._workplace.opened = opened = None  # before another image is read
        image = loaded.segmenter.clicked(
            job.pair.pixels,
            job.objects,
            scaling=job.scaling,
            object_size=job.request.object_size,
        )
        with interruptible(loaded.segmenter.sam, self._check):
            image.prepare()
        self._workplace.opened = (key, image)
        return image

    def _open_beside(self, job: ClickJob, pair: LabelledPlane) -> ClickedImage:
        """Another slice; the one that was clicked stays open."""
        self._check_long()
        loaded = self._workplace.load(job.request.model, job.request.adapter, self.stop)
        own = pair.scaling.get("limits")
        return loaded.segmenter.clicked(
            pair.pixels,
            job.objects,
            scaling=Scaling("limits", *own) if own else self._shared_scaling(job),
            object_size=job.request.object_size,
        )

    def _shared_scaling(self, job: ClickJob) -> Scaling:
        """The limits of the slice that is followed from: a dim one stays dim."""
        if self._limits is None or self._limits[0] is not job:
            pixels = job.pair.pixels
            found = resolve_percentiles(job.scaling, lambda plane: plane, [pixels])
            self._limits = (job, found)
        return self._limits[1]

    def _unused(self, pair: LabelledPlane) -> Iterator[int]:
        """Labels that no object of the layer has, one after the other."""
        labels = pair.labels
        data = first_scale(labels)
        # All slices are looked at once: a stack may be large.
        known = self.highest.get(labels)
        if known is None:
            known = int(np.max(data, initial=0))
        known = max(known, int(np.max(pair.numbers[:, :], initial=0)))
        most = int(np.iinfo(data.dtype).max)
        for label in range(known + 1, most + 1):
            self.highest[labels] = label
            yield label
        used = np.unique(data)
        low = np.arange(1, min(most, len(used) + MANY) + 1)
        free = np.setdiff1d(low, used)
        yield from free[free <= known].tolist()
        raise InputError(
            f"{labels.name} holds labels up to {most}, and all are in use: convert "
            "it to int32 (right-click the layer, Convert data type)."
        )

    def _check(self) -> None:
        if self.stop.is_set():
            raise StoppedError

    def _check_long(self) -> None:
        self._check()
        if self.dropped:
            raise StoppedError
