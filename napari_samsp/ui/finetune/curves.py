"""Live curves of a training run: the loss, and the Dice of every iteration."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_samsp.train.events import EpochEnded, Event, Started, Stepped

LINE_COLOURS = ("#56a0e8", "#e69f00", "#2fb67c", "#d55e9c", "#b08ae0", "#c9a227")
"""Colours of iterations 0, 1, ...; distinct on dark and on light backgrounds."""
LEFT, RIGHT, TOP, BOTTOM = 42, 10, 28, 18
TITLE = 18
TICKS = 3


@dataclass
class _Chart:
    title: str
    lines: list[list[QPointF]] = field(default_factory=list)

    def value_range(self) -> tuple[float, float]:
        values = [point.y() for line in self.lines for point in line]
        if not values:
            return 0.0, 1.0
        low, high = min(values), max(values)
        margin = max(0.05 * (high - low), 0.005)
        return max(0.0, low - margin), high + margin


class Curves(QWidget):
    """Draws what the trainer reports; the horizontal axis counts epochs.

    Parameters
    ----------
    parent : QWidget, optional
        Widget that owns this one.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("samsp_curves")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Loss: how far what is found is from your corrections.\n"
            "Dice: how well two areas agree, from 0 to 1; 1 is the same.\n"
            "Epoch: one pass over all corrections."
        )
        self._held_out = True
        self.clear()

    def sizeHint(self) -> QSize:
        """Room for two charts, one above the other."""
        return QSize(300, 280)

    def minimumSizeHint(self) -> QSize:
        """Both charts can still be read."""
        return QSize(220, 280)

    def clear(self) -> None:
        """Remove the curves of the run that was shown."""
        self.loss = _Chart("Loss", [[], []])
        self.dice = _Chart("Dice")
        self._last = 1.0
        self.update()

    def add(self, event: Event) -> None:
        """Add the figures of an event.

        Parameters
        ----------
        event : Event
            Events without figures are ignored.
        """
        if isinstance(event, Started):
            self.clear()
            judged = "images not learnt from" if event.held_out else "training images"
            self.dice.title = f"Dice, {judged}"
            self.dice.lines = [[QPointF(0, d)] for d in event.before.dice]
        elif isinstance(event, Stepped):
            at = event.epoch - 1 + event.step / max(event.steps, 1)
            self._put(self.loss.lines[0], at, event.loss)
        elif isinstance(event, EpochEnded):
            self._put(self.loss.lines[1], event.epoch, event.loss)
            while len(self.dice.lines) < len(event.dice):
                self.dice.lines.append([])
            if event.judged:
                for line, value in zip(self.dice.lines, event.dice, strict=False):
                    self._put(line, event.epoch, value)
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw both charts."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        height = self.height() / 2
        text = self.palette().color(self.foregroundRole())
        faint = QColor(text)
        faint.setAlpha(110)
        accent = [faint, QColor(LINE_COLOURS[0])]
        self._draw(painter, self.loss, QRectF(0, 0, self.width(), height), accent, "")
        self._draw(
            painter,
            self.dice,
            QRectF(0, height, self.width(), height),
            [QColor(c) for c in LINE_COLOURS],
            "round",
        )
        painter.end()

    def _put(self, line: list[QPointF], at: float, value: float) -> None:
        if math.isfinite(value):
            line.append(QPointF(at, value))
            self._last = max(self._last, at)

    def _draw(
        self,
        painter: QPainter,
        chart: _Chart,
        area: QRectF,
        colours: list[QColor],
        legend: str,
    ) -> None:
        text = self.palette().color(self.foregroundRole())
        frame = area.adjusted(LEFT, TOP, -RIGHT, -BOTTOM)
        low, high = chart.value_range()
        painter.setPen(text)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(
            QRectF(area.left() + 2, area.top(), area.width(), TITLE),
            Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter,
            chart.title,
        )
        grid = QColor(text)
        grid.setAlpha(60)
        for tick in range(TICKS):
            value = low + (high - low) * tick / (TICKS - 1)
            y = frame.bottom() - frame.height() * tick / (TICKS - 1)
            painter.setPen(grid)
            painter.drawLine(QPointF(frame.left(), y), QPointF(frame.right(), y))
            painter.setPen(text)
            painter.drawText(QRectF(0, y - 8, LEFT - 5, 16), right, f"{value:.2f}")
        below = QRectF(frame.left(), frame.bottom() + 1, frame.width(), BOTTOM - 2)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, "0")
        painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, "epoch")
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, f"{math.ceil(self._last)}")
        scale = QPointF(frame.width() / self._last, frame.height() / (high - low))
        painter.save()
        painter.setClipRect(frame.adjusted(-3, -3, 3, 3))
        for n, line in enumerate(chart.lines):
            points = [
                QPointF(
                    frame.left() + p.x() * scale.x(),
                    frame.bottom() - (p.y() - low) * scale.y(),
                )
                for p in line
            ]
            painter.setPen(QPen(colours[n % len(colours)], 1.6))
            if len(points) == 1:
                painter.drawEllipse(points[0], 2, 2)
            painter.drawPolyline(QPolygonF(points))
        painter.restore()
        if legend:
            self._draw_legend(painter, chart, area, colours, legend)

    def _draw_legend(
        self,
        painter: QPainter,
        chart: _Chart,
        area: QRectF,
        colours: list[QColor],
        legend: str,
    ) -> None:
        x = area.right() - RIGHT
        middle = Qt.AlignmentFlag.AlignVCenter
        for n in reversed(range(len(chart.lines))):
            words = f"{legend} {n}" if n == 0 else str(n)
            width = painter.fontMetrics().horizontalAdvance(words)
            x -= width
            painter.setPen(self.palette().color(self.foregroundRole()))
            painter.drawText(QRectF(x, area.top(), width + 2, TITLE), middle, words)
            x -= 16
            painter.setPen(QPen(colours[n % len(colours)], 2.5))
            y = area.top() + TITLE / 2
            painter.drawLine(QPointF(x, y), QPointF(x + 11, y))
            x -= 8
