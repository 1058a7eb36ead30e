"""The row of tools that correct by clicks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_samsp.ui.correct.click_tools import (
    ADD,
    ERASE,
    FIX,
    MERGE,
    SPLIT,
    ClickTools,
)

if TYPE_CHECKING:
    import napari

    from napari_samsp.ui.correct.click_tools import Surroundings

TIPS = {
    ADD: "Click a missed object, or drag a box round it.\n"
    "Enter or the next one accepts it, Escape takes it back.",
    FIX: "Click what belongs to an object; with the right button, or with Alt, what\n"
    "does not. Enter accepts the object, Escape takes it back.",
    SPLIT: "Click two places in an object that are two objects.",
    MERGE: "Click two objects that are one.",
    ERASE: "Click an object to remove it.",
}


class ClickRow(QWidget):
    """A button a tool, of which one at most is down, and what the tool says.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the user clicks.
    around : Surroundings
        The rest of the widget.
    """

    def __init__(self, viewer: napari.viewer.Viewer, around: Surroundings) -> None:
        super().__init__()
        self.tools = ClickTools(self, viewer, around)
        self.message = QLabel()
        self.message.setObjectName("samsp_click_message")
        self.message.setWordWrap(True)
        self.message.hide()
        self.buttons: dict[str, QPushButton] = {}
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        for tool, tip in TIPS.items():
            button = self.buttons[tool] = QPushButton(tool.capitalize())
            button.setObjectName(f"samsp_tool_{tool}")
            button.setToolTip(tip)
            button.setCheckable(True)
            # The canvas keeps the keys.
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            button.clicked.connect(
                lambda down, tool=tool: self.tools.switch(tool if down else "")
            )
            row.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.message)
        self.tools.said.connect(self._say)
        self.tools.switched.connect(self._show_tool)

    def _show_tool(self, now: str) -> None:
        for tool, button in self.buttons.items():
            button.setChecked(tool == now)
        if not now:
            self.message.hide()

    def _say(self, text: str) -> None:
        self.message.setText(text)
        self.message.show()
