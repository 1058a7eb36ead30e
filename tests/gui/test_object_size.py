"""A line that is drawn with a real mouse across an object."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QPushButton, QSpinBox

from napari_samsp.ui.segment.controls.object_size_control import LAYER

pytestmark = pytest.mark.gui

LEFT = Qt.MouseButton.LeftButton


def test_a_line_across_an_object_is_its_size_in_pixels_of_the_image(
    make_napari_viewer, npe2pm, qtbot, nuclei
):
    with npe2pm.tmp_plugin(package="napari-samsp"):
        viewer = make_napari_viewer(show=True)
        _, widget = viewer.window.add_plugin_dock_widget("napari-samsp", "SAM-SP")
    image = viewer.add_image(nuclei[0], scale=(2, 2), rotate=20, translate=(30, -10))
    canvas = viewer.window._qt_viewer.canvas.native
    viewer.reset_view()
    qtbot.wait(200)

    def at(row: float, column: float) -> QPoint:
        camera = getattr(viewer, "scene", viewer).camera  # before 0.9
        world = np.array(image.data_to_world((row, column)))
        y, x = (world - camera.center[-2:]) * camera.zoom
        size = canvas.size()
        return QPoint(round(size.width() / 2 + x), round(size.height() / 2 + y))

    pixels = widget.findChild(QSpinBox, "samsp_object_size")
    draw = widget.findChild(QPushButton, "samsp_draw_object_size")
    qtbot.mouseClick(draw, LEFT)
    line = viewer.layers[LAYER]
    assert viewer.layers.selection.active is line
    qtbot.mouseMove(canvas, at(20, 10))
    qtbot.mouseClick(canvas, LEFT, pos=at(20, 10))
    qtbot.waitUntil(lambda: len(line.data) == 0, timeout=5_000)
    assert pixels.value() == 0
    assert draw.isChecked()
    qtbot.mouseMove(canvas, at(20, 10))
    qtbot.mousePress(canvas, LEFT, pos=at(20, 10))
    for column in (20, 30, 40):
        qtbot.mouseMove(canvas, at(20 + column / 2, column))
        qtbot.wait(20)
    assert LAYER in viewer.layers
    qtbot.mouseMove(canvas, at(50, 50))
    qtbot.mouseRelease(canvas, LEFT, pos=at(50, 50))
    qtbot.waitUntil(lambda: LAYER not in viewer.layers, timeout=5_000)
    assert pixels.value() == pytest.approx(50, abs=1)
    assert not draw.isChecked()
    assert viewer.layers.selection.active is image
