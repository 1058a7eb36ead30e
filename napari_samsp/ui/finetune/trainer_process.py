"""The trainer as a child process: the same command that a terminal runs."""

from __future__ import annotations

import signal
import sys
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import QCoreApplication, QObject, QProcess, QTimer, Signal

from napari_samsp.train.events import (
    EpochEnded,
    Event,
    Failed,
    Finished,
    Stepped,
    from_json,
)

if TYPE_CHECKING:
    from pathlib import Path

QUIT_MS = 3_000
"""From a stop until the child is killed when the application quits or the widget is
gone: the adapter of the last epoch is on disk already."""
LOG_LINES = 12
_DEATHS = {
    signal.SIGKILL.value if hasattr(signal, "SIGKILL") else 9: (
        "The training process was killed, most likely because the memory ran out: "
        "close other programs, or use fewer or smaller images."
    ),
    signal.SIGSEGV.value: (
        "The training process crashed within one of its libraries (segmentation fault)."
    ),
    signal.SIGABRT.value: (
        "The training process crashed: one of its libraries gave up."
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Attributes
    ----------
    finished : Finished or None
        The trainer's own last word, if it ended well.
    reason : str
        Otherwise, why not, in a sentence.
    log : str
        Otherwise, the last lines of its standard error.
    stopped : bool
        Whether the user ended it before there was a result.
    """

    finished: Finished | None
    reason: str = ""
    log: str = ""
    stopped: bool = False


class TrainerProcess(QObject):
    """Starts the trainer, hears its events and ends it, whatever happens.

    Signals: ``heard`` (an `Event`) for each line and, last of all and always,
    ``ended`` (an `Ending`).

    It belongs to the application and not to a widget: Qt kills a process whose parent
    goes. The trainer also ends by itself when its standard input does, so that even a
    crash of the viewer leaves nothing behind.
    """

    heard = Signal(object)
    ended = Signal(object)

    def __init__(self) -> None:
        application = QCoreApplication.instance()
        super().__init__(application)
        self._process: QProcess | None = None
        self._finished: Finished | None = None
        self._failed: Failed | None = None
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._asked_to_stop = False
        self._has_learnt = False
        self._retired = False
        self._grace = QTimer(self)
        self._grace.setSingleShot(True)
        self._grace.timeout.connect(self._kill)
        if application is not None:
            application.aboutToQuit.connect(self.end_now)

    @property
    def running(self) -> bool:
        """Whether the child lives."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The child's process id, 0 if there is none."""
        return int(self._process.processId()) if self._process else 0

    def start(self, arguments: list[str], folder: Path) -> None:
        """Start ``python -m napari_samsp.train``.

        Parameters
        ----------
        arguments : list of str
            Of the command; ``--events`` is added.
        folder : Path
            Working directory. Not a checkout, or it would be imported from there.
        """
        if self.running:
            return
        self._finished, self._failed = None, None
        self._asked_to_stop = self._has_learnt = False
        self._log.clear()
        process = QProcess(self)
        process.setWorkingDirectory(str(folder))
        process.readyReadStandardOutput.connect(self._read_events)
        process.readyReadStandardError.connect(self._read_log)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(self._on_error)
        self._process = process
        command = ["-u", "-m", "napari_samsp.train", *arguments, "--events"]
        process.start(sys.executable, command)

    def stop(self) -> bool:
        """Ask the trainer to keep the adapter and finish.

        It validates the adapter first, which takes as long as the images and the
        model need. The trainer is killed at once if nothing would be lost by that,
        because it has taken no step yet, or if it was asked before.

        Returns
        -------
        bool
            Whether it was asked, and may be killed by another call.
        """
        if self._process is None:
            return False
        if self._asked_to_stop or not self._has_learnt:
            self._asked_to_stop = True
            self._kill()
            return False
        self._ask()
        return True

    def end_now(self) -> None:
        """Stop the child and wait for its end; it is killed after `QUIT_MS`."""
        process = self._process
        if process is None:
            return
        self._ask()
        if not process.waitForFinished(QUIT_MS):
            process.kill()
            process.waitForFinished(QUIT_MS)

    def retire(self) -> None:
        """Stop the child without waiting, and go when it has: the widget is gone.

        The application still ends it in time when it quits.
        """
        self._retired = True
        if self._process is None:
            self.deleteLater()
        else:
            self._ask()
            self._grace.start(QUIT_MS)

    def _ask(self) -> None:
        if self._process is not None and not self._asked_to_stop:
            self._asked_to_stop = True
            # A line, since Windows has no signals for this.
            self._process.write(b"stop\n")
            self._process.closeWriteChannel()

    def _read_events(self) -> None:
        if self._process is None:
            return
        self._process.setReadChannel(QProcess.ProcessChannel.StandardOutput)
        # A line may arrive in parts; what is not complete stays in Qt's buffer.
        while self._process is not None and self._process.canReadLine():
            self._hear(bytes(self._process.readLine().data()))

    def _hear(self, line: bytes) -> None:
        event: Event | None = from_json(line.decode("utf-8", "replace"))
        if event is None:
            return
        if isinstance(event, Finished):
            self._finished = event
        elif isinstance(event, Failed):
            self._failed = event
        elif isinstance(event, Stepped | EpochEnded):
            self._has_learnt = True
        self.heard.emit(event)

    def _read_log(self) -> None:
        if self._process is None:
            return
        text = bytes(self._process.readAllStandardError().data()).decode(
            errors="replace"
        )
        for line in text.replace("\r", "\n").splitlines():
            if line.strip():
                self._log.append(line.rstrip())

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _on_error(self, error: QProcess.ProcessError) -> None:
        # Of the errors only this one is not followed by `finished`.
        if error == QProcess.ProcessError.FailedToStart:
            self._end(Ending(None, f"Python could not be started: {sys.executable}."))

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        process = self._process
        if process is None:
            return
        self._read_events()
        self._hear(bytes(process.readAllStandardOutput().data()))
        self._read_log()
        log = "\n".join(self._log)
        if self._finished is not None:
            self._end(Ending(self._finished))
        elif self._failed is not None:
            self._end(Ending(None, self._failed.message, log))
        elif self._asked_to_stop:
            self._end(Ending(None, "Stopped.", stopped=True))
        elif status == QProcess.ExitStatus.CrashExit:
            # On Windows there are no signals, and the code is another number.
            ended = f"The training process was ended from outside (code {code})."
            self._end(Ending(None, _DEATHS.get(code, ended), log))
        else:
            self._end(Ending(None, f"Training failed (exit code {code}).", log))

    def _end(self, ending: Ending) -> None:
        self._grace.stop()
        if self._process is not None:
            self._process.deleteLater()
            self._process = None
        self.ended.emit(ending)
        if self._retired:
            self.deleteLater()
