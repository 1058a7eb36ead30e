"""The box or line that is being dragged on napari's canvas."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QApplication, QRubberBand, QWidget

LINE_WIDTH = 2


class RubberBand:
    """Drawn by Qt above the canvas, so no layer is needed.

    Parameters
    ----------
    event : napari.utils.events.Event
        The press of a mouse button; without a Qt event behind it nothing is drawn.
    as_line : bool
        From the press to the mouse; else the box between them.
    """

    def __init__(self, event: Any, as_line: bool = False) -> None:
        self._band: QWidget | None = None
        native = getattr(event, "native", None)
        if native is None:
            return
        self._corner = _place(event)
        canvas = QApplication.widgetAt(native.globalPosition().toPoint())
        if canvas is not None:
            self._band = (
                _Line(canvas)
                if as_line
                else QRubberBand(QRubberBand.Shape.Rectangle, canvas)
            )

    def stretch(self, event: Any) -> None:
        """Draw it from the press to where the mouse is now."""
        if self._band is None:
            return
        one, other = self._corner, _place(event)
        if isinstance(self._band, _Line):
            self._band.draw(one, other)
        else:
            self._band.setGeometry(QRect(one, other).normalized())
        self._band.show()

    def remove(self) -> None:
        """Take it away."""
        if self._band is not None:
            self._band.hide()
            self._band.deleteLater()
            self._band = None


def _place(event: Any) -> QPoint:
    """Where on the canvas a mouse event is.

    Not from Qt's own event: napari holds moves back for a moment, until when Qt may
    have deleted it.
    """
    x, y = event.pos
    return QPoint(round(float(x)), round(float(y)))


class _Line(QWidget):
    """A straight line on a canvas; Qt's own rubber band has only level ones."""

    def __init__(self, canvas: QWidget) -> None:
        super().__init__(canvas)
        self.setObjectName("samsp_split_line")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.ends = QPoint(), QPoint()

    def draw(self, one: QPoint, other: QPoint) -> None:
        margin = LINE_WIDTH + 1
        box = QRect(one, other).normalized()
        self.setGeometry(box.adjusted(-margin, -margin, margin, margin))
        self.ends = one - self.pos(), other - self.pos()
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        # Seen on dark and on bright images.
        for color, width in (("black", LINE_WIDTH + 2), ("white", LINE_WIDTH)):
            painter.setPen(QPen(QColor(color), width))
            painter.drawLine(*self.ends)
        painter.end()
