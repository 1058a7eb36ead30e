"""The box that is being dragged on napari's canvas."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QPoint, QRect
from qtpy.QtWidgets import QApplication, QRubberBand


class RubberBand:
    """Drawn by Qt above the canvas, so no layer is needed.

    Parameters
    ----------
    event : napari.utils.events.Event
        The press of a mouse button; without a Qt event behind it nothing is drawn.
    """

    def __init__(self, event: Any) -> None:
        self._band: QRubberBand | None = None
        native = getattr(event, "native", None)
        if native is None:
            return
        self._corner: QPoint = native.globalPosition().toPoint()
        canvas = QApplication.widgetAt(self._corner)
        if canvas is not None:
            self._band = QRubberBand(QRubberBand.Shape.Rectangle, canvas)

    def stretch(self, event: Any) -> None:
        """Draw it from the press to where the mouse is now."""
        native = getattr(event, "native", None)
        if self._band is None or native is None:
            return
        canvas = self._band.parentWidget()
        corners = (self._corner, native.globalPosition().toPoint())
        one, other = (canvas.mapFromGlobal(corner) for corner in corners)
        self._band.setGeometry(QRect(one, other).normalized())
        self._band.show()

    def remove(self) -> None:
        """Take it away."""
        if self._band is not None:
            self._band.hide()
            self._band.deleteLater()
            self._band = None
