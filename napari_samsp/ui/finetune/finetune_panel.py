"""Step 3: fine-tune on what was kept."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

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
    Finished,
    FoldStepped,
    Noted,
    Started,
    Stepped,
)
from napari_samsp.ui.finetune.curves import Curves
from napari_samsp.ui.finetune.figures_table import FiguresTable
from napari_samsp.ui.finetune.training import FULL
from napari_samsp.ui.finetune.training_settings import TrainingSettings
from napari_samsp.ui.widgets.plain_text import show_error, show_info
from napari_samsp.ui.widgets.time_left import duration
from napari_samsp.utils.errors import InputError, in_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_samsp.data.rgb import Scaling
    from napari_samsp.data.training_sets.training_set import TrainingSet
    from napari_samsp.ui.finetune.trainer_process import Ending
    from napari_samsp.ui.finetune.training import Training


class FinetunePanel(QWidget):
    """Starts the viewer's training and shows what it reports.

    Signals: ``status`` (a line for the widget's foot), ``busy`` (whether it trains),
    ``adapter_ready`` (the folder of an adapter that is to be used from now on, or None
    for none) and ``run_ended`` (whatever came of it).

    Parameters
    ----------
    training : Training
        The viewer's; may be at work already.
    training_set : callable
        Gives the correction set.
    model : callable
        Gives the name of the base model.
    adapter : callable
        Gives the folder of the selected adapter, or None.
    scaling : callable
        Gives the intensity scaling that step 1 shows.

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
        training_set: Callable[[], TrainingSet],
        model: Callable[[], str],
        adapter: Callable[[], Path | None],
        scaling: Callable[[], Scaling],
    ) -> None:
        super().__init__()
        self._training_set, self._model, self._adapter = training_set, model, adapter
        self._scaling = scaling
        self._result: Path | None = None
        self._before: Path | None = None
        self.runs = default_project().adapters
        self.training = training
        self.process = training.process
        forget = training.listen(self._on_event, self._on_ended)
        self.destroyed.connect(lambda: forget())

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
        self.message = QLabel()
        self.message.setObjectName("samsp_train_message")
        self.message.setWordWrap(True)
        self.figures = FiguresTable()
        self.use_button = QPushButton("Use it anyway")
        self.use_button.setObjectName("samsp_use_anyway")
        self.back_button = QPushButton("Go back to the one before")
        self.back_button.setObjectName("samsp_go_back")
        self.back_button.setToolTip("Segment with what was in use before this training")
        self.resume_button = QPushButton()
        self.resume_button.setObjectName("samsp_resume")
        self.resume_button.setToolTip(
            "Goes on with the same run, from what it had written after its last epoch"
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (
            self.count, self.collapsible, self.button, self.bar, self.curves,
            self.message, self.figures, self.use_button, self.back_button,
            self.resume_button,
        ):  # fmt: skip
            layout.addWidget(widget)
        for hidden in (self.bar, self.curves, *self.outcome()):
            hidden.hide()
        self.button.clicked.connect(self.start)
        self.use_button.clicked.connect(self._use_anyway)
        self.back_button.clicked.connect(self._go_back)
        self.resume_button.clicked.connect(self.resume)
        self.refresh()

    def refresh(self) -> None:
        """Count the corrections again."""
        try:
            n = len(self._training_set().samples())
        except (InputError, OSError) as error:
            self.count.setText(in_words(error))
            self.button.setEnabled(False)
            return
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
            text = f"{n} corrections; one in five is held out to judge by."
        self.count.setText(text)
        self.button.setEnabled(n > 0 and not self.process.running)

    def start(self) -> None:
        """Start a run on the correction set."""
        if self.process.running:
            return
        run = _new_run(self.runs)
        try:
            scaling = self._scaling()
        except InputError as error:
            self._tell(str(error))
            return
        try:
            run.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._tell(
                f"The folder for training runs cannot be made: {in_words(error)}"
            )
            return
        arguments = self.settings.arguments(
            self._training_set().folder.resolve(),
            run,
            self._model(),
            self._adapter(),
            scaling,
        )
        self.curves.clear()
        self._find_window()
        self.training.start(arguments, run)
        self._show_running("Loading the model and the corrections…")

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
        self._result = None
        self.curves.show()
        self.bar.setRange(0, 0)
        self.bar.setFormat("Loading…")
        self.bar.show()
        for old in self.outcome():
            old.hide()
        self.refresh()
        self.busy.emit(True)
        self.status.emit(line)

    def stop(self) -> None:
        """Ask for the adapter so far."""
        self.process.stop()
        self.status.emit("Stopping: the adapter so far is kept…")

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
        if ending.finished is not None:
            self._show_result(ending.finished)
        else:
            self._show_failure(ending)
        self.refresh()
        self.busy.emit(False)

    def _show_result(self, finished: Finished) -> None:
        self._result = Path(finished.adapter)
        self.figures.show_figures(finished)
        self.figures.show()
        before, after = finished.before, finished.after
        gain = f"Dice {before.dice[-1]:.3f} → {after.dice[-1]:.3f}"
        if before.ap50 and after.ap50:
            # With objects they decide as well: Dice alone may seem to say otherwise.
            gain += f", AP at 0.5 {before.ap50[-1]:.3f} → {after.ap50[-1]:.3f}"
        ended = {
            "stopped": "Stopped. ",
            "minutes": "The time is over. ",
            "early stop": "Stopped early: no further improvement. ",
        }.get(finished.reason, "Done. ")
        if finished.better:
            self._tell(f"{ended}{gain}: better. The new adapter is in use.")
            self._use(self._result)
        elif finished.better is None:
            of = "too few images" if finished.held_out else "the images trained on"
            self._tell(
                f"{ended}{gain}, by {of}, which cannot tell whether others gain. "
                "The new adapter is in use: Segment another image and look. "
                "If it is worse, go back."
            )
            self._use(self._result)
        else:
            self._tell(f"{ended}{gain}: not better, so what you had stays in use.")
            self.use_button.show()
        show_info(f"SAM-SP fine-tuning: {gain}")

    def _show_failure(self, ending: Ending) -> None:
        text = ending.reason
        run, epoch = self.training.run, self.training.epoch
        if run is not None and (run / "adapter" / "samsp.json").is_file():
            text += " The adapter until then is kept and can be chosen in step 1."
        if epoch:
            self.resume_button.setText(f"Continue after epoch {epoch}")
            self.resume_button.show()
        self._tell(text)
        show_error(text)
        if ending.log:
            self.message.setText(f"{text}\n\n{ending.log}")

    def outcome(self) -> tuple[QWidget, ...]:
        """The parts that show how a run ended; each may be hidden."""
        return (
            self.message, self.figures, self.use_button, self.back_button,
            self.resume_button,
        )  # fmt: skip

    def _use_anyway(self) -> None:
        if self._result is not None:
            self.use_button.hide()
            self._use(self._result)

    def _use(self, adapter: Path) -> None:
        self._before = self._adapter()
        self.back_button.show()
        self.adapter_ready.emit(adapter)

    def _go_back(self) -> None:
        self.back_button.hide()
        self.use_button.show()
        self.adapter_ready.emit(self._before)

    def _tell(self, text: str) -> None:
        self.message.setText(text)
        self.message.show()
        self.status.emit("")


def _new_run(runs: Path) -> Path:
    name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    run, number = runs / name, 1
    while run.exists():
        number += 1
        run = runs / f"{name}-{number}"
    return run.absolute()
