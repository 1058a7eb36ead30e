"""Add: clicks and boxes, on every kind of image."""

from __future__ import annotations

import numpy as np
import pytest
from napari.utils.key_bindings import coerce_keybinding

from napari_samsp.metrics import iou


@pytest.fixture
def test_a_click_adds_what_was_missed_and_nothing_else(
    viewer, widget, mouse, tool, nuclei, said, press_key, without, on
):
    image, truth = nuclei
    viewer.add_image(image, name="cells")
    widget.segmenting.objects.setChecked(True)
    layer = viewer.add_labels(without(truth, 4), name="mine")
    before = layer.data.copy()
    tool("add")
    mouse(layer, on(truth, 4))
    assert said() == "Added object 7. Escape takes it back."
    assert iou(layer.data == 7, truth == 4) > 0.75
    assert np.array_equal(layer.data[before > 0], before[before > 0])
    assert layer.selected_label == 7
    layer.undo()
    assert np.array_equal(layer.data, before)
    layer.redo()
    assert (layer.data == 7).any()
    mouse(layer, on(truth, 2))
    assert "already" in said()
    press_key(layer, "Escape")


def test_a_box_adds_and_escape_takes_back_what_enter_does_not_leave(
    viewer, widget, mouse, tool, nuclei, press_key, on
):
    image, truth = nuclei
    viewer.add_image(image)
    widget.segmenting.objects.setChecked(True)
    layer = viewer.add_labels(np.zeros_like(truth))
    tool("add")
    assert not layer.mouse_pan
    rows, columns = np.nonzero(truth == 5)
    corners = (rows.min() - 2, columns.min() - 2), (rows.max() + 2, columns.max() + 2)
    mouse(layer, corners[0], to=corners[1])
    assert iou(layer.data == 1, truth == 5) > 0.75
    press_key(layer, "Enter")
    mouse(layer, on(truth, 1))
    assert set(np.unique(layer.data)) == {0, 1, 2}
    press_key(layer, "Escape")
    press_key(layer, "Escape")
    assert set(np.unique(layer.data)) == {0, 1}
    tool("erase")
    assert layer.mouse_pan
    mouse(layer, on(layer.data, 1))
    assert not layer.data.any()


def test_escape_leaves_what_was_undone_and_what_was_before(
    viewer, widget, mouse, tool, nuclei, press_key, on
):
    image, truth = nuclei
    viewer.add_image(image)
    widget.segmenting.objects.setChecked(True)
    layer = viewer.add_labels(np.zeros_like(truth))
    tool("add")
    mouse(layer, on(truth, 1))
    mouse(layer, on(truth, 2))
    layer.undo()
    once = layer.data.copy()
    assert set(np.unique(once)) == {0, 1}
    press_key(layer, "Escape")
    assert np.array_equal(layer.data, once)
    layer.redo()
    layer.data = layer.data.copy()
    press_key(layer, "Escape")
    assert set(np.unique(layer.data)) == {0, 1, 2}


def test_while_space_is_held_a_drag_moves_the_view(viewer, mouse, tool, nuclei):
    viewer.add_image(nuclei[0])
    layer = viewer.add_labels(np.zeros_like(nuclei[1]))
    tool("add")
    held = layer.keymap[coerce_keybinding("Space")](layer)
    next(held)
    assert layer.mouse_pan
    mouse(layer, (5, 5), to=(40, 40))
    assert not layer.data.any()
    next(held, None)
    assert not layer.mouse_pan


def test_one_region_stays_one(viewer, widget, mouse, tool, nuclei, said, without, on):
    image, truth = nuclei
    viewer.add_image(image)
    layer = viewer.add_labels((without(truth, 4) > 0).astype(np.int32))
    tool("add")
    mouse(layer, on(truth, 4))
    assert set(np.unique(layer.data)) == {0, 1}
    assert iou(layer.data > 0, truth > 0) > 0.9
    tool("erase")
    mouse(layer, on(truth, 1))
    assert np.array_equal(layer.data[truth == 2], np.ones((truth == 2).sum()))
    assert not layer.data[truth == 1].any()
    tool("split")
    mouse(layer, on(truth, 2))
    mouse(layer, on(truth, 3))
    assert "one region" in said()


