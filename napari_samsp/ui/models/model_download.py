"""Downloading a model in a worker thread."""

from __future__ import annotations

import threading
from typing import Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, QTimer, Signal

from napari_samsp.sam import registry as models
from napari_samsp.utils.errors import InputError

LOOK_MS = 100
"""How often the progress is read; a fast line has thousands of steps a second."""


class ModelDownload(QObject):
    """Fetches one model at a time.

    Signals: ``progressed`` (a pair, the bytes that are here and the bytes in all) and,
    last of all and always, ``ended`` (the model's name, and a sentence that says what
    went wrong, empty if nothing did).

    Parameters
    ----------
    parent : QObject
        Qt's; the download stops when it is destroyed, and what it got is kept.
    """

    progressed = Signal(object)
    ended = Signal(str, str)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._job: _Job | None = None
        self._look = QTimer(self)
        self._look.setInterval(LOOK_MS)
        self._look.timeout.connect(self._tell_progress)

    @property
    def name(self) -> str | None:
        """The model that is being fetched."""
        return self._job.name if self._job else None

    def start(self, name: str) -> None:
        """Begin a download, or go on with it.

        Parameters
        ----------
        name : str
            One of `napari_samsp.sam.registry.names`.
        """
        if self._job is not None:
            return
        job = self._job = _Job(name)
        # A widget dies without a closeEvent; the job outlives it.
        self.destroyed.connect(job.stop)
        job.worker = create_worker(job.run)
        job.worker.returned.connect(self._on_end)
        job.worker.errored.connect(self._on_end)
        job.worker.start()
        self._look.start()

    def stop(self) -> None:
        """Ask the download to end; ``ended`` follows."""
        if self._job is not None:
            self._job.stop()

    def _tell_progress(self) -> None:
        if self._job is not None:
            self.progressed.emit(self._job.bytes)

    def _on_end(self, reason: object) -> None:
        job, self._job = self._job, None
        self._look.stop()
        if job is not None:
            self.ended.emit(job.name, str(reason))


class _Job:
    """What the worker and the GUI share."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.bytes = (0, models.download_bytes(name))
        self.worker: Any = None
        self._stopping = threading.Event()

    def stop(self, *_: Any) -> None:
        self._stopping.set()

    def run(self) -> str:
        """Give what went wrong: superqt's workers swallow every RuntimeError."""
        try:
            models.download(self.name, self._progress)
        except _CancelledError:
            return "Cancelled: what was fetched is kept, the next download goes on."
        except InputError as error:
            return str(error)
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            return f"{self.name} could not be downloaded: {reason}."
        return ""

    def _progress(self, here: int, total: int) -> None:
        self.bytes = (here, total)
        if self._stopping.is_set() or self.worker.abort_requested:
            raise _CancelledError


class _CancelledError(Exception):
    """The user asked to stop."""
