"""Before and after as pictures, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from napari.qt.threading import create_worker
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QImage, QMouseEvent, QPixmap, QResizeEvent
from qtpy.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_samsp.data.judged_pictures import read_pictures
from napari_samsp.ui.widgets.plain_text import plain

if TYPE_CHECKING:
    from pathlib import Path

    from napari_samsp.data.judged_pictures import JudgedPicture

FOUND, WANTED = (255, 150, 0), (0, 230, 255)
"""Colours of what the model found and of what the user drew: orange and cyan, which
people who confuse red and green tell apart, and which show on dark and on bright."""
LEGEND = "Orange: found. Cyan: your labels. Press a picture to see both large."
LARGE = 1000
"""Width in pixels of the window that shows both."""


class Drawn(NamedTuple):
    """Two pictures of an image, ``(Y, X, 3)`` uint8."""

    name: str
    before: np.ndarray
    after: np.ndarray


def draw(picture: JudgedPicture) -> Drawn:
    """Draw the borders of labels onto an image.

    Parameters
    ----------
    picture : JudgedPicture
        The picture as it was read.

    Returns
    -------
    Drawn
        What was found over what the user drew.
    """
    from skimage.segmentation import find_boundaries

    def over(labels: np.ndarray) -> np.ndarray:
        out = picture.image.copy()
        out[find_boundaries(picture.mask, mode="inner")] = WANTED
        out[find_boundaries(labels, mode="inner")] = FOUND
        return out

    return Drawn(picture.name, over(picture.before), over(picture.after))


def drawn_pictures(run: Path) -> list[Drawn]:
    """Read and draw the pictures of a run; in a worker."""
    return [draw(picture) for picture in read_pictures(run)]


class Picture(QLabel):
    """A picture that is as wide as there is room for.

    Signals: ``pressed``.
    """

    pressed = Signal()

    def __init__(self, name: str = "") -> None:
        super().__init__()
        self.setObjectName(name)
        self.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignHCenter)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._whole = QPixmap()

    def show_pixels(self, pixels: np.ndarray) -> None:
        """Show ``(Y, X, 3)`` uint8."""
        height, width, _ = pixels.shape
        data = np.ascontiguousarray(pixels).tobytes()
        image = QImage(data, width, height, 3 * width, QImage.Format.Format_RGB888)
        self._whole = QPixmap.fromImage(image)  # copies the bytes
        self._fit()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Tell that the picture was pressed, with whichever button."""
        self.pressed.emit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Fit the picture into the new size."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if self._whole.isNull() or self.width() < 1:
            return
        ratio = self.devicePixelRatioF()
        scaled = self._whole.scaledToWidth(
            max(1, round(self.width() * ratio)),
            Qt.TransformationMode.SmoothTransformation,
        )
        scaled.setDevicePixelRatio(ratio)
        self.setPixmap(scaled)
        self.setFixedHeight(max(1, round(scaled.height() / ratio)))


class BeforeAfter(QWidget):
    """The images that judged a run, one at a time, before and after.

    Parameters
    ----------
    parent : QWidget, optional
        Widget that owns this one.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._drawn: list[Drawn] = []
        self._at = 0
        self._run: Path | None = None
        self.before = Picture("samsp_picture_before")
        self.after = Picture("samsp_picture_after")
        self.large: QDialog | None = None
        for picture in (self.before, self.after):
            picture.pressed.connect(self.enlarge)
        self.name = QElidingLabel()
        self.name.setObjectName("samsp_picture_name")
        self.previous_button, self.next_button = QPushButton("◀"), QPushButton("▶")
        for button, name, step, tip in (
            (self.previous_button, "samsp_picture_previous", -1, "The image before"),
            (self.next_button, "samsp_picture_next", 1, "The next image"),
        ):
            button.setObjectName(name)
            button.setToolTip(tip)
            button.setFixedWidth(32)
            button.clicked.connect(lambda _=False, step=step: self.go(step))
        self.legend = QLabel(LEGEND)
        self.legend.setWordWrap(True)  # or else it widens the dock
        self._lay_out()
        self.hide()

    def show_run(self, run: Path) -> None:
        """Read the pictures of a run, in the background, and show them."""
        self._run = run
        self._drawn = []
        self.hide()
        worker = create_worker(lambda: (run, drawn_pictures(run)))
        # A method, which Qt disconnects when the dock was closed meanwhile.
        worker.returned.connect(self._on_drawn)
        worker.start()

    def forget(self) -> None:
        """Show nothing any more."""
        self._run = None
        self.hide()

    def go(self, step: int) -> None:
        """Show another image.

        Parameters
        ----------
        step : int
            1 for the next one, -1 for the one before; after the last comes the first.
        """
        if self._drawn:
            self._at = (self._at + step) % len(self._drawn)
            self._show()

    def enlarge(self) -> None:
        """Show the image in a window of its own."""
        if not self._drawn:
            return
        one = self._drawn[self._at]
        large = self.large = QDialog(self)
        large.setObjectName("samsp_pictures_large")
        large.setWindowTitle(f"{one.name}: before and after")
        large.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        large.destroyed.connect(self._on_closed)
        before, after = Picture(), Picture()
        layout = QVBoxLayout(large)
        layout.addLayout(_beside(before, after))
        layout.addWidget(QLabel(LEGEND.partition(" Press")[0]))
        before.show_pixels(one.before)
        after.show_pixels(one.after)
        height, width, _ = one.before.shape
        large.resize(LARGE, layout.sizeHint().height() + LARGE // 2 * height // width)
        large.show()

    def _on_closed(self) -> None:
        self.large = None

    def _on_drawn(self, result: tuple[Path, list[Drawn]]) -> None:
        run, drawn = result
        if run == self._run and drawn:
            self._drawn, self._at = drawn, 0
            self.show()
            self._show()

    def _show(self) -> None:
        one = self._drawn[self._at]
        self.before.show_pixels(one.before)
        self.after.show_pixels(one.after)
        many = len(self._drawn) > 1
        place = f"{self._at + 1} of {len(self._drawn)}: " if many else ""
        self.name.setText(f"{place}{one.name}")
        self.name.setToolTip(plain(one.name))
        for button in (self.previous_button, self.next_button):
            button.setVisible(many)

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.addWidget(self.name, 1)
        head.addWidget(self.previous_button)
        head.addWidget(self.next_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(head)
        layout.addLayout(_beside(self.before, self.after))
        layout.addWidget(self.legend)


def _beside(before: Picture, after: Picture) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(4)
    for caption, picture in (("Before", before), ("After", after)):
        column = QVBoxLayout()
        column.setSpacing(2)
        column.addWidget(QLabel(caption))
        column.addWidget(picture)
        column.addStretch(1)
        row.addLayout(column, 1)
    return row