def test_after_segment_the_slice_that_is_shown_is_clicked(
    viewer, widget, segment, mouse, tool, nuclei, said, on
):
    """A scaled, rotated stack of colours; the result lies on one slice of it."""
    image, truth = nuclei
    stack = np.stack([np.stack([image] * 3, -1)] * 3)
    stack[0] = stack[0, ::-1]
    turned = [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]
    viewer.add_image(stack, name="stack", scale=(4, 0.5, 0.5), rotate=turned)
    viewer.dims.set_point(0, 8)
    widget.segmenting.objects.setChecked(True)
    widget.segmenting.iterations.setValue(2)
    segment()
    layer = viewer.layers["SAM-SP 1 · stack"]
    layer.data[0][truth == 4] = 0
    before = layer.data.copy()
    work = widget.clicking.tools.work
    waited = []
    work.began.connect(waited.append)
    tool("add")
    mouse(layer, (0, *on(truth, 4)))
    assert waited == ["encoding the image", ""]
    assert iou(layer.data[0] > before[0], truth == 4) > 0.7
    assert (layer.data[before > 0] == before[before > 0]).all()
    viewer.dims.set_point(0, 0)
    mouse(viewer.layers["stack"], (0, 20, 20))
    assert "no labels on this slice" in said()


def test_labels_of_a_whole_stack_get_numbers_that_no_slice_has(
    viewer, widget, mouse, tool, nuclei, on
):
    image, truth = nuclei
    viewer.add_image(np.stack([image] * 2), name="stack")
    labels = np.zeros((2, *truth.shape), np.int32)
    labels[0, :5, :5] = 70_000
    layer = viewer.add_labels(labels)
    widget.segmenting.objects.setChecked(True)
    viewer.dims.set_point(0, 1)
    tool("add")
    mouse(layer, (1, *on(truth, 1)))
    assert layer.data[1].max() == 70_001
    layer.data_setitem((np.array([0]), np.array([90]), np.array([9])), 80_000)
    mouse(layer, (1, *on(truth, 2)))
    assert layer.data[1].max() == 80_001


def test_a_pyramid_is_clicked_at_full_resolution(
    viewer, widget, mouse, tool, nuclei, on
):
    image, truth = nuclei
    viewer.add_image([image, image[::2, ::2]], multiscale=True)
    layer = viewer.add_labels(np.zeros_like(truth))
    widget.segmenting.objects.setChecked(True)
    tool("add")
    mouse(layer, on(truth, 6))
    assert iou(layer.data > 0, truth == 6) > 0.75


def test_labels_that_are_used_up_are_named(
    viewer, widget, mouse, tool, nuclei, said, on
):
    image, truth = nuclei
    viewer.add_image(image)
    widget.segmenting.objects.setChecked(True)
    full = np.zeros(truth.shape, np.uint8)
    full[:3, :85] = 1 + np.arange(255).reshape(3, 85)
    layer = viewer.add_labels(full)
    tool("add")
    mouse(layer, on(truth, 5))
    assert "convert it to int32" in said()
    layer.data[0, 40] = 0
    mouse(layer, on(truth, 5))
    assert (layer.data == 41).sum() > 50


def test_what_was_clicked_is_kept_like_any_correction(
    viewer, widget, mouse, tool, click, nuclei, without, on
):
    image, truth = nuclei
    viewer.add_image(image, name="cells")
    widget.segmenting.objects.setChecked(True)
    layer = viewer.add_labels(without(truth, 2))
    tool("add")
    mouse(layer, on(truth, 2))
    click("samsp_keep")
    (sample,) = widget.correcting.training_set.samples()
    assert np.array_equal(sample.read()[1], layer.data)
