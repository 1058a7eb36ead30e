"""How large objects are: typed, drawn, remembered, used, and told after a run."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton, QSpinBox

from napari_samsp.inference.plausibility import Oddity
from napari_samsp.ui.segment.controls.object_size_control import LAYER
from napari_samsp.ui.segment.result_panel import ADVICE
from napari_samsp.ui.segment.summary import Summary
from napari_samsp.ui.widget import SamSpWidget


@pytest.fixture
def pixels(widget):
    return widget.findChild(QSpinBox, "samsp_object_size")


def test_a_typed_size_is_used_told_and_remembered(
    viewer, widget, segment, pixels, qtbot, nuclei
):
    viewer.add_image(nuclei[0], name="cells")
    widget.segmenting.objects.setChecked(True)
    assert pixels.text() == "automatic"
    pixels.lineEdit().selectAll()
    qtbot.keyClicks(pixels.lineEdit(), "12")
    qtbot.keyClick(pixels.lineEdit(), Qt.Key.Key_Return)
    segment()
    last = [layer for layer in viewer.layers if layer.name.startswith("SAM-SP")][-1]
    assert last.metadata["samsp"]["object_size"] == 12
    found = widget.findChild(QLabel, "samsp_found_size")
    assert found.isVisibleTo(widget)
    assert found.text() == "Objects are about 12 px wide (as set above)."
    pixels.setValue(0)
    segment()
    assert "estimated" in found.text()
    pixels.setValue(31)
    widget._settings.write()
    again = SamSpWidget(viewer)
    qtbot.addWidget(again)
    assert again.findChild(QSpinBox, "samsp_object_size").value() == 31


def test_drawing_ends_with_the_image_or_a_second_press(viewer, widget, click, nuclei):
    draw = widget.findChild(QPushButton, "samsp_draw_object_size")
    assert not draw.isEnabled()
    image = viewer.add_image(nuclei[0])
    click("samsp_draw_object_size")
    click("samsp_draw_object_size")
    assert LAYER not in viewer.layers
    click("samsp_draw_object_size")
    viewer.layers.remove(image)
    assert LAYER not in viewer.layers
    assert not draw.isChecked()
    assert not draw.isEnabled()


def test_an_uncertain_size_is_said_with_what_to_do():
    assert "Object size" in ADVICE[Oddity.SCALE]
    one = Summary(0, 1, "none", 0.8, None, 0.2, 4, 0, 30.0)
    other = Summary(0, 1, "none", 0.8, None, 0.2, 4, 0, 50.0, False)
    both = one.with_another(other, 1)
    assert (both.object_size, both.size_is_certain) == (40, False)
    unknown = Summary(0, 1, "none", 0.8, None, 0.2, 4)
    assert unknown.with_another(other, 1).object_size == 50
    assert one.with_another(unknown, 1).object_size == 30
