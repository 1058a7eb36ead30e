"""One thread for what the list does while the user looks: in order of urgency."""

from __future__ import annotations

import itertools
import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_samsp.utils.cancellation import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable

THREAD = "samsp-images"
SAVE, LIST, OPEN, PREFETCH, ALL = range(5)
"""Kinds of jobs, the most urgent first. What saves is never given up, and what the user
waits for is not interrupted."""
POLL_S = 0.5

_log = logging.getLogger(__name__)


@dataclass(order=True)
class _Job:
    kind: int
    number: int
    run: Callable[[Callable[[], None]], None] = field(compare=False)


class Background:
    """Runs jobs one at a time; a more urgent one interrupts a less urgent one.

    Its methods are for the GUI's thread and return at once. A job is called with a
    check, which raises `StoppedError` when the job is to give way; it is begun again
    later, unless it was cancelled.

    Parameters
    ----------
    begins : callable, optional
        Called before a job is taken.
    """

    def __init__(self, begins: Callable[[], None] = lambda: None) -> None:
        self._begins = begins
        self._turn = threading.Condition()
        self._jobs: list[_Job] = []
        self._current: _Job | None = None
        self._interrupted = False
        self._cancelled = False
        self._paused = False
        self._closed = False
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether anything is at work or waits for its turn."""
        with self._turn:
            return self._current is not None or bool(self._jobs)

    @property
    def paused(self) -> bool:
        """Whether only urgent jobs run, to leave the machine to others."""
        return self._paused

    def submit(self, kind: int, run: Callable[[Callable[[], None]], None]) -> None:
        """Do a job after those of its kind that wait."""
        self._begins()
        with self._turn:
            if self._closed and kind != SAVE:
                return
            self._jobs.append(_Job(kind, next(self._numbers), run))
            if self._current is not None and max(kind, OPEN) < self._current.kind:
                self._interrupted = True
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name=THREAD)
                self._thread.start()
            self._turn.notify_all()

    def cancel(self, kind: int) -> None:
        """Forget the jobs of a kind; the one at work ends soon."""
        with self._turn:
            self._jobs = [job for job in self._jobs if job.kind != kind]
            self._cancelled |= self._is(kind)

    def pause(self, paused: bool) -> None:
        """Leave the machine to others: only what saves is done."""
        with self._turn:
            self._paused = paused
            if paused and self._current is not None and self._current.kind > OPEN:
                self._interrupted = True
            self._turn.notify_all()

    def close(self) -> None:
        """End soon; what saves is done first."""
        with self._turn:
            self._closed = True
            self._jobs = [job for job in self._jobs if job.kind == SAVE]
            self._cancelled = True
            self._turn.notify_all()

    def _is(self, kind: int) -> bool:
        return self._current is not None and self._current.kind == kind

    def _next(self) -> _Job | None:
        most = OPEN if self._paused else ALL
        ready = [job for job in self._jobs if job.kind <= most]
        return min(ready, default=None)

    def _work(self) -> None:
        while True:
            with self._turn:
                while (job := self._next()) is None:
                    if self._closed or not threading.main_thread().is_alive():
                        self._thread = None
                        return
                    self._turn.wait(POLL_S)
                self._jobs.remove(job)
                self._current = job
                self._interrupted = self._cancelled = False
            try:
                job.run(self._check if job.kind != SAVE else _never)
            except StoppedError:
                with self._turn:
                    if not self._cancelled and not self._closed:
                        self._jobs.append(job)
            except Exception:
                _log.exception("A job of the image list failed")
            with self._turn:
                self._current = None

    def _check(self) -> None:
        # A thread that is no daemon keeps Python from ending.
        if (
            self._interrupted
            or self._cancelled
            or not threading.main_thread().is_alive()
        ):
            raise StoppedError


def _never() -> None:
    """What saves is not interrupted."""


def tell(signal: Any, *values: Any) -> None:
    """Emit a signal of Qt's from the background.

    Raises
    ------
    StoppedError
        If the widget that it belongs to is gone.
    """
    try:
        signal.emit(*values)
    except RuntimeError:
        raise StoppedError from None
