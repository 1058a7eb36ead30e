"""Clicks with a real mouse on a real canvas."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QRubberBand, QWidget

from napari_samsp.data.training_sets.classes import LabelClass
from napari_samsp.metrics import iou
from napari_samsp.ui.correct.class_list import OBJECTS
from napari_samsp.ui.widgets.object_classes import classes_of

pytestmark = pytest.mark.gui

WORK_MS = 120_000
LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton


@pytest.fixture
def bench(make_napari_viewer, npe2pm, qtbot, nuclei):
    """A viewer with the nuclei, turned and scaled; number 4 is not labelled."""
    with npe2pm.tmp_plugin(package="napari-samsp"):
        viewer = make_napari_viewer(show=True)
        _, widget = viewer.window.add_plugin_dock_widget("napari-samsp", "SAM-SP")
    made = Bench(viewer, widget, qtbot, *nuclei)
    yield made
    made.wait()


class Bench:
    def __init__(self, viewer, widget, qtbot, image, truth) -> None:
        self.viewer, self.widget, self.qtbot, self.truth = viewer, widget, qtbot, truth
        place = {"scale": (2, 2), "rotate": 20, "translate": (30, -10)}
        viewer.add_image(image, name="cells", **place)
        labels = np.where(truth == 4, 0, truth)
        self.layer = viewer.add_labels(labels, name="mine", **place)
        widget.segmenting.objects.setChecked(True)
        self.canvas = viewer.window._qt_viewer.canvas.native
        viewer.reset_view()
        qtbot.wait(200)

    @property
    def camera(self):
        return getattr(self.viewer, "scene", self.viewer).camera  # napari before 0.9

    def wait(self) -> None:
        work = self.widget.clicking.tools.work
        self.qtbot.waitUntil(lambda: not work.running, timeout=WORK_MS)

    def at(self, row: float, column: float) -> QPoint:
        """Where on the canvas a pixel is."""
        camera = self.camera
        world = np.array(self.layer.data_to_world((row, column)))
        y, x = (world - camera.center[-2:]) * camera.zoom
        size = self.canvas.size()
        return QPoint(round(size.width() / 2 + x), round(size.height() / 2 + y))

    def click(self, row: float, column: float, button=LEFT) -> None:
        self.qtbot.mouseMove(self.canvas, self.at(row, column))
        self.qtbot.mouseClick(self.canvas, button, pos=self.at(row, column))
        self.wait()

    def key(self, key) -> None:
        self.qtbot.keyClick(self.canvas, key)
        self.wait()

    @property
    def said(self) -> str:
        return self.widget.clicking.message.text()


def bands() -> list[QRubberBand]:
    return [w for w in QApplication.allWidgets() if isinstance(w, QRubberBand)]


def test_an_object_is_added_fixed_and_taken_back(bench):
    before = bench.layer.data.copy()
    camera = bench.camera
    bench.key(Qt.Key.Key_N)
    assert bench.widget.clicking.buttons["add"].isChecked()
    view = (tuple(camera.center), camera.zoom)
    bench.click(70, 30)
    assert bench.said.startswith("Added object 7")
    assert iou(bench.layer.data == 7, bench.truth == 4) > 0.75
    bench.key(Qt.Key.Key_H)
    added = bench.layer.data.copy()
    row, column = (int(side.mean()) for side in np.nonzero(added == 5))
    bench.click(row, column + 3, RIGHT)
    assert "object 5" in bench.said or "nothing to change" in bench.said
    bench.key(Qt.Key.Key_Escape)
    bench.key(Qt.Key.Key_W)
    bench.click(18, 130)
    assert bench.said == "Erased object 3."
    assert not (bench.layer.data == 3).any()
    bench.qtbot.keyClick(
        bench.canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier
    )
    assert (bench.layer.data == 3).any()
    assert np.array_equal(bench.layer.data[before > 0] > 0, before[before > 0] > 0)
    assert (tuple(camera.center), camera.zoom) == view


def test_a_key_gives_the_object_under_the_mouse_its_class(bench):
    red = LabelClass(2, "long", "#ff0000")
    classes = [LabelClass(1, "round", "#00ff00"), red]
    bench.widget.correcting.class_list.set_classes(classes, OBJECTS)
    bench.qtbot.keyClick(bench.canvas, Qt.Key.Key_2, Qt.KeyboardModifier.AltModifier)
    row, column = (int(side.mean()) for side in np.nonzero(bench.truth == 5))
    bench.qtbot.mouseMove(bench.canvas, bench.at(row, column))
    pointed = bench.layer.data_to_world((row, column))
    cursor = bench.viewer.cursor
    bench.qtbot.waitUntil(
        lambda: np.abs(np.subtract(cursor.position, pointed)).max() < 2
    )
    bench.key(Qt.Key.Key_U)
    assert classes_of(bench.layer) == {5: "long"}
    assert "Object 5: long" in bench.widget.status.text()
    # What a click adds gets the chosen class; what it is split into, that of the whole.
    bench.qtbot.keyClick(bench.canvas, Qt.Key.Key_1, Qt.KeyboardModifier.AltModifier)
    bench.key(Qt.Key.Key_N)
    bench.click(70, 30)
    assert classes_of(bench.layer) == {5: "long", 7: "round"}
    bench.widget.clicking.buttons["split"].click()
    columns = np.nonzero(bench.truth == 5)[1]
    bench.click(row, columns.min() + 3)
    bench.click(row, columns.max() - 3)
    assert bench.said.startswith("Split 5 into 5 and 8")
    assert classes_of(bench.layer) == {5: "long", 7: "round", 8: "long"}
    shown = bench.layer.colormap.map(np.array([5, 7, 8])).round(1).tolist()
    assert shown == [[1, 0, 0, 1], [0, 1, 0, 1], [1, 0, 0, 1]]


def test_a_box_is_drawn_while_it_is_dragged_and_the_view_stays(bench):
    rows, columns = np.nonzero(bench.truth == 4)
    corners = (rows.min() - 2, columns.min() - 2), (rows.max() + 2, columns.max() + 2)
    bench.widget.clicking.buttons["add"].click()
    bench.wait()
    center = tuple(bench.camera.center)
    qtbot, canvas = bench.qtbot, bench.canvas
    start, end = (bench.at(*corner) for corner in corners)
    qtbot.mouseMove(canvas, start)
    qtbot.mousePress(canvas, LEFT, pos=start)
    for part in (0.3, 0.6, 1.0):
        between = start + (end - start) * part
        qtbot.mouseMove(canvas, between)
        qtbot.wait(30)
    (band,) = bands()
    assert band.isVisible()
    assert abs(band.width() - abs((end - start).x())) < 4
    qtbot.mouseRelease(canvas, LEFT, pos=end)
    bench.wait()
    assert bench.said.startswith("Added object 7")
    assert iou(bench.layer.data == 7, bench.truth == 4) > 0.75
    assert tuple(bench.camera.center) == center
    # Without a tool a drag moves the view again.
    assert not bench.camera.mouse_pan
    bench.widget.clicking.buttons["add"].click()
    assert bench.camera.mouse_pan
    qtbot.waitUntil(lambda: not bands())


def test_a_line_is_drawn_while_it_is_dragged_fast_and_splits(bench):
    """As fast as napari holds moves back, when Qt's own events are gone already."""
    qtbot, canvas = bench.qtbot, bench.canvas
    bench.key(Qt.Key.Key_K)
    rows, columns = np.nonzero(bench.truth == 5)
    middle = int(columns.mean())
    start = bench.at(rows.min() - 3, middle)
    end = bench.at(rows.max() + 3, middle)
    qtbot.mouseMove(canvas, start)
    qtbot.mousePress(canvas, LEFT, pos=start)
    for part in np.linspace(0.1, 1, 12):
        qtbot.mouseMove(canvas, start + (end - start) * part)
    qtbot.wait(150)
    (line,) = canvas.findChildren(QWidget, "samsp_split_line")
    assert line.isVisible()
    qtbot.mouseRelease(canvas, LEFT, pos=end)
    bench.wait()
    assert bench.said == "Split 5 into 5 and 7."
    assert not canvas.findChildren(QWidget, "samsp_split_line")
    assert min((bench.layer.data == label).sum() for label in (5, 7)) > 50


def test_what_a_key_or_measure_says_is_scrolled_to(bench):
    scroll, qtbot = bench.widget._scroll, bench.qtbot

    def is_in_sight(part) -> bool:
        return part.isVisible() and part.visibleRegion().boundingRect() == part.rect()

    message = bench.widget.clicking.message
    scroll.verticalScrollBar().setValue(0)
    bench.key(Qt.Key.Key_N)
    qtbot.waitUntil(lambda: is_in_sight(message), timeout=WORK_MS)
    bench.click(70, 30)
    assert bench.said.startswith("Added object 7")
    qtbot.waitUntil(lambda: is_in_sight(message), timeout=WORK_MS)
    scroll.verticalScrollBar().setValue(0)
    measuring = bench.widget.measuring
    with qtbot.waitSignal(measuring.ended, timeout=WORK_MS):
        measuring.button.click()
    qtbot.waitUntil(lambda: is_in_sight(measuring.message), timeout=WORK_MS)
    assert "6 objects" in measuring.message.text()
