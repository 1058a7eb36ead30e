"""One segmentation at a time, in a worker thread.

The worker's generator gives arrays; only slots, in the GUI's thread, touch layers.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QObject, QTimer, Signal

from napari_samsp.ui.models.workplace import Loaded, Workplace
from napari_samsp.ui.segment.segment_steps import (
    POLL_S,
    Refused,
    SegmentationError,
    Segmented,
    SegmentRequest,
    Step,
    segment_steps,
)
from napari_samsp.ui.widgets.plain_text import show_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_samsp.inference.segmenter import Segmenter

BREATH_MS = 20
"""Pause between two turns, in which the GUI draws and answers."""
TURN_S = 0.02
"""A turn takes steps for about so long: napari needs more to add a layer, and much
less to write a plane into one."""
PATIENCE_MS = 1500
"""A worker that does not stop by then, since it loads a model, is left to itself."""


class SegmentRun(QObject):
    """Runs one segmentation at a time and keeps the model in memory between runs.

    Signals: ``prepared`` (a model is in memory before one was needed), ``loaded``
    (`Loaded`), ``iterated`` (`Segmented`), ``skipped`` (`Refused`,
    of a plane), ``failed`` (a sentence) and, last of all and always, ``ended``.

    Parameters
    ----------
    parent : QObject
        Qt's; the run stops when it is destroyed.
    """

    prepared = Signal()
    loaded = Signal(object)
    iterated = Signal(object)
    skipped = Signal(object)
    failed = Signal(str)
    ended = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._current = _Current()
        self._preparing = threading.Event()
        self.workplace = Workplace()
        self._waiting: deque[Step | Exception] = deque()
        self._turn = QTimer(self)
        self._turn.setInterval(BREATH_MS)
        self._turn.timeout.connect(self._take_turn)
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.setInterval(PATIENCE_MS)
        self._patience.timeout.connect(self._abandon)
        # A widget dies without a closeEvent. The slots must not be methods of this
        # object, whose connections are gone by then, nor closures, which the garbage
        # collector may have emptied: calling one crashed.
        self.destroyed.connect(self._current.stop)
        self.destroyed.connect(self._preparing.set)

    @property
    def running(self) -> bool:
        """Whether a worker is at work."""
        return self._current.worker is not None

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._current.stopping.is_set()

    @property
    def part_of_plane(self) -> float:
        """How much of the plane at hand is done, 0 to 1."""
        return self.workplace.part_of_plane

    @property
    def segmenter(self) -> Segmenter | None:
        """The model in memory."""
        loaded = self.workplace.loaded
        return loaded.segmenter if loaded else None

    @property
    def model_name(self) -> str:
        """The base model in memory, or its file's name."""
        return self.segmenter.model_name if self.segmenter else ""

    @property
    def adapter_name(self) -> str | None:
        """The adapter of the model in memory."""
        return self.segmenter.adapter_name if self.segmenter else None

    def start(
        self,
        request: SegmentRequest,
        title: str,
        after: threading.Thread | None = None,
    ) -> None:
        """Start a segmentation in a worker.

        Parameters
        ----------
        request : SegmentRequest
            What to segment, and how.
        title : str
            Title in napari's activity dock.
        after : threading.Thread, optional
            A thread that the worker waits for, since it does part of the work.
        """
        if self.running:
            return
        stop, ended = threading.Event(), threading.Event()
        worker = create_worker(
            _in_turn,
            segment_steps(request, self.workplace, stop, after),
            stop,
            self._current.ended,
            # Shown by our slot: raising it again in the event loop would do so twice,
            # and napari's own relay is never connected under PyQt6.
            _ignore_errors=True,
            # One step more than iterations: loading the model is the first.
            _progress={
                "total": len(request.planes) * request.iterations + 1,
                "desc": title,
            },
        )
        self._waiting.clear()
        self._current.begin(worker, stop, ended)
        worker.yielded.connect(self._on_step)
        worker.errored.connect(self._on_error)
        worker.finished.connect(ended.set)
        worker.finished.connect(self._on_finished)
        worker.start()

    def prepare(self, model: str, adapter: Path | None) -> None:
        """Load a model while the user looks around; a failure waits for Segment.

        Parameters
        ----------
        model, adapter
            As for `Workplace.load`.
        """
        if self.running or self.segmenter is not None:
            return
        worker = create_worker(
            _quietly,
            self.workplace,
            model,
            adapter,
            self._preparing,
            _ignore_errors=True,
        )
        worker.returned.connect(self._on_prepared)
        worker.start()

    def stop(self) -> None:
        """Ask the worker to end; ``ended`` follows within two seconds."""
        if self.running:
            self._current.stop()
            self._patience.start()

    def _on_step(self, tagged: tuple[threading.Event, Step]) -> None:
        stop, step = tagged
        if stop is self._current.stopping:
            self._queue(step)

    def _on_error(self, error: Exception) -> None:
        if not self.stopping:
            self._queue(error)

    def _on_finished(self) -> None:
        # Not if it is the end of one that was abandoned.
        if self._current.ended.is_set() and not self._turn.isActive():
            self._turn.start()

    def _queue(self, step: Step | Exception) -> None:
        self._waiting.append(step)
        if not self._turn.isActive():
            self._turn.start()

    def _take_turn(self) -> None:
        begun = time.monotonic()
        while self._waiting and time.monotonic() - begun < TURN_S:
            step = self._waiting.popleft()
            if not self.stopping:
                self._tell(step)
        if not self._waiting:
            self._turn.stop()
            if self._current.ended.is_set():
                self._end()

    def _tell(self, step: Step | Exception) -> None:
        if isinstance(step, Exception):
            self._show_error(step)
        elif isinstance(step, Loaded):
            self.loaded.emit(step)
        elif isinstance(step, Segmented):
            self.iterated.emit(step)
        elif isinstance(step, Refused) and step.plane is not None:
            self.skipped.emit(step)
        else:
            show_error(step.reason)
            self.failed.emit(step.reason)

    def _show_error(self, error: Exception) -> None:
        if isinstance(error, SegmentationError):
            show_error(str(error))
        else:
            notification_manager.receive_error(type(error), error, error.__traceback__)
        self.failed.emit(str(error) or type(error).__name__)

    def _on_prepared(self, done: bool) -> None:
        if done and not self.running:
            self.prepared.emit()

    def _abandon(self) -> None:
        """Stop waiting: what the worker still says is not heard any more.

        The next run's worker begins when this one has ended, with the model that it
        loaded.
        """
        self._waiting.clear()
        self._turn.stop()
        self._end()

    def _end(self) -> None:
        self._patience.stop()
        if self._current.worker is not None:
            self._current.worker = None
            self.ended.emit()


class _Current:
    """The worker at work, known to more than the widget."""

    def __init__(self) -> None:
        self.worker: Any = None
        self.stopping = threading.Event()
        self.ended = threading.Event()
        self.ended.set()

    def begin(
        self, worker: Any, stopping: threading.Event, ended: threading.Event
    ) -> None:
        self.worker, self.stopping, self.ended = worker, stopping, ended

    def stop(self, *_: Any) -> None:
        self.stopping.set()
        if self.worker is not None:
            self.worker.quit()


def _quietly(
    workplace: Workplace, model: str, adapter: Path | None, stop: threading.Event
) -> bool:
    """Load a model; whether it is there."""
    try:
        workplace.load(model, adapter, stop)
    except Exception:  # Segment meets it again, and tells it
        return False
    return not stop.is_set()


def _in_turn(
    steps: Iterator[Step], stop: threading.Event, earlier: threading.Event
) -> Iterator[tuple[threading.Event, Step]]:
    """Wait for the run before, if it was abandoned, and mark the steps of this one."""
    while not earlier.wait(POLL_S):
        if stop.is_set():
            return
    for step in steps:
        yield stop, step
