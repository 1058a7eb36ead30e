"""Link gives objects one number through slices that were segmented by themselves."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QCheckBox

from napari_samsp.ui.segment.controls.region_control import LAYER


@pytest.fixture
def linked(viewer, widget, nuclei):
    """Three slices, of which the one in the middle is empty; Link is ticked."""
    image = nuclei[0]
    blank = np.full_like(image, 30)
    viewer.add_image(np.stack([image, blank, np.roll(image, 2, 1)]), name="cells")
    viewer.dims.set_current_step(0, 2)
    slices = widget.segmenting.slices
    slices.combo.setCurrentIndex(slices.combo.count() - 1)
    box = widget.findChild(QCheckBox, "samsp_link_slices")
    assert not box.isHidden()
    QTest.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(8, box.height() // 2))
    assert box.isChecked()
    widget.segmenting.iterations.setValue(1)
    return box


def test_numbers_go_on_over_an_empty_slice(viewer, widget, segment, linked, nuclei):
    widget.segmenting.objects.setChecked(True)
    order = []
    widget.segmenting.run.iterated.connect(lambda step: order.append(step.plane[0]))
    segment()
    assert order == [0, 2]
    first, _, last = viewer.layers[-1].data
    for number in range(1, 7):
        inside = nuclei[1] == number
        one = np.bincount(first[inside]).argmax()
        assert one > 0
        assert np.bincount(last[np.roll(inside, 2, 1)]).argmax() == one


def test_one_region_cannot_be_linked(widget, click, linked):
    click("samsp_segment")
    assert not widget.segmenting.run.running
    assert "tick Separate objects" in widget.status.text()


def test_slices_follow_or_are_linked_not_both(widget, linked):
    slices = widget.segmenting.slices
    slices.follow.setChecked(True)
    assert not linked.isChecked()
    assert (slices.link_axis, slices.follow_axis) == (None, 0)
    linked.setChecked(True)
    assert not slices.follow.isChecked()


def test_a_region_holds_on_every_slice(viewer, widget, segment, linked):
    widget.segmenting.objects.setChecked(True)
    click = widget.segmenting.form.region.draw.click
    click()
    corners = np.array([[2, 0, 0], [2, 0, 70], [2, 95, 70], [2, 95, 0]])
    viewer.layers[LAYER].add(corners, shape_type="rectangle")
    segment()
    labels = viewer.layers[-1].data
    assert labels[0].any() and labels[2].any()
    assert not labels[..., 71:].any()
