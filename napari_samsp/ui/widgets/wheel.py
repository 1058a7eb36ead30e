"""The wheel scrolls the dock and changes no value that it happens to pass."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QScrollBar,
    QTabBar,
    QWidget,
)


def wheel_changes(widget: QObject) -> bool:
    """Whether Qt lets the wheel change a widget's value.

    Parameters
    ----------
    widget : QObject
        The widget under the mouse.

    Returns
    -------
    bool
        True of combos, spin boxes, sliders and tabs; not of scroll bars.
    """
    kinds = (QComboBox, QAbstractSpinBox, QAbstractSlider, QTabBar)
    return isinstance(widget, kinds) and not isinstance(widget, QScrollBar)


class WheelGuard(QObject):
    """Passes the wheel on to the scroll area.

    A spin box or slider that was clicked still takes it. A combo never does: it keeps
    the focus after a choice, when nobody thinks of it any more.

    Parameters
    ----------
    dock : QWidget
        Complete: all its children are guarded.
    """

    def __init__(self, dock: QWidget) -> None:
        super().__init__(dock)
        for child in filter(wheel_changes, dock.findChildren(QWidget)):
            child.installEventFilter(self)
            # Else the wheel itself would give the focus.
            if child.focusPolicy() == Qt.FocusPolicy.WheelFocus:
                child.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Qt's: of each guarded widget's events."""
        if not isinstance(watched, QWidget) or event is None:
            return False
        if event.type() != QEvent.Type.Wheel:
            return False
        if watched.hasFocus() and not isinstance(watched, QComboBox):
            return False
        event.ignore()  # so that Qt offers it to the scroll area
        return True
