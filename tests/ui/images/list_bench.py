"""What a user does with the image list, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_samsp.ui.commands import KEYS

if TYPE_CHECKING:
    from pathlib import Path

    from napari_samsp.ui.images.image_list import State

WORK_MS = 120_000
LEFT = Qt.MouseButton.LeftButton


class Bench:
    """Counts what a user does."""

    def __init__(self, viewer, widget, qtbot, monkeypatch) -> None:
        self.viewer, self.widget, self.qtbot = viewer, widget, qtbot
        self.monkeypatch = monkeypatch
        self.control = widget.images.control
        self.canvas = viewer.window._qt_viewer.canvas.native
        self.actions = 0
        widget.segmenting.iterations.setValue(2)

    def wait(self, condition) -> None:
        self.qtbot.waitUntil(condition, timeout=WORK_MS)

    def click(self, name: str) -> None:
        button = self.widget.findChild(QPushButton, name)
        assert button.isEnabled(), name
        assert button.isVisibleTo(self.widget), name
        self.widget._scroll.ensureWidgetVisible(button)
        self.actions += 1
        self.qtbot.mouseClick(button, LEFT)

    def key(self, name: str) -> None:
        letter = KEYS[name].removeprefix("Shift-")
        self.actions += 1
        self.qtbot.keyClick(
            self.canvas,
            getattr(Qt.Key, f"Key_{letter}"),
            Qt.KeyboardModifier.ShiftModifier,
        )

    def open_folder(self, folder: Path) -> None:
        """The dialog of the system cannot be clicked: one more action stands for it."""
        self.monkeypatch.setattr(
            QFileDialog, "getExistingDirectory", lambda *_: str(folder)
        )
        self.actions += 1
        self.click("samsp_open_folder")
        self.wait(lambda: self.control.place == str(folder))

    def save_table(self, path: Path) -> None:
        self.monkeypatch.setattr(
            QFileDialog, "getSaveFileName", lambda *_: (str(path), "CSV (*.csv)")
        )
        self.actions += 1
        self.click("samsp_save_all")
        self.wait(lambda: self.said.startswith("Saved"))

    @property
    def said(self) -> str:
        return self.widget.images.message.text()

    @property
    def names(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers]

    def at(self, name: str) -> None:
        """Wait until an image is shown with its labels."""
        shown = [name, f"SAM-SP 1 · {name}"]
        self.wait(lambda: [n for n in self.names if n != "mine"] == shown)

    def ahead(self) -> None:
        self.wait(lambda: self.control.ahead.is_ready)

    def states(self) -> list[State]:
        return [entry.state for entry in self.control.images.entries]

    @property
    def labels(self):
        return self.viewer.layers[-1]
