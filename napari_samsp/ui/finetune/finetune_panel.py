"""Step 3: fine-tune on what was kept."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QLabel,
    QMainWindow,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_samsp.data.projects import default_project
from napari_samsp.train.config import LEAST_TO_CROSS_VALIDATE, LEAST_TO_HOLD_OUT
from napari_samsp.train.events import (
    EpochEnded,
    Event,
    FoldStepped,
    Noted,
    Started,
    Stepped,
)
from napari_samsp.ui.finetune.curves import Curves
from napari_samsp.ui.finetune.outcome import Outcome
from napari_samsp.ui.finetune.training import FULL
from napari_samsp.ui.finetune.training_settings import TrainingSettings
from napari_samsp.ui.models.adapters import TIME_FORMAT
from napari_samsp.ui.widgets.ties import Ties
from napari_samsp.ui.widgets.time_left import duration
from napari_samsp.utils.errors import InputError, in_words

if TYPE_CHECKING:
    from napari_samsp.ui.finetune.training import Training
    from napari_samsp.ui.session import Session


class FinetunePanel(QWidget):
    """Starts the viewer's training and shows what it reports.

    Signals: ``status`` (a line for the widget's foot), ``busy`` (whether it trains),
    ``adapter_ready`` (the folder of an adapter that is to be used from now on, or None
    for none) and ``run_ended`` (whatever came of it).

    Parameters
    ----------
    training : Training
        The viewer's; may be at work already.
    session : Session
        What is trained on, from which model and adapter, and at which scaling.

    Attributes
    ----------
    runs : Path
        Where new runs are written, a folder each.
    """

    status = Signal(str)
    busy = Signal(bool)
    adapter_ready = Signal(object)
    run_ended = Signal()

    def __init__(
        self,
        training: Training,
        session: Session,
    ) -> None:
        super().__init__()
        self._session = session
        self.runs = default_project().adapters
        self.training = training
        self.process = training.process
        self._ties = Ties(self)
        self._ties.add(training.listen(self._on_event, self._on_ended))

        self.count = QLabel()
        self.count.setObjectName("samsp_count")
        self.count.setWordWrap(True)
        self.settings = TrainingSettings()
        self.collapsible = QCollapsible("Settings", expandedIcon="▼", collapsedIcon="▶")
        self.collapsible.setContent(self.settings)
        self.collapsible.collapse(animate=False)
        frame = self.collapsible.layout()
        if frame is not None:
            frame.setContentsMargins(0, 0, 0, 0)
            frame.setSpacing(0)
        self.button = QPushButton("Fine-tune")
        self.button.setObjectName("samsp_finetune")
        self.button.setToolTip("Trains in a process of its own; napari stays free")
        self.bar = QProgressBar()
        self.bar.setRange(0, FULL)
        self.curves = Curves()
        self.result = Outcome(session)
        self.result.adapter_ready.connect(self.adapter_ready)
        self.result.told.connect(lambda: self.status.emit(""))
        self.message, self.figures = self.result.message, self.result.figures
        self.use_button = self.result.use_button
        self.resume_button = self.result.resume_button
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (
            self.count, self.collapsible, self.button, self.bar, self.curves,
            self.result,
        ):  # fmt: skip
            layout.addWidget(widget)
        for hidden in (self.bar, self.curves):
            hidden.hide()
        self.button.clicked.connect(self.start)
        self.resume_button.clicked.connect(self.resume)
        self.refresh()

    def refresh(self) -> None:
        """Count the corrections again."""
        try:
            corrections = self._corrections()
        except (InputError, OSError) as error:
            self.count.setText(in_words(error))
            self.button.setEnabled(False)
            return
        folder, noted = self.training.corrections
        # Those of another project say nothing of what its run can go on with.
        same = corrections[0] != folder or corrections[1] == noted
        self.result.offer_to_go_on(same)
        n = len(corrections[1])
        if n == 0:
            text = "No corrections yet: keep at least one."
        elif n < LEAST_TO_CROSS_VALIDATE:
            text = (
                f"{n} correction{'s' if n > 1 else ''}: enough to learn from, too few "
                "to tell how much it helps on other images."
            )
        elif n < LEAST_TO_HOLD_OUT:
            text = (
                f"{n} corrections: all train. A quarter of the time measures how well "
                "each is found by a model that learnt from the others."
            )
        else:
            text = f"{n} corrections; one in five is not learnt from, and judges."
        self.count.setText(text)
        self.button.setEnabled(n > 0 and not self.process.running)

    def start(self) -> None:
        """Start a run on the correction set."""
        if self.process.running:
            return
        run = _new_run(self.runs)
        try:
            scaling = self._session.scaling
            corrections = self._corrections()
        except (InputError, OSError) as error:
            self.result.tell(in_words(error))
            return
        try:
            run.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.result.tell(
                f"The folder for training runs cannot be made: {in_words(error)}"
            )
            return
        arguments = self.settings.arguments(
            self._session.training_set.folder.resolve(),
            run,
            self._session.model,
            self._session.adapter,
            scaling,
        )
        self.curves.clear()
        self._find_window()
        self.training.start(arguments, run, corrections)
        self._show_running("Loading the model and the corrections…")

    def _corrections(self) -> tuple[Path, list[dict[str, Any]]]:
        """The folder of the corrections, and what is noted of each."""
        of = self._session.training_set
        return of.folder, [sample.info for sample in of.samples()]

    def resume(self) -> None:
        """Go on with the run whose trainer died."""
        self.training.resume()
        self._show_running("Loading the model and the corrections…")

    def attach(self) -> None:
        """Show what the training did before this dock was opened."""
        if not self.training.running and self.training.ending is None:
            return
        for event in self.training.events:
            self.curves.add(event)
        if self.training.running:
            self._show_running("Training goes on.")
            if self.training.events:
                self._on_event(self.training.events[-1], new=False)
        else:
            self.curves.show()
            self._on_ended()

    def _find_window(self) -> None:
        parent = self.parentWidget()
        while parent is not None and not isinstance(parent, QMainWindow):
            parent = parent.parentWidget()
        if parent is not None:
            self.training.live_with(parent)

    def _show_running(self, line: str) -> None:
        if not self.training.running:
            return
        self.curves.show()
        self.bar.setRange(0, 0)
        self.bar.setFormat("Loading…")
        self.bar.show()
        self.result.clear()
        self.refresh()
        self.busy.emit(True)
        self.status.emit(line)

    def stop(self) -> bool:
        """Ask for the adapter so far; when asked again, end at once.

        Returns
        -------
        bool
            Whether asking again makes a difference.
        """
        asked = self.process.stop()
        self.status.emit(
            "Stopping: the adapter so far is judged and kept. To end at once and lose "
            "the epoch that has begun, press Stop again."
            if asked
            else "Stopping…"
        )
        return asked

    def _on_event(self, event: Event, new: bool = True) -> None:
        if new:
            self.curves.add(event)
        if isinstance(event, Started):
            self.bar.setRange(0, FULL)
            self.status.emit(
                f"Training on {event.images} images on {event.device}"
                + (f"; {event.held_out} judge." if event.held_out else ".")
            )
        elif isinstance(event, Noted):
            self.status.emit(event.message)
        elif isinstance(event, Stepped | EpochEnded):
            self._advance(f"epoch {event.epoch}", event.seconds_left)
        elif isinstance(event, FoldStepped):
            self._advance(f"check {event.fold} of {event.folds}", event.seconds_left)

    def _advance(self, name: str, seconds_left: float) -> None:
        self.bar.setRange(0, FULL)
        self.bar.setFormat(f"{name}, {duration(seconds_left)} left at most")
        self.bar.setValue(self.training.part)

    def _on_ended(self) -> None:
        ending = self.training.take_ending()
        if ending is None:
            return  # another dock of this viewer has shown it
        self.bar.hide()
        self.run_ended.emit()
        run = self.training.run
        if ending.finished is not None:
            self.result.show_result(ending.finished, run)
        else:
            self.result.show_failure(ending, run, self.training.epoch)
        self.refresh()
        self.busy.emit(False)

    def outcome(self) -> tuple[QWidget, ...]:
        """The parts that show how a run ended; each may be hidden."""
        return self.result.parts


def _new_run(runs: Path) -> Path:
    name = datetime.now().strftime(TIME_FORMAT)
    run, number = runs / name, 1
    while run.exists():
        number += 1
        run = runs / f"{name}-{number}"
    return run.absolute()
