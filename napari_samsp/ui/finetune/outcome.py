"""How a run ended: figures, pictures, and which adapter is used from now on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from napari_samsp.ui.finetune.before_after import BeforeAfter
from napari_samsp.ui.finetune.figures_table import FiguresTable
from napari_samsp.ui.widgets.plain_text import show_error, show_info

if TYPE_CHECKING:
    from napari_samsp.train.events import Finished
    from napari_samsp.ui.finetune.trainer_process import Ending
    from napari_samsp.ui.session import Session

ENDED = {
    "stopped": "Stopped. ",
    "minutes": "The time is over. ",
    "early stop": "Stopped early: no further improvement. ",
}

OTHER_CORRECTIONS = (
    "The corrections have changed since, so that it cannot go on: press Fine-tune to "
    "learn from what you have now."
)


class Outcome(QWidget):
    """Shows a run's end; its parts are hidden until there is one.

    Signals: ``told`` (a message is shown), ``adapter_ready`` (the folder of an adapter
    that is to be used from now on, or None for none).

    Parameters
    ----------
    session : Session
        Its adapter is the one to go back to.
    """

    told = Signal()
    adapter_ready = Signal(object)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._result: Path | None = None
        self._before: Path | None = None
        self._failure, self._can_go_on = "", False
        self.message = QLabel()
        self.message.setObjectName("samsp_train_message")
        self.message.setWordWrap(True)
        self.figures = FiguresTable()
        self.pictures = BeforeAfter()
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
        for part in self.parts:
            layout.addWidget(part)
        self.clear()
        self.use_button.clicked.connect(self._use_anyway)
        self.back_button.clicked.connect(self._go_back)

    @property
    def parts(self) -> tuple[QWidget, ...]:
        """What it shows, from above; each may be hidden."""
        return (
            self.message, self.figures, self.pictures, self.use_button,
            self.back_button, self.resume_button,
        )  # fmt: skip

    def clear(self) -> None:
        """Show nothing any more."""
        self._result, self._can_go_on = None, False
        self.pictures.forget()
        for part in self.parts:
            part.hide()

    def tell(self, text: str) -> None:
        """Show a message below the figures."""
        self.message.setText(text)
        self.message.show()
        self.told.emit()

    def show_result(self, finished: Finished, run: Path | None) -> None:
        """Show what a run gained, and use its adapter unless it is no better.

        Parameters
        ----------
        finished : Finished
            The trainer's last word.
        run : Path or None
            The run's folder.
        """
        self._result = Path(finished.adapter)
        self.figures.show_figures(finished)
        self.figures.show()
        if run is not None:
            self.pictures.show_run(run)
        before, after = finished.before, finished.after
        gain = f"Dice {before.dice[-1]:.3f} → {after.dice[-1]:.3f}"
        if before.ap50 and after.ap50:
            # With objects they decide as well: Dice alone may seem to say otherwise.
            gain += f", AP at 0.5 {before.ap50[-1]:.3f} → {after.ap50[-1]:.3f}"
        ended = ENDED.get(finished.reason, "Done. ")
        if finished.better:
            self.tell(f"{ended}{gain}: better. The new adapter is in use.")
            self._use(self._result)
        elif finished.better is None:
            of = "too few images" if finished.held_out else "the images trained on"
            self.tell(
                f"{ended}{gain}, by {of}, which cannot tell whether others gain. "
                "The new adapter is in use: Segment another image and look. "
                "If it is worse, go back."
            )
            self._use(self._result)
        else:
            self.tell(f"{ended}{gain}: not better, so what you had stays in use.")
            self.use_button.show()
        show_info(f"SAM-SP fine-tuning: {gain}")

    def show_failure(self, ending: Ending, run: Path | None, epoch: int) -> None:
        """Say why a run gave no result, and offer to go on with it.

        Parameters
        ----------
        ending : Ending
            How the trainer ended.
        run : Path or None
            The run's folder.
        epoch : int
            The last one that is complete; 0 if there is none.
        """
        text = ending.reason
        if ending.stopped and epoch:
            text = f"Stopped. What was learnt since epoch {epoch} is lost."
        elif ending.stopped:
            text = "Stopped before the first epoch had ended: nothing has changed."
        if run is not None and (run / "adapter" / "samsp.json").is_file():
            text += " The adapter until then is kept and can be chosen in step 1."
        self._failure = text
        if ending.stopped:
            show_info(f"SAM-SP fine-tuning: {text}")
        else:
            show_error(text)
            if ending.log and " ".join(ending.log.split()) != ending.reason:
                self._failure += f"\n\n{ending.log}\n\n"
        if epoch:
            self._can_go_on = True
            self.resume_button.setText(f"Continue after epoch {epoch}")
            self.resume_button.show()
        self.tell(self._failure)

    def offer_to_go_on(self, possible: bool) -> None:
        """Offer a run that died to be gone on with, or say what to do instead.

        Parameters
        ----------
        possible : bool
            Whether the corrections are those that it began with.
        """
        if not self._can_go_on:
            return
        text = "" if possible else f" {OTHER_CORRECTIONS}"
        self.resume_button.setVisible(possible)
        self.message.setText(self._failure + text)

    def _use_anyway(self) -> None:
        if self._result is not None:
            self.use_button.hide()
            self._use(self._result)

    def _use(self, adapter: Path) -> None:
        self._before = self._session.adapter
        self.back_button.show()
        self.adapter_ready.emit(adapter)

    def _go_back(self) -> None:
        self.back_button.hide()
        self.use_button.show()
        self.adapter_ready.emit(self._before)
