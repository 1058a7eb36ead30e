"""How the intensities of the image become what the model reads."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QSizePolicy,
    QWidget,
)
from superqt import QCollapsible

from napari_samsp.data.rgb import Scaling
from napari_samsp.ui.segment.controls.axis_choosers import compact_combo
from napari_samsp.ui.widgets.ties import Ties
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from napari.layers import Image

CONTRAST = "contrast"
KINDS = {
    "percentile": "Percentiles",
    CONTRAST: "Layer's contrast limits",
    "limits": "Fixed limits",
    "none": "None (8-bit as it is)",
}
FARTHEST = 1e12
"""Largest absolute value of a limit."""


class ScalingControl(QCollapsible):
    """One line when it is folded; emits ``edited``.

    Parameters
    ----------
    parent : QWidget, optional
        Widget that owns this one.
    """

    edited = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("", parent, expandedIcon="▼", collapsedIcon="▶")
        self.setObjectName("samsp_scaling")
        self._layer: Image | None = None
        self._own: str | None = None
        self._trained: Scaling | None = None
        self.kind = compact_combo(
            "samsp_scaling_kind",
            "What becomes black and white for the model.\n"
            "Percentiles: of the image's own intensities",
        )
        for key, text in KINDS.items():
            self.kind.addItem(text, key)
        self.low, self.high = QDoubleSpinBox(), QDoubleSpinBox()
        for box, name in ((self.low, "low"), (self.high, "high")):
            box.setObjectName(f"samsp_scaling_{name}")
            box.setKeyboardTracking(False)
            box.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
            # Its widest number would widen the dock.
            box.setMinimumWidth(60)
            box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            box.valueChanged.connect(self._on_edit)
        self.same = QCheckBox("Same limits for all slices")
        self.same.setObjectName("samsp_same_limits")
        self.same.setToolTip(
            "On: percentiles of the whole stack. Off: of each slice by itself,\n"
            "for instance where a series bleaches"
        )
        self.same.setChecked(True)
        self.note = QLabel()
        self.note.setWordWrap(True)
        content = QWidget()
        grid = QGridLayout(content)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.kind, 0, 0, 1, 2)
        grid.addWidget(self.low, 1, 0)
        grid.addWidget(self.high, 1, 1)
        grid.addWidget(self.same, 2, 0, 1, 2)
        grid.addWidget(self.note, 3, 0, 1, 2)
        self.setContent(content)
        self.collapse(animate=False)
        frame = self.layout()
        if frame is not None:
            frame.setContentsMargins(0, 0, 0, 0)
            frame.setSpacing(0)
        self.kind.currentIndexChanged.connect(self._on_kind)
        self.same.toggled.connect(self._on_edit)
        self._ties = Ties(self)
        self.show_scaling(Scaling())

    @property
    def choice(self) -> str:
        """What is chosen, for `show_choice`."""
        return CONTRAST if self.kind.currentData() == CONTRAST else str(self.scaling)

    @property
    def scaling(self) -> Scaling:
        """What is chosen, in numbers.

        Raises
        ------
        InputError
            If the lower limit is not below the upper.
        """
        kind = self.kind.currentData()
        if kind == "none":
            return Scaling("none")
        low, high = self.low.value(), self.high.value()
        if kind == "percentile":
            return Scaling("percentile", low, high)
        if kind == CONTRAST and self._layer is not None:
            low, high = self._layer.contrast_limits
        return Scaling("limits", float(low), float(high))

    def show_choice(self, text: str) -> None:
        """Choose what was remembered; what makes no sense is left out.

        Parameters
        ----------
        text : str
            What `choice` gave.
        """
        if text == CONTRAST:
            self.kind.setCurrentIndex(self.kind.findData(CONTRAST))
            return
        with suppress(InputError):
            self.show_scaling(Scaling.parse(text))

    def show_scaling(self, scaling: Scaling) -> None:
        """Show a scaling as the chosen one.

        Parameters
        ----------
        scaling : Scaling
            How intensities become 8 bits.
        """
        blocked = self.blockSignals(True)
        self.kind.setCurrentIndex(self.kind.findData(scaling.kind))
        self._set_range()
        for box, value in ((self.low, scaling.low), (self.high, scaling.high)):
            inner = box.blockSignals(True)
            box.setValue(value)
            box.blockSignals(inner)
        self.blockSignals(blocked)
        self._on_edit()

    def show_adapter(self, trained: Scaling | None) -> None:
        """Choose what an adapter was trained with, or again what was chosen before it.

        Parameters
        ----------
        trained : Scaling or None
            None without an adapter.
        """
        if self._trained is None:
            self._own = self.choice_or_none()
        self._trained = trained
        if trained is not None:
            self.show_scaling(trained)
        elif self._own is not None:
            self.show_choice(self._own)
        self._on_edit()

    def choice_or_none(self) -> str | None:
        """As `choice`; None if what is chosen makes no sense."""
        try:
            return self.choice
        except InputError:
            return None

    def show_layer(self, layer: Image | None, is_stack: bool) -> None:
        """Offer the contrast limits of another image.

        Parameters
        ----------
        layer : Image or None
            Layer whose contrast limits can be taken over.
        is_stack : bool
            Whether several slices are to be segmented.
        """
        if layer is not self._layer:
            self._ties.cut()
            self._layer = layer
            if layer is not None:
                limits = layer.events.contrast_limits
                self._ties.connect(limits, self._follow_contrast)
        self.same.setEnabled(is_stack)
        self._follow_contrast()

    def _follow_contrast(self, _event: Any = None) -> None:
        if self.kind.currentData() == CONTRAST and self._layer is not None:
            for box, value in zip(
                (self.low, self.high), self._layer.contrast_limits, strict=True
            ):
                blocked = box.blockSignals(True)
                box.setValue(float(value))
                box.blockSignals(blocked)
        self._explain()

    def _set_range(self) -> None:
        percent = self.kind.currentData() == "percentile"
        for box in (self.low, self.high):
            blocked = box.blockSignals(True)
            box.setDecimals(2 if percent else 4)
            box.setRange(0 if percent else -FARTHEST, 100 if percent else FARTHEST)
            box.setSuffix(" %" if percent else "")
            box.blockSignals(blocked)

    def _on_kind(self, _index: int) -> None:
        self._set_range()
        kind = self.kind.currentData()
        if kind == "percentile":
            start = Scaling()
            limits: tuple[float, float] | None = (start.low, start.high)
        elif kind != "none" and self._layer is not None:
            low, high = self._layer.contrast_limits
            limits = float(low), float(high)
        else:
            limits = None
        if limits is not None:
            for box, value in zip((self.low, self.high), limits, strict=True):
                blocked = box.blockSignals(True)
                box.setValue(value)
                box.blockSignals(blocked)
        self._on_edit()

    def _on_edit(self, *_: Any) -> None:
        self._explain()
        self.edited.emit()

    def _explain(self) -> None:
        kind = self.kind.currentData()
        for box in (self.low, self.high):
            box.setVisible(kind != "none")
            box.setEnabled(kind != CONTRAST)
        self.same.setVisible(kind == "percentile")
        try:
            chosen = self.scaling
            self.setText(f"Intensity: {_words(chosen, kind)}")
            note = ""
        except InputError as error:
            chosen, note = None, str(error)
        if chosen is not None and self._trained not in (None, chosen):
            trained = _words(self._trained, self._trained.kind)
            note = f"The adapter was trained with {trained}."
        self.note.setText(note)
        self.note.setVisible(bool(note))


def _words(scaling: Scaling, kind: str) -> str:
    if kind == "none":
        return "8-bit as it is"
    numbers = f"{scaling.low:g} to {scaling.high:g}"
    if kind == "percentile":
        return f"{numbers} %"
    return f"{numbers} (contrast)" if kind == CONTRAST else numbers
