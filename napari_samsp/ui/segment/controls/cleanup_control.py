"""Threshold, least size and holes: set before a run or after it."""

from __future__ import annotations

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QSpinBox, QWidget
from superqt import QLabeledDoubleSlider
from superqt.utils import signals_blocked

from napari_samsp.inference.cleanup import HIGHEST, LOWEST, Cleanup

LARGEST = 1_000_000
"""Largest least size offered, in pixels; `predict` takes larger ones."""


class CleanupControl(QObject):
    """Two rows of a form; emits ``changed`` when the user changed something.

    Parameters
    ----------
    parent : QObject
        Object that owns this one.

    Attributes
    ----------
    threshold, size_row : QWidget
        Threshold slider, and the row of least size and hole filling.
    """

    changed = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.threshold = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.threshold.setObjectName("samsp_threshold")
        self.threshold.setRange(LOWEST, HIGHEST)
        self.threshold.setDecimals(2)
        self.threshold.setSingleStep(0.01)  # type: ignore[arg-type]
        self.threshold.setPageStep(0.1)  # type: ignore[arg-type]
        self.threshold.setToolTip(
            "How probable a pixel must be to be labelled. Lower: what was found\n"
            "grows; higher: it shrinks; separate objects stay the same ones. 0.5 is\n"
            "as the model has it. Shown at once in a result of one slice"
        )
        self.min_size = QSpinBox()
        self.min_size.setObjectName("samsp_min_size")
        self.min_size.setRange(0, LARGEST)
        self.min_size.setSuffix(" px")
        self.min_size.setSpecialValueText("any size")
        self.min_size.setStepType(QSpinBox.StepType.AdaptiveDecimalStepType)
        self.min_size.setToolTip(
            "Smaller objects are removed, or smaller parts of a region: the area, in\n"
            "pixels"
        )
        self.fill_holes = QCheckBox("Fill holes")
        self.fill_holes.setObjectName("samsp_fill_holes")
        self.fill_holes.setToolTip("What an object encloses becomes part of it")
        self.size_row = QWidget()
        row = QHBoxLayout(self.size_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.min_size, 1)
        row.addWidget(self.fill_holes)
        self._show(Cleanup())
        self.threshold.valueChanged.connect(self.changed)
        self.min_size.valueChanged.connect(self.changed)
        self.fill_holes.toggled.connect(self.changed)

    @property
    def cleanup(self) -> Cleanup:
        """The threshold, least size and hole filling that are set."""
        return Cleanup(
            round(self.threshold.value(), 2),
            self.min_size.value(),
            self.fill_holes.isChecked(),
        )

    def show_cleanup(self, cleanup: Cleanup) -> None:
        """Set another cleanup; emits ``changed`` once if it differs.

        Parameters
        ----------
        cleanup : Cleanup
            As a project remembers it.
        """
        if cleanup != self.cleanup:
            self._show(cleanup)
            self.changed.emit()

    def _show(self, cleanup: Cleanup) -> None:
        with signals_blocked(self):
            self.threshold.setValue(cleanup.threshold)
            self.min_size.setValue(cleanup.min_size)
            self.fill_holes.setChecked(cleanup.fill_holes)
