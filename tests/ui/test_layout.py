from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QApplication, QLabel, QPushButton, QScrollArea

from napari_samsp.ui.segment.summary import Summary

DOCK = (380, 700)
"""Of a window of 1280 x 800."""


@pytest.fixture
def dock(widget, viewer, nuclei, qtbot):
    viewer.add_image(nuclei[0], name="cells")
    widget.resize(*DOCK)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


def test_all_three_steps_are_seen_on_a_small_screen(dock):
    button = dock.findChild(QPushButton, "samsp_finetune")
    scroll = button.mapTo(dock, QPoint(0, button.height()))
    assert scroll.y() < dock.status.y()


def test_an_empty_list_takes_no_room(dock, nuclei):
    panel = dock.correcting
    assert not panel.list.isVisibleTo(dock)
    assert not panel.kept_list.buttons["open"].isVisibleTo(dock)
    panel.training_set.add(*nuclei, name="a")
    panel.refresh(select="a")
    one = panel.list.height()
    assert panel.list.isVisibleTo(dock)
    panel.remove_selected()
    assert not panel.list.isVisibleTo(dock)
    assert panel.kept_list.buttons["undo"].isVisibleTo(dock)
    panel.undo()
    for n in range(9):
        image = (nuclei[0] + n + 1).astype(np.uint8)
        panel.training_set.add(image, nuclei[1], name=f"b{n}")
    panel.refresh()
    assert one < panel.list.height() < 130


def test_what_is_shown_later_fits_into_the_dock_too(dock, viewer, nuclei):
    dock.correcting.training_set.add(*nuclei, name="a name of some length", layer="a")
    dock.correcting.refresh()
    table = dock.segmenting.table
    for t in range(3):
        table.show_summary(t, Summary(t, 3, "box", 0.8, 0.99, 0.999, 12345))
    dock.segmenting.result.show()
    dock.finetuning.collapsible.expand(animate=False)
    form = dock.segmenting.form
    form.more_button.setChecked(True)
    form.cleanup.min_size.setValue(99_999)
    viewer.add_image(np.stack([nuclei[0]] * 120), name="stack")
    form.slices.combo.setCurrentIndex(1)
    assert form.slices.link.isVisibleTo(dock)
    dock.resize(dock.minimumSizeHint().width(), 700)
    QApplication.processEvents()
    scroll = dock.findChild(QScrollArea)
    assert scroll.widget().minimumSizeHint().width() <= scroll.viewport().width()
    assert table.head.sectionSizeHint(4) <= table.head.sectionSize(4)
    assert not dock.correcting.list.horizontalScrollBar().maximum()


def test_a_long_word_does_not_widen_the_dock(dock):
    width = dock.minimumSizeHint().width()
    labels = [label for label in dock.findChildren(QLabel) if label.wordWrap()]
    assert len(labels) > 4
    for label in labels:
        label.setText("0123456789abcdef" * 8)
        label.show()
    assert dock.minimumSizeHint().width() == width
