"""How wide a typical object is: estimated, typed, or drawn across one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Shapes
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QSpinBox, QWidget

from napari_samsp.ui.placement import placement_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import napari

LAYER = "Object size"
LARGEST = 100_000
SHORTEST = 2
"""Pixels; a shorter line is a mere click."""


class ObjectSizeControl(QWidget):
    """A number of pixels, 0 for automatic, and a line that can be drawn instead.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer in which the line is drawn.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._image: Image | None = None
        self._layer: Shapes | None = None
        self.pixels = QSpinBox()
        self.pixels.setObjectName("samsp_object_size")
        self.pixels.setRange(0, LARGEST)
        self.pixels.setSpecialValueText("automatic")
        self.pixels.setSuffix(" px")
        self.pixels.setKeyboardTracking(False)
        self.pixels.setToolTip(
            "How wide a typical object is, in pixels of the image: the model looks as\n"
            "closely as that needs. Automatic: estimated from the image"
        )
        self.draw = QPushButton("Draw")
        self.draw.setObjectName("samsp_draw_object_size")
        self.draw.setCheckable(True)
        self.draw.setToolTip("Draw a line across a typical object: its length is taken")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.pixels, 1)
        row.addWidget(self.draw)
        self.draw.toggled.connect(self._on_draw)

    @property
    def object_size(self) -> float | None:
        """Width of a typical object in image pixels; None for automatic."""
        return float(self.pixels.value()) or None

    def show_layer(self, image: Image | None) -> None:
        """Measure lines on another image.

        Parameters
        ----------
        image : Image or None
            Image in whose pixels lines are measured.
        """
        if image is not self._image:
            self._image = image
            self.draw.setChecked(False)
        self.draw.setEnabled(image is not None)

    def _on_draw(self, wanted: bool) -> None:
        image = self._image
        if not wanted or image is None:
            self._remove()
            return
        layer = self._viewer.add_shapes(
            ndim=image.ndim,
            name=LAYER,
            edge_color="yellow",
            edge_width=2,
            **placement_of(image),
        )
        layer.mode = "add_line"
        # Its data change already when a drag begins.
        layer.mouse_drag_callbacks.append(self._on_drag)
        self._layer = layer

    def _on_drag(self, layer: Shapes, event: Any) -> Iterator[None]:
        yield
        while event.type == "mouse_move":
            yield
        # After napari's own callback, which needs its layer to the end.
        QTimer.singleShot(0, self._take)

    def _take(self) -> None:
        if self._layer is None or not len(self._layer.data):
            return
        start, end = self._layer.data[-1][0], self._layer.data[-1][-1]
        # In pixels of the image, also along the axes that another order shows.
        length = float(np.linalg.norm(np.asarray(end) - np.asarray(start)))
        if length < SHORTEST:
            self._layer.data = []  # a click, or a slip of the hand
            return
        self.pixels.setValue(round(length))
        self.draw.setChecked(False)

    def _remove(self) -> None:
        layer, self._layer = self._layer, None
        if layer is None:
            return
        if layer in self._viewer.layers:
            self._viewer.layers.remove(layer)
        if self._image is not None and self._image in self._viewer.layers:
            self._viewer.layers.selection.active = self._image
