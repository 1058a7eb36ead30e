"""Threshold, least size and holes are shown in a result without another run."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QCheckBox, QLabel, QToolButton

from napari_samsp.inference.cleanup import Cleanup
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.ui.segment.live_cleanup import EDITED, NEEDS_RUN
from napari_samsp.ui.widget import SamSpWidget

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def segmented(viewer, widget, segment, nuclei):
    """Two rounds of separate objects, (96, 160), and the folded rows opened."""
    viewer.add_image(nuclei[0], name="cells", scale=(0.5, 0.5))
    widget.segmenting.iterations.setValue(2)
    widget.segmenting.objects.setChecked(True)
    segment()
    QTest.mouseClick(widget.findChild(QToolButton, "samsp_more"), LEFT)
    return viewer.layers[1:]


@pytest.fixture
def applied(widget, qtbot):
    """Do something, and wait until another cleanup is shown."""

    def wait(change) -> None:
        with qtbot.waitSignal(widget.segmenting.live.applied, timeout=60_000):
            change()
        qtbot.waitUntil(lambda: not widget.segmenting.live.running)

    return wait


def test_another_threshold_is_what_a_run_with_it_gives(
    widget, segmented, applied, nuclei
):
    control = widget.segmenting.form.cleanup
    before = [layer.data.copy() for layer in segmented]
    runs = []
    widget.segmenting.run.loaded.connect(runs.append)
    applied(lambda: control.threshold.setValue(0.8))
    expected = Segmenter(device="cpu").segment(
        nuclei[0], 2, objects=True, cleanup=Cleanup(0.8)
    )
    for layer, one in zip(segmented, expected, strict=True):
        assert np.array_equal(layer.data, one.labels)
        about = layer.metadata["samsp"]
        assert about["area_fraction"] == one.area_fraction
        assert about["object_count"] == len(np.unique(one.labels)) - 1
        assert about["iou_to_previous"] == one.iou_to_previous
    assert not runs
    table = widget.segmenting.table
    assert table.item(1, 2).text() == f"{100 * expected[1].area_fraction:.1f} %"
    applied(lambda: control.threshold.setValue(0.5))
    for layer, data in zip(segmented, before, strict=True):
        assert np.array_equal(layer.data, data)


def test_small_objects_go_with_the_keyboard_and_come_back(
    widget, segmented, applied, qtbot
):
    control = widget.segmenting.form.cleanup
    last = segmented[-1]
    areas = np.sort(np.bincount(last.data.ravel())[1:])
    before, count = last.data.copy(), last.metadata["samsp"]["object_count"]
    box = control.min_size

    def type_in(number: int) -> None:
        box.selectAll()
        qtbot.keyClicks(box, str(number))
        qtbot.keyClick(box, Qt.Key.Key_Return)

    applied(lambda: type_in(int(areas[1]) + 1))
    assert last.metadata["samsp"]["object_count"] == count - 2
    qtbot.waitUntil(lambda: not widget.segmenting.live.running)
    applied(lambda: type_in(0))
    assert np.array_equal(last.data, before)


def test_what_the_user_edited_is_not_overwritten(
    viewer, widget, segmented, applied, qtbot
):
    first, last = segmented
    last.data_setitem((np.array([0]), np.array([0])), 7)
    edited, before = last.data.copy(), first.data.copy()
    about = dict(last.metadata["samsp"])
    applied(lambda: widget.segmenting.form.cleanup.threshold.setValue(0.2))
    assert np.array_equal(last.data, edited)
    assert last.metadata["samsp"] == about
    assert (first.data > 0).sum() > (before > 0).sum()
    assert EDITED in widget.findChild(QLabel, "samsp_status").text()


def test_painting_after_a_change_counts_as_a_correction(
    widget, segmented, applied, qtbot
):
    last = segmented[-1]
    applied(lambda: widget.segmenting.form.cleanup.threshold.setValue(0.8))
    shown = last.data.copy()
    last.data_setitem((np.array([0]), np.array([0])), 7)
    applied(lambda: widget.segmenting.form.cleanup.threshold.setValue(0.4))
    assert last.data[0, 0] == 7
    assert np.array_equal(last.data[1:], shown[1:])


def test_holes_are_filled_by_a_click_and_at_the_next_run_too(
    widget, segment, segmented, applied, viewer
):
    box = widget.findChild(QCheckBox, "samsp_fill_holes")
    applied(lambda: QTest.mouseClick(box, LEFT, pos=QPoint(8, box.height() // 2)))
    assert box.isChecked()
    segment()
    assert widget.segmenting.results.request.cleanup == Cleanup(fill_holes=True)


def test_a_stack_says_that_it_needs_a_run(viewer, widget, segment, nuclei, qtbot):
    viewer.add_image(np.stack([nuclei[0]] * 2), name="stack")
    widget.segmenting.iterations.setValue(1)
    widget.segmenting.slices.combo.setCurrentIndex(1)
    segment()
    before = viewer.layers[-1].data.copy()
    widget.segmenting.form.cleanup.threshold.setValue(0.9)
    status = widget.findChild(QLabel, "samsp_status")
    qtbot.waitUntil(lambda: NEEDS_RUN in status.text())
    assert np.array_equal(viewer.layers[-1].data, before)
    segment()
    assert (viewer.layers[-1].data > 0).sum() < (before > 0).sum()


def test_a_project_remembers_it_and_the_folded_rows_say_so(widget, viewer, qtbot):
    more = widget.findChild(QToolButton, "samsp_more")
    assert more.text() == "More"
    widget.segmenting.form.cleanup.min_size.setValue(40)
    widget.segmenting.form.cleanup.threshold.setValue(0.7)
    assert more.text() == "More (1 set)"
    widget.projects.project.store({"threshold": 7.5, "fill_holes": True})
    widget._settings.write()
    stored = widget.projects.project.settings()
    assert (stored["min_size"], stored["threshold"]) == (40, 0.7)
    again = SamSpWidget(viewer)
    qtbot.addWidget(again)
    assert again.segmenting.form.cleanup.cleanup == Cleanup(0.7, 40)
    widget.projects.project.store({"threshold": 7.5})  # by hand
    broken = SamSpWidget(viewer)
    qtbot.addWidget(broken)
    assert broken.segmenting.form.cleanup.cleanup == Cleanup()
