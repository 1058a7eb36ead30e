"""The settings of a fine-tuning run that the widget shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QSpinBox,
    QWidget,
)

from napari_samsp.data.training_sets.classes import CLASSES_FILE
from napari_samsp.train.config import SPEEDS, TrainConfig, option_help

if TYPE_CHECKING:
    from pathlib import Path

    from napari_samsp.data.rgb import Scaling

DEFAULT_MINUTES = 5.0
SPEED_CHOICES = {
    "auto": ("What fits the time", "As much of the model as can learn in the time."),
    "decoder": ("Decoder only", SPEEDS["decoder"]),
    "last-blocks": ("Decoder and last blocks", SPEEDS["last-blocks"]),
    "everywhere": ("Decoder and all blocks", SPEEDS["everywhere"]),
}
"""What is trained: a setting's value, its name in the list, and the line below it."""


class TrainingSettings(QWidget):
    """Epochs, minutes, what is trained, mode, and where to start from.

    Parameters
    ----------
    parent : QWidget, optional
        Widget that owns this one.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.minutes = QDoubleSpinBox()
        self.minutes.setObjectName("samsp_minutes")
        self.minutes.setRange(0, 10_000)
        self.minutes.setDecimals(1)
        self.minutes.setValue(DEFAULT_MINUTES)
        self.minutes.setSpecialValueText("no limit")
        self.minutes.setToolTip(option_help("minutes"))
        self.epochs = QSpinBox()
        self.epochs.setObjectName("samsp_epochs")
        self.epochs.setRange(0, 100_000)
        self.epochs.setSpecialValueText("what fits")
        self.epochs.setValue(TrainConfig().epochs)
        self.epochs.setToolTip(
            f"{option_help('epochs')}\nAn epoch is one pass over all corrections."
        )
        self.speed = QComboBox()
        self.speed.setObjectName("samsp_speed")
        for value, (name, _) in SPEED_CHOICES.items():
            self.speed.addItem(name, value)
        self.speed.setToolTip(option_help("speed"))
        self.speed_line = QLabel()
        self.speed_line.setObjectName("samsp_speed_line")
        self.speed_line.setWordWrap(True)
        self.speed.currentIndexChanged.connect(self._explain_speed)
        self._explain_speed()
        self.objects = QCheckBox("Separate objects (cells, nuclei)")
        self.objects.setObjectName("samsp_train_objects")
        self.objects.setToolTip(option_help("objects") + "; follows step 1")
        self.continuing = QCheckBox("Continue from the selected adapter")
        self.continuing.setObjectName("samsp_continue")
        self.continuing.setToolTip(
            "Off: start from the base model and learn all corrections, which forgets "
            "nothing."
        )
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Minutes", self.minutes)
        form.addRow("Epochs", self.epochs)
        form.addRow("Train", self.speed)
        form.addRow(self.speed_line)
        form.addRow(self.objects)
        form.addRow(self.continuing)

    def _explain_speed(self) -> None:
        self.speed_line.setText(SPEED_CHOICES[self.speed.currentData()][1])

    def arguments(
        self,
        training_set: Path,
        run: Path,
        model: str,
        adapter: Path | None,
        scaling: Scaling,
    ) -> list[str]:
        """Spell the run as the trainer's command line.

        Parameters
        ----------
        training_set, run : Path
            Input and output. A set that names classes teaches them.
        model : str
            Name or file of the base model.
        adapter : Path or None
            The selected one; used only if the user wants to continue from it.
        scaling : Scaling
            How intensities become 8 bits.

        Returns
        -------
        list of str
            After ``python -m napari_samsp.train``.
        """
        arguments = [str(training_set), "--output", str(run), "--model", model]
        # napari stays quick while it trains.
        arguments += ["--threads=-1"]
        arguments += ["--scaling", str(scaling)]
        arguments += ["--epochs", str(self.epochs.value())]
        arguments += ["--minutes", f"{self.minutes.value():g}"]
        arguments += ["--speed", self.speed.currentData()]
        arguments += ["--objects" if self.objects.isChecked() else "--no-objects"]
        if (training_set / CLASSES_FILE).is_file():
            arguments.append("--classes")
        if self.continuing.isChecked() and adapter is not None:
            arguments += ["--adapter", str(adapter)]
        return arguments
