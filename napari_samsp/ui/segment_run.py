"""Segmenting in a worker thread.

The worker's generator returns arrays; only slots, in the GUI's thread, touch layers.
"""

from __future__ import annotations

import threading
import warnings
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.qt.threading import create_worker
from napari.utils.notifications import notification_manager, show_error
from qtpy.QtCore import QObject, QTimer, Signal

from napari_samsp.core.errors import InputError
from napari_samsp.core.folders import embeddings_folder
from napari_samsp.core.torch_guard import import_torch
from napari_samsp.ui.warm_up import (
    load_labels_support,
    load_torch_libraries,
    without_collections,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_samsp.core.segmenter import Iteration, Segmenter

_END = object()
GUI_FIRST_S = 0.3
BREATH_MS = 20
"""Between two steps, for the GUI to draw and to answer."""
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


class SegmentationError(Exception):
    """What went wrong in a worker.

    Not a RuntimeError: superqt's generator workers swallow those, and with them
    everything that torch raises.
    """


@dataclass(frozen=True)
class SegmentRequest:
    """What to segment, and how.

    Attributes
    ----------
    pixels : array_like
        ``(Y, X)`` or ``(Y, X, C)``; computed in the worker if it is lazy.
    model : str
        Base model.
    adapter : Path or None
        Adapter's folder.
    iterations : int
        How many.
    objects : bool
        One prompt per object.
    """

    pixels: Any
    model: str
    adapter: Path | None
    iterations: int
    objects: bool

    @property
    def model_key(self) -> tuple[Any, ...]:
        """Equal keys mean that a loaded model can be used again."""
        if self.adapter is None:
            return (self.model,)
        files = sorted(self.adapter.glob("*.safetensors"))
        times = tuple(f.stat().st_mtime_ns for f in files)
        return self.model, self.adapter, times


@dataclass(frozen=True)
class Loaded:
    """The model is in memory."""

    segmenter: Segmenter
    key: tuple[Any, ...]


@dataclass(frozen=True)
class Refused:
    """The input cannot be used; ``reason`` is one sentence for the user."""

    reason: str


def segment_steps(
    request: SegmentRequest, loaded: Loaded | None, stop: threading.Event
) -> Iterator[Loaded | Iteration | Refused]:
    """Load the model and segment; runs in the worker.

    Parameters
    ----------
    request : SegmentRequest
        The job.
    loaded : Loaded or None
        The model of the run before, used again if it is the same.
    stop : threading.Event
        When set, the work ends at the next tile or iteration.

    Yields
    ------
    Loaded or Iteration or Refused
        In this order, `Refused` last if the input is unusable.

    Raises
    ------
    SegmentationError
        If torch fails.
    """

    def stop_if_asked(_done: float) -> None:
        if stop.is_set():
            raise _StoppedError

    try:
        key = request.model_key
        if loaded is None or loaded.key != key:
            # The first progress bar makes Qt load a plugin; the loader has one lock,
            # for which the GUI would wait while torch is mapped.
            stop.wait(GUI_FIRST_S)
            loaded = Loaded(_load(request), key)
        yield loaded
        image = np.asarray(request.pixels)
        yield from loaded.segmenter.iterate(
            image, request.iterations, request.objects, progress=stop_if_asked
        )
    except _StoppedError:
        return
    except InputError as error:
        yield Refused(str(error))
    except (RuntimeError, MemoryError) as error:
        raise SegmentationError(_explain(error)) from error


class SegmentRun(QObject):
    """Runs one segmentation at a time and keeps the model in memory between runs.

    Signals: ``loaded`` (`Loaded`), ``iterated`` (`Iteration`), ``failed`` (a sentence)
    and, last of all and always, ``ended``.

    Parameters
    ----------
    parent : QObject
        Qt's; the run stops when it is destroyed.
    """

    loaded = Signal(object)
    iterated = Signal(object)
    failed = Signal(str)
    ended = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._current = _Current()
        self._model: Loaded | None = None
        self._waiting: deque[object] = deque()
        self._turn = QTimer(self)
        self._turn.setInterval(BREATH_MS)
        self._turn.timeout.connect(self._take_step)
        # A widget dies without a closeEvent. The slot must not be a method of this
        # object, whose connections are gone by then.
        self.destroyed.connect(self._current.stop)

    @property
    def running(self) -> bool:
        """Whether a worker is at work."""
        return self._current.worker is not None

    @property
    def model_name(self) -> str:
        """The base model in memory, or its file's name."""
        return self._model.segmenter.model_name if self._model else ""

    @property
    def adapter_name(self) -> str | None:
        """The adapter of the model in memory."""
        return self._model.segmenter.adapter_name if self._model else None

    def start(self, request: SegmentRequest, title: str) -> None:
        """Begin.

        Parameters
        ----------
        request : SegmentRequest
            The job.
        title : str
            For napari's activity dock.
        """
        if self.running:
            return
        stop = threading.Event()
        # One step more than iterations: loading the model is the first.
        worker = create_worker(
            segment_steps,
            request,
            self._model,
            stop,
            # Shown by our slot: raising it again in the event loop would do so twice,
            # and napari's own relay is never connected under PyQt6.
            _ignore_errors=True,
            _progress={"total": request.iterations + 1, "desc": title},
        )
        self._current.worker, self._current.stopping = worker, stop
        worker.yielded.connect(self._queue)
        worker.errored.connect(self._queue)
        worker.finished.connect(self._on_finished)
        worker.start()

    def stop(self) -> None:
        """Ask the worker to end; ``ended`` follows."""
        self._current.stop()

    def _queue(self, step: object) -> None:
        # napari needs a while to add a layer; a small model makes three in no time.
        self._waiting.append(step)
        if not self._turn.isActive():
            self._turn.start()

    def _take_step(self) -> None:
        step = self._waiting.popleft()
        if not self._waiting:
            self._turn.stop()
        if step is _END:
            self._current.worker = None
            self.ended.emit()
        elif self._current.stopping.is_set():
            return
        elif isinstance(step, Exception):
            self._show_error(step)
        elif isinstance(step, Loaded):
            self._model = step
            self.loaded.emit(step)
        elif isinstance(step, Refused):
            show_error(step.reason)
            self.failed.emit(step.reason)
        else:
            self.iterated.emit(step)

    def _show_error(self, error: Exception) -> None:
        if isinstance(error, SegmentationError):
            show_error(str(error))
        else:
            notification_manager.receive_error(type(error), error, error.__traceback__)
        self.failed.emit(str(error) or type(error).__name__)

    def _on_finished(self) -> None:
        self._queue(_END)


class _Current:
    """The worker at work, known to more than the widget."""

    def __init__(self) -> None:
        self.worker: Any = None
        self.stopping = threading.Event()

    def stop(self, *_: Any) -> None:
        self.stopping.set()
        if self.worker is not None:
            self.worker.quit()


class _StoppedError(Exception):
    """The user asked to stop."""


def _load(request: SegmentRequest) -> Segmenter:
    # The worker shows every warning to the user, and torch's imports have many.
    with warnings.catch_warnings(), without_collections():
        warnings.simplefilter("ignore")
        load_torch_libraries()
        import_torch()
        load_labels_support()
        from napari_samsp.core.embedding_cache import EmbeddingCache
        from napari_samsp.core.segmenter import Segmenter

        cache = EmbeddingCache(embeddings_folder())
        return Segmenter(model=request.model, adapter=request.adapter, cache=cache)


def _explain(error: Exception) -> str:
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY):
        return (
            "There is not enough memory for this image and model: choose a smaller "
            "model, or a part of the image."
        )
    return f"Segmenting failed: {error}"
