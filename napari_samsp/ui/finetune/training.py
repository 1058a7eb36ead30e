"""The training of a viewer, which outlives the dock that started it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari.utils import progress
from qtpy.QtCore import QObject

from napari_samsp.train.events import EpochEnded, Event, FoldStepped, Started, Stepped
from napari_samsp.ui.finetune.trainer_process import Ending, TrainerProcess
from napari_samsp.ui.widgets.plain_text import show_info

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from qtpy.QtWidgets import QWidget

FULL = 1000


class Training(QObject):
    """Runs the trainer and remembers what it told, for a dock that is opened later.

    Attributes
    ----------
    process : TrainerProcess
        The process of the trainer.
    run : Path or None
        Folder of the last run.
    corrections : tuple of Path and list of dict
        The folder that it learns from, and what was noted of each correction when it
        began.
    epoch : int
        The last one that is complete, from which a run can go on.
    events : list of Event
        Of the last run.
    ending : Ending or None
        How it ended, until somebody has shown that: see `take_ending`.
    part : int
        How much is done, of `FULL`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.process = TrainerProcess()
        self.process.heard.connect(self._on_event)
        self.process.ended.connect(self._on_ended)
        self.run: Path | None = None
        self.corrections: tuple[Path, list[dict[str, Any]]] = (Path(), [])
        self.epoch = 0
        self.events: list[Event] = []
        self.ending: Ending | None = None
        self.part = 0
        self.is_retired = False
        self._arguments: list[str] = []
        self._started_at = 0.0
        self._activity: progress | None = None
        self._has_window = False
        self._listeners: list[tuple[Callable[[Event], None], Callable[[], None]]] = []

    def listen(
        self, on_event: Callable[[Event], None], on_end: Callable[[], None]
    ) -> Callable[[], None]:
        """Report what happens to a dock.

        Parameters
        ----------
        on_event, on_end : callable
            For each event, and at the end, when `take_ending` tells how it ended.

        Returns
        -------
        callable
            To be called when the dock is gone; without a window of napari's, the
            training ends with it.
        """
        listener = (on_event, on_end)
        self._listeners.append(listener)

        def forget() -> None:
            self._listeners.remove(listener)
            if not self._has_window:
                self.retire()

        return forget

    @property
    def running(self) -> bool:
        """Whether the trainer is at work."""
        return self.process.running

    def start(
        self,
        arguments: list[str],
        run: Path,
        corrections: tuple[Path, list[dict[str, Any]]],
    ) -> None:
        """Begin a run.

        Parameters
        ----------
        arguments : list of str
            Of the trainer's command.
        run : Path
            The run's folder, whose parent exists.
        corrections : tuple of Path and list of dict
            As the attribute.
        """
        self.corrections = corrections
        self.run, self.epoch, self.events = run, 0, []
        self._arguments = arguments
        self._launch(arguments)

    def resume(self) -> None:
        """Go on with the run whose trainer died."""
        if self.epoch and not self.running:
            self._launch([*self._arguments, "--resume"])

    def take_ending(self) -> Ending | None:
        """How the run ended, if nobody has asked before."""
        ending, self.ending = self.ending, None
        return ending

    def live_with(self, window: QWidget) -> None:
        """End when napari's window goes, and not before.

        Parameters
        ----------
        window : QWidget
            That the dock is in.
        """
        if not self._has_window:
            self._has_window = True
            window.destroyed.connect(self.retire)

    def retire(self) -> None:
        """Stop for good, without waiting."""
        if not self.is_retired:
            self.is_retired = True
            self.process.retire()

    def _launch(self, arguments: list[str]) -> None:
        assert self.run is not None
        self.ending, self.part = None, 0
        self._activity = progress(total=FULL, desc="SAM-SP: fine-tuning")
        self.process.start(arguments, self.run.parent)

    def _on_event(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Started):
            self._started_at = time.monotonic()
        elif isinstance(event, FoldStepped | Stepped | EpochEnded):
            if isinstance(event, EpochEnded):
                self.epoch = event.epoch
            spent = time.monotonic() - self._started_at
            part = round(FULL * spent / max(spent + event.seconds_left, 1e-6))
            self.part = max(self.part, min(FULL, part))
            if self._activity is not None:
                self._activity.update(self.part - self._activity.n)
        for on_event, _ in self._listeners:
            on_event(event)

    def _on_ended(self, ending: Ending) -> None:
        if self._activity is not None:
            self._activity.close()
            self._activity = None
        self.ending = ending
        for _, on_end in self._listeners:
            on_end()
        if self.ending is not None and not self.is_retired:
            show_info("SAM-SP: fine-tuning has ended. Open SAM-SP to see the result.")


_trainings: WeakKeyDictionary[napari.viewer.Viewer, Training] = WeakKeyDictionary()


def training_of(viewer: napari.viewer.Viewer) -> Training:
    """The training of a viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        May be the proxy that napari gives to plugins.

    Returns
    -------
    Training
        The same one for every dock of the viewer.
    """
    found = _trainings.get(viewer)
    if found is None or found.is_retired:
        # A proxy goes with the dock that it was made for.
        found = _trainings[getattr(viewer, "__wrapped__", viewer)] = Training()
    return found
