"""Another threshold, least size or filling of holes, shown without another run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, Signal
from superqt.utils import QSignalThrottler

from napari_samsp.inference.cleanup import Cleanup, Meaning, clean
from napari_samsp.ui.result_layers import (
    RESULT_KEY,
    is_untouched,
    remember_source,
    source_of,
)
from napari_samsp.ui.segment.segment_steps import explain
from napari_samsp.ui.segment.summary import Summary
from napari_samsp.ui.widgets.plain_text import show_error

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from napari_samsp.inference.results import Iteration
    from napari_samsp.ui.segment.run_results import RunResults

PAUSE_MS = 60
"""Between the starts of two jobs, while a slider is dragged."""
NEEDS_RUN = (
    "Press Segment to apply this: of stacks, of stored results and of images of more "
    "than 16 million pixels the maps are not kept."
)
EDITED = "A round that you edited stays as it is; press Segment for a new one."


class LiveCleanup(QObject):
    """Cleans up the kept rounds of a result in a worker, one job at a time.

    Signals: ``applied`` when other labels are shown, and ``status``.

    Parameters
    ----------
    parent : QObject
        Object that owns this one.
    wanted : callable
        Gives the cleanup that is set now.
    """

    applied = Signal()
    status = Signal(str)

    def __init__(self, parent: QObject, wanted: Callable[[], Cleanup]) -> None:
        super().__init__(parent)
        self._wanted = wanted
        self._results: RunResults | None = None
        self._shown = Cleanup()
        self._worker: Any = None
        self._job: Any = None
        self._throttler = QSignalThrottler(parent=self)
        self._throttler.setTimeout(PAUSE_MS)
        self._throttler.triggered.connect(self._start)

    @property
    def running(self) -> bool:
        """Whether a worker is at work."""
        return self._worker is not None

    def apply(self, results: RunResults | None) -> None:
        """Show a result as it is wanted now.

        Parameters
        ----------
        results : RunResults or None
            Of a run that has ended.
        """
        if results is not self._results:
            self._results = results
            self._shown = results.request.cleanup if results else Cleanup()
        self._throttler.throttle()

    def _start(self) -> None:
        results, wanted = self._results, self._wanted()
        if results is None or self.running or wanted == self._shown:
            return
        if not results.found or not any(results.layers):
            if results.summaries:
                self.status.emit(NEEDS_RUN)
            return
        meaning = Meaning.of(results.request.objects, results.classes)
        worker = create_worker(
            _clean_all, results.found, wanted, meaning, _ignore_errors=True
        )
        worker.returned.connect(self._on_returned)
        worker.errored.connect(self._on_errored)
        worker.finished.connect(self._on_finished)
        self._worker, self._job = worker, (results, wanted)
        worker.start()

    def _on_returned(self, rounds: list[_Round]) -> None:
        results: RunResults | None = self._job[0]
        if results is None or results is not self._results:
            return  # the layers show another run by now
        self._shown = self._job[1]
        shown = [_replace_labels(results, one) for one in rounds]
        there = [layer is not None for layer in results.layers]
        self.status.emit("" if shown == there else EDITED)
        self.applied.emit()

    def _on_errored(self, error: Exception) -> None:
        self._shown = self._job[1]  # what failed is not tried again and again
        show_error(explain(error))

    def _on_finished(self) -> None:
        self._worker = None
        if self._wanted() != self._shown:
            self._throttler.throttle()  # the slider was dragged on meanwhile


class _Round(NamedTuple):
    """A round that was cleaned up: figures, labels, and the same for its layer."""

    summary: Summary
    labels: np.ndarray
    copy: np.ndarray


def _replace_labels(results: RunResults, one: _Round) -> bool:
    """Show a round, unless the user edited its layer; whether it is shown."""
    t = one.summary.iteration
    layer = results.layers[t]
    source = None if layer is None else source_of(layer)
    if layer is None or source is None or not is_untouched(layer):
        return False
    layer.data = one.copy.reshape(layer.data.shape)
    remember_source(layer, replace(source, prediction=one.labels))
    results.summaries[t] = one.summary
    layer.metadata[RESULT_KEY].update(one.summary.as_dict())
    return True


def _clean_all(
    found: list[Iteration], cleanup: Cleanup, meaning: Meaning
) -> list[_Round]:
    """Clean up all rounds; in a worker."""
    made: list[_Round] = []
    for iteration in found:
        before = made[-1].labels if made else None
        now = clean(iteration, cleanup, meaning, before)
        summary = Summary.of(now, meaning.region is None)
        # What was found stays as it is, whatever is painted.
        made.append(_Round(summary, now.labels, now.labels.copy()))
    return made
