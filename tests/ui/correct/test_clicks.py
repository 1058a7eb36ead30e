"""The click tools on a viewer model; real mouse events are in tests/gui."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)
from napari.utils.key_bindings import coerce_keybinding
from scipy import ndimage

from napari_samsp.metrics import iou
from napari_samsp.ui.commands import KEYS

WORK_MS = 120_000


class Mouse:
    """Clicks at pixels of a layer, as the canvas tells the viewer of them."""

    def __init__(self, viewer, widget, qtbot) -> None:
        self.viewer, self.widget, self.qtbot = viewer, widget, qtbot

    def __call__(self, layer, place, button=1, modifiers=(), to=None) -> None:
        position, zoom = layer.data_to_world(place), 3.0
        event = SimpleNamespace(
            type="mouse_press", button=button, modifiers=modifiers, position=position,
            pos=np.array(place[-2:]) * zoom, is_dragging=True,
        )  # fmt: skip
        mouse_press_callbacks(self.viewer, event)
        if to is not None:
            event.type, event.pos = "mouse_move", np.array(to[-2:]) * zoom
            event.position = layer.data_to_world(to)
            mouse_move_callbacks(self.viewer, event)
        event.type = "mouse_release"
        mouse_release_callbacks(self.viewer, event)
        self.wait()

    def wait(self) -> None:
        work = self.widget.clicking.tools.work
        self.qtbot.waitUntil(lambda: not work.running, timeout=WORK_MS)


@pytest.fixture
def mouse(viewer, widget, qtbot):
    made = Mouse(viewer, widget, qtbot)
    yield made
    made.wait()


@pytest.fixture
def tool(widget, click, mouse):
    """Turn a tool on and wait until the image is encoded."""

    def turn_on(name: str) -> None:
        if widget.clicking.tools.tool != name:
            click(f"samsp_tool_{name}")
        mouse.wait()

    return turn_on


@pytest.fixture
def said(widget):
    return lambda: widget.clicking.message.text()


def press_key(layer, key) -> None:
    layer.keymap[coerce_keybinding(key)](layer)


def on(labels: np.ndarray, label: int) -> tuple[int, int]:
    """The deepest pixel of an object."""
    depth = ndimage.distance_transform_edt(np.pad(labels == label, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return int(row), int(column)


def without(labels: np.ndarray, label: int) -> np.ndarray:
    return np.where(labels == label, 0, labels)


def test_a_click_adds_what_was_missed_and_nothing_else(
    viewer, widget, mouse, tool, nuclei, said
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
    viewer, widget, mouse, tool, nuclei
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
    viewer, widget, mouse, tool, nuclei
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


def test_clicks_fix_an_object_one_undo_step_each(
    viewer, widget, mouse, tool, nuclei, said
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


def test_alt_is_the_right_button(viewer, widget, mouse, tool, nuclei):
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


def test_one_region_stays_one(viewer, widget, mouse, tool, nuclei, said):
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
    viewer, widget, segment, mouse, tool, nuclei, said
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
    viewer, widget, mouse, tool, nuclei
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


def test_a_pyramid_is_clicked_at_full_resolution(viewer, widget, mouse, tool, nuclei):
    image, truth = nuclei
    viewer.add_image([image, image[::2, ::2]], multiscale=True)
    layer = viewer.add_labels(np.zeros_like(truth))
    widget.segmenting.objects.setChecked(True)
    tool("add")
    mouse(layer, on(truth, 6))
    assert iou(layer.data > 0, truth == 6) > 0.75


def test_labels_that_are_used_up_are_named(viewer, widget, mouse, tool, nuclei, said):
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


def test_where_clicks_cannot_work_a_sentence_says_what_to_do(
    viewer, widget, mouse, click, nuclei, said, qtbot
):
    image, truth = nuclei
    cells = viewer.add_image(image, name="cells")
    click("samsp_tool_erase")
    assert "press Segment" in said()
    mouse(cells, (5, 5))
    assert "press Segment" in said()
    layer = viewer.add_labels(truth.copy(), name="mine")
    assert widget.clicking.tools.tool == "erase"
    mouse(layer, (-4, 7))
    assert "outside cells" in said()
    viewer.dims.ndisplay = 3
    mouse(layer, (20, 25))
    assert "2D view" in said()
    viewer.dims.ndisplay = 2
    other = viewer.add_labels(truth[:50].copy(), name="part")
    mouse(other, (20, 25))
    assert "do not belong together" in said()
    viewer.layers.remove(other)
    viewer.layers.remove(layer)
    mouse(cells, (20, 25))
    assert "press Segment" in said()
    assert not widget.clicking.tools.work.running
    pyramid = viewer.add_labels([truth, truth[::2, ::2]], name="p", multiscale=True)
    mouse(pyramid, (20, 25))
    assert "rectangle of a Shapes layer" in said()


def test_while_segment_runs_the_model_is_not_shared(
    viewer, widget, click, mouse, nuclei, said, qtbot
):
    image, truth = nuclei
    viewer.add_image(image)
    layer = viewer.add_labels(truth.copy(), name="mine")
    with qtbot.waitSignal(widget.segmenting.run.ended, timeout=WORK_MS):
        click("samsp_segment")
        click("samsp_tool_fix")
        viewer.layers.selection.active = layer
        mouse(layer, on(truth, 1))
        assert said().startswith("Segment is at work: click again")
        assert np.array_equal(layer.data, truth)


def test_napari_s_own_tools_and_other_layers_turn_a_tool_off(
    viewer, widget, click, nuclei, mouse
):
    image, truth = nuclei
    cells = viewer.add_image(image)
    layer = viewer.add_labels(truth.copy())
    button = widget.clicking.buttons["erase"]
    click("samsp_tool_erase")
    assert button.isChecked() and layer.cursor == "cross"
    layer.mode = "paint"
    assert not button.isChecked()
    assert coerce_keybinding("Escape") not in layer.keymap
    viewer.keymap[coerce_keybinding(KEYS["samsp_tool_erase"])](viewer)
    assert button.isChecked() and layer.mode == "pan_zoom"
    viewer.layers.selection.active = cells
    assert not button.isChecked()
    mouse(layer, on(truth, 1))
    assert np.array_equal(layer.data, truth)


def test_what_somebody_painted_meanwhile_stays(viewer, widget, mouse, tool, nuclei):
    image, truth = nuclei
    viewer.add_image(image)
    widget.segmenting.objects.setChecked(True)
    layer = viewer.add_labels(np.zeros_like(truth))
    tool("add")
    row, column = on(truth, 3)
    made = widget.clicking.tools.work.made
    written = []
    # Before the edit is written, which the tools do in the slot after this one.
    made.disconnect()
    made.connect(lambda *_: layer.data.__setitem__(np.s_[row, column - 3 : column], 9))
    made.connect(widget.clicking.tools._on_made)
    made.connect(written.append)
    mouse(layer, (row, column))
    assert (layer.data[row, column - 3 : column] == 9).all()
    assert (layer.data == 1).sum() > 50


def test_the_tools_go_with_the_widget(viewer, qtbot, nuclei):
    from napari_samsp.ui.widget import SamSpWidget

    widget = SamSpWidget(viewer)
    viewer.add_image(nuclei[0])
    layer = viewer.add_labels(nuclei[1].copy())
    widget.clicking.buttons["erase"].click()
    before = len(viewer.mouse_drag_callbacks)
    with qtbot.waitSignal(widget.destroyed):
        widget.deleteLater()
    assert len(viewer.mouse_drag_callbacks) == before - 1
    assert layer.cursor == "standard" and not layer.keymap


def test_clicks_leave_the_pixels_of_others_alone(viewer, widget, mouse, tool, nuclei):
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


def test_what_was_clicked_is_kept_like_any_correction(
    viewer, widget, mouse, tool, click, nuclei
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
