"""A small button with a menu of what is needed rarely."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtGui import QAction
from qtpy.QtWidgets import QMenu, QToolButton, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable


class MenuButton(QToolButton):
    """A button called "…" that opens a menu.

    Parameters
    ----------
    name : str
        Object name of the button.
    tip : str
        Tooltip of the button.
    parent : QWidget
        Widget that owns this one.
    """

    def __init__(self, name: str, tip: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setText("…")
        self.setToolTip(tip)
        self.setMenu(QMenu(self))
        # The text tells of the menu; with Qt's arrow on top of it neither is legible.
        self.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)

    def add(self, text: str, slot: Callable[[], object]) -> QAction:
        """Add an entry to the menu, and give it back."""
        action = QAction(text, self)
        action.triggered.connect(lambda _=False: slot())
        self.menu().addAction(action)
        return action
