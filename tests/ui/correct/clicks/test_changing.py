"""Fix, Split, Merge and Erase."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_samsp.metrics import iou


def test_clicks_fix_an_object_one_undo_step_each(
    viewer, widget, mouse, tool, nuclei, said, press_key, on
):
    image, truth = nuclei
    viewer.add_image(image)
    widget.segmenting.objects.setChecked(True)
    half = truth.copy()
    row, column = on(truth, 5)
    half[row - 4 :][truth[row - 4 :] == 5] = 0
    half[row - 40 : row + 3, column + 18 : column + 26] = 5
    layer = viewer.add_labels(half.copy())
    tool("fix")
    start = iou(half == 5, truth == 5)
    mouse(layer, (row + 3, column))
    once = layer.data.copy()
    assert once[row + 3, column] == 5
    assert iou(once == 5, truth == 5) > start + 0.1
    mouse(layer, (row - 10, column + 22), button=2)
    twice = layer.data.copy()
    assert twice[row - 10, column + 22] == 0
    assert "Fixed object 5" in said()
    others = (truth > 0) & (truth != 5)
    assert np.array_equal(twice[others], truth[others])
    layer.undo()
    assert np.array_equal(layer.data, once)
    layer.redo()
    press_key(layer, "Escape")
    assert np.array_equal(layer.data, once)
    for _ in range(2):
        press_key(layer, "Escape")
        assert np.array_equal(layer.data, half)


def test_clicks_that_take_a_region_apart_are_one_correction(
    viewer, widget, mouse, tool, nuclei, press_key, on
):
    """What is left in pieces is still what was clicked: the clicks count together."""
    image, truth = nuclei
    viewer.add_image(image)
    joined = (truth > 0).astype(np.int32)
    joined[66:70, 90:138] = 1
    layer = viewer.add_labels(joined.copy())
    tool("fix")
    mouse(layer, (68, 114), button=2)
    parts = ndimage.label(layer.data)[0]
    five, six = on(truth, 5), on(truth, 6)
    assert 0 != parts[five] != parts[six] != 0
    once = layer.data.copy()
    mouse(layer, (six[0], six[1] + 1), button=2)
    assert layer.data[68, 114] == 0
    press_key(layer, "Escape")
    assert np.array_equal(layer.data, once)
    press_key(layer, "Escape")
    assert np.array_equal(layer.data, joined)


def test_alt_is_the_right_button(viewer, widget, mouse, tool, nuclei, on):
    image, truth = nuclei
    viewer.add_image(image)
    widget.segmenting.objects.setChecked(True)
    wide = truth.copy()
    row, column = on(truth, 2)
    wide[row - 3 : row + 4, column : column + 30] = 2
    layer = viewer.add_labels(wide)
    tool("fix")
    mouse(layer, (row, column + 26), modifiers=("Alt",))
    assert layer.data[row, column + 26] == 0
    assert layer.data[row, column] == 2


def test_split_merge_and_erase(viewer, widget, mouse, tool, said):
    rows, columns = np.ogrid[:120, :200]
    left = (rows - 60) ** 2 + (columns - 78) ** 2 < 26**2
    right = (rows - 60) ** 2 + (columns - 122) ** 2 < 26**2
    noise = np.random.default_rng(0).normal(0, 8, left.shape)
    image = (np.where(left | right, 170, 30) + noise).clip(0, 255).astype(np.uint8)
    viewer.add_image(image)
    widget.segmenting.objects.setChecked(True)
    layer = viewer.add_labels((left | right).astype(np.uint8) * 3)
    tool("split")
    mouse(layer, (60, 70))
    assert "Click the other one" in said()
    mouse(layer, (60, 130))
    assert said() == "Split 3 into 3 and 4."
    assert iou(layer.data == 3, left) > 0.85 and iou(layer.data == 4, right) > 0.85
    tool("merge")
    mouse(layer, (60, 130))
    mouse(layer, (60, 70))
    assert said() == "Merged 3 into 4."
    assert np.array_equal(layer.data == 4, left | right)
    layer.undo()
    tool("erase")
    mouse(layer, (60, 70))
    assert set(np.unique(layer.data)) == {0, 4}
    layer.undo()
    layer.undo()
    assert np.array_equal(layer.data > 0, left | right)
    assert layer.data.max() == 3
    mouse(layer, (2, 2))
    assert "no object" in said()


def test_clicks_leave_the_pixels_of_others_alone(
    viewer, widget, mouse, tool, nuclei, without, on
):
    image, truth = nuclei
    viewer.add_image(image)
    widget.segmenting.objects.setChecked(True)
    row, column = on(truth, 4)
    labels = without(truth, 4)
    stripe = (truth == 4) & (np.arange(160) < column - 4)
    labels[stripe] = 9
    layer = viewer.add_labels(labels)
    tool("add")
    mouse(layer, (row, column))
    assert (layer.data == 10).sum() > 50
    assert (layer.data[stripe] == 9).all()
    tool("fix")
    mouse(layer, (row, column + 3))
    mouse(layer, (row + 3, column))
    assert (layer.data[stripe] == 9).all()


def test_a_line_splits_what_it_crosses_without_the_model(
    viewer, widget, mouse, tool, said
):
    """Also while the model is at work, and as one step of undo."""
    rows, columns = np.ogrid[:120, :200]
    both = (rows - 60) ** 2 + (columns - 100) ** 2 < 40**2
    viewer.add_image(np.where(both, 170, 30).astype(np.uint8))
    widget.segmenting.objects.setChecked(True)
    labels = both.astype(np.uint8) * 3
    labels[5:9, 90:110] = 5
    layer = viewer.add_labels(labels.copy(), scale=(2, 2))
    tool("split")
    assert not layer.mouse_pan
    mouse(layer, (2, 110), to=(90, 110))
    assert said() == "Split 3 into 3 and 6."
    right = both & (np.arange(200) > 110)
    assert np.array_equal(layer.data == 6, right)
    assert (layer.data[labels == 5] == 5).all()
    layer.undo()
    assert np.array_equal(layer.data, labels)
    mouse(layer, (110, 5), to=(118, 60))
    assert "crosses no object" in said()
    # A short line goes on to the object's border.
    mouse(layer, (50, 100), to=(70, 100))
    # The number that was undone is not given again.
    assert said() == "Split 3 into 3 and 7."
