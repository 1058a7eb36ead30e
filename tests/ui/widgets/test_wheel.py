from __future__ import annotations

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QScrollBar,
    QTabBar,
    QWidget,
)


def turn_wheel(widget: QWidget, steps: int) -> bool:
    """Whether the widget took it: otherwise the scroll area gets the mouse's events."""
    middle = QPointF(widget.rect().center())
    event = QWheelEvent(
        middle,
        widget.mapToGlobal(middle),
        QPoint(),
        QPoint(0, 120 * steps),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)
    return event.isAccepted()


def values(dock: QWidget) -> dict[QWidget, object]:
    kinds = {
        QComboBox: "currentIndex",
        QTabBar: "currentIndex",
        QAbstractSlider: "value",
        QAbstractSpinBox: "text",
    }
    return {
        child: getattr(child, reader)()
        for kind, reader in kinds.items()
        for child in dock.findChildren(kind)
        if not isinstance(child, QScrollBar)
    }


@pytest.fixture
def dock(widget, viewer, nuclei, qtbot):
    """As low as half its content, and with all that can be unfolded."""
    viewer.add_image(nuclei[0], name="one")
    viewer.add_image(nuclei[0].reshape(2, 48, 160), name="stack")
    widget.segmenting.scaling.expand(animate=False)
    widget.finetuning.collapsible.expand(animate=False)
    widget.resize(400, 500)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


def test_the_wheel_changes_no_value(dock):
    before = values(dock)
    assert len(before) > 10
    for child in before:
        child.clearFocus()
        for steps in (1, -1, -1):
            assert not turn_wheel(child, steps)
    assert values(dock) == before


def test_a_combo_that_was_just_used_does_not_take_it_either(dock, qtbot):
    combo = dock.segmenting.image.native
    combo.setFocus()
    before = combo.currentIndex()
    for steps in (1, -1):
        turn_wheel(combo, steps)
        assert combo.currentIndex() == before
