"""The row of tools that correct by clicks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_samsp.ui.correct.clicks.slices import Slices
from napari_samsp.ui.correct.clicks.toolbox import ADD, ERASE, FIND, FIX, MERGE, SPLIT
from napari_samsp.ui.correct.clicks.tools import ClickTools
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    import napari

    from napari_samsp.ui.correct.clicks.toolbox import Surroundings

FOLLOW, STOP = "Propagate through the slices", "Stop"
TIPS = {
    ADD: "Click a missed object, or drag a box round it.\n"
    "Enter or the next one accepts it, Escape takes it back.",
    FIX: "Click what belongs to an object; with the right button, or with Alt, what\n"
    "does not. Enter accepts the object, Escape takes it back.",
    SPLIT: "Drag a line through an object that is really two, or click both of them.",
    MERGE: "Click two objects that are one.",
    ERASE: "Click an object to remove it.",
    FIND: "Click an object, labelled or not: all that are like it, and not labelled\n"
    "yet, are added. Escape stops it, and once more takes them back.",
}
NARROW = "min-width: 44px; padding-left: 2px; padding-right: 2px;"
"""As wide as napari makes buttons, six would make the dock wider than all else does."""


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
        self._around = around
        self.tools = ClickTools(self, viewer, around)
        self.message = QLabel()
        self.message.setObjectName("samsp_click_message")
        self.message.setWordWrap(True)
        self.message.hide()
        self.propagate_button = QPushButton(FOLLOW)
        self.propagate_button.setObjectName("samsp_propagate")
        self.propagate_button.setToolTip(
            "Follow the object that you clicked last through the slices, both ways,\n"
            "until it ends. Other objects stay as they are. Escape stops it, and once\n"
            "more takes it back."
        )
        self.propagate_button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.propagate_button.clicked.connect(self.tools.propagate)
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
            button.setStyleSheet(NARROW)
            row.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.propagate_button)
        layout.addWidget(self.message)
        self.tools.said.connect(self._say)
        self.tools.switched.connect(self._show_tool)
        self.tools.chosen.connect(self._show_propagate)
        self.tools.propagation.going.connect(
            lambda on: self.propagate_button.setText(STOP if on else FOLLOW)
        )
        self._show_propagate()

    def _show_propagate(self) -> None:
        # What is of no use takes no room.
        try:
            Slices.of(self._around.pair())
        except InputError:
            self.propagate_button.hide()
        else:
            self.propagate_button.show()

    def _show_tool(self, now: str) -> None:
        for tool, button in self.buttons.items():
            button.setChecked(tool == now)
        if not now:
            self.message.hide()

    def _say(self, text: str) -> None:
        self.message.setText(text)
        self.message.show()
