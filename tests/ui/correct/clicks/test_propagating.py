"""The clicked object is followed through a stack; on a viewer model."""

from __future__ import annotations

import numpy as np
import pytest
from napari.utils.key_bindings import coerce_keybinding

from napari_samsp.data.training_sets.classes import LabelClass
from napari_samsp.inference.results import Iteration
from napari_samsp.metrics import iou
from napari_samsp.ui.commands import KEYS
from napari_samsp.ui.correct.class_list import OBJECTS
from napari_samsp.ui.result_layers import Source, remember_source
from napari_samsp.ui.segment.stack_result import StackResult
from napari_samsp.ui.widgets.object_classes import note_classes, object_pages

WORK_MS = 300_000


@pytest.fixture
def stack(ball_and_rod) -> tuple[np.ndarray, np.ndarray]:
    """A ball in four of six slices, and a rod in all: ``(6, 96, 160)``."""
    return ball_and_rod(0, 12, 15, 17, 14, 0)


@pytest.fixture
def bench(viewer, widget, qtbot, stack):
    """A stack in the viewer at slice 3, and no label but those of the rod."""
    image, truth = stack
    viewer.add_image(image, name="stack", scale=(3, 0.5, 0.5))
    widget.segmenting.objects.setChecked(True)
    layer = viewer.add_labels(
        np.where(truth == 2, 2, 0).astype(np.int32), name="mine", scale=(3, 0.5, 0.5)
    )
    viewer.dims.set_current_step(0, 3)
    return layer


@pytest.fixture
def key(viewer, widget, qtbot):
    """Press the key of a button, and wait for the end."""

    def press(name: str) -> None:
        viewer.keymap[coerce_keybinding(KEYS[name])](viewer)
        work = widget.clicking.tools.work
        qtbot.waitUntil(lambda: not work.running, timeout=WORK_MS)

    return press


def escape(layer) -> None:
    layer.keymap[coerce_keybinding("Escape")](layer)


def add_ball(widget, layer, key, qtbot) -> None:
    key("samsp_tool_add")
    widget.clicking.tools.click(layer.data_to_world((3, 40, 56)))
    work = widget.clicking.tools.work
    qtbot.waitUntil(lambda: not work.running, timeout=WORK_MS)
    assert layer.selected_label == 3


def test_it_keeps_its_label_and_is_one_step_of_undo(
    widget, bench, key, said, qtbot, stack
):
    truth = stack[1]
    add_ball(widget, bench, key, qtbot)
    once = bench.data.copy()
    assert not widget.clicking.propagate_button.isHidden()
    key("samsp_propagate")
    assert "Object 3 is in slices 1 to 4." in said()
    for z in (1, 2, 3, 4):
        assert iou(bench.data[z] == 3, truth[z] == 1) > 0.75, z
    assert not (bench.data[[0, 5]] == 3).any()
    assert np.array_equal(bench.data == 2, truth == 2)
    found = bench.data.copy()
    bench.undo()
    assert np.array_equal(bench.data, once)
    bench.redo()
    assert np.array_equal(bench.data, found)
    escape(bench)
    assert np.array_equal(bench.data, once)


def test_it_keeps_its_class_in_every_slice(viewer, widget, bench, key, said, qtbot):
    source = Source(viewer.layers["stack"].unique_id, None, by_slice=True)
    remember_source(bench, source)
    classes = widget.correcting.class_list
    named = [LabelClass(1, "ball", "#00ff00"), LabelClass(2, "rod", "#ff0000")]
    classes.set_classes(named, OBJECTS)
    classes.pick(1)
    add_ball(widget, bench, key, qtbot)
    classes.pick(0)
    viewer.cursor.position = bench.data_to_world((3, 40, 56))
    widget.correcting.object_classes.set_under_cursor()
    key("samsp_propagate")
    assert "Object 3 is in slices 1 to 4." in said()
    # Also in the slices that nobody has looked at since.
    found = {page[0]: names.get(3) for page, names in object_pages(bench).items()}
    assert found == dict.fromkeys((1, 2, 3, 4), "ball")


def test_what_the_user_made_of_it_elsewhere_stays(
    widget, bench, key, said, qtbot, stack
):
    add_ball(widget, bench, key, qtbot)
    own = np.s_[1, 30:34, 40:44]
    bench.data[own] = 3
    key("samsp_propagate")
    assert "What you made of it in slice 1 stays." in said()
    assert (bench.data[own] == 3).all() and (bench.data[1] == 3).sum() == 16
    assert (bench.data[2] == 3).any() and (bench.data[4] == 3).any()
    # What was followed may be followed again, from a slice that was mended.
    wrong = bench.data.copy()
    bench.data_setitem(np.nonzero(wrong == 3), 0)
    bench.data_setitem(np.nonzero(wrong == 3), 3)
    key("samsp_propagate")
    assert "Object 3 is in slices 2 to 4." in said()


def test_another_object_of_the_same_label_stays(
    viewer, widget, bench, key, said, qtbot
):
    """Slices that are segmented one by one number their objects by themselves."""
    add_ball(widget, bench, key, qtbot)
    elsewhere = np.s_[2, 4:16, 130:150]
    bench.data[elsewhere] = 3
    made_of = viewer.layers["stack"].unique_id
    source = Source(made_of, None, bench.data[2].copy(), by_slice=True)
    remember_source(bench, source)
    key("samsp_propagate")
    assert "In slice 2 the label 3 is another object, which stays" in said()
    assert "Object 3 is in slices 3 to 4." in said()
    assert (bench.data[elsewhere] == 3).all() and (bench.data[2] == 3).sum() == 12 * 20


def test_escape_stops_it_and_what_was_found_stays(widget, bench, key, said, qtbot):
    add_ball(widget, bench, key, qtbot)
    bench.selected_label = 2
    before = bench.data.copy()
    bench.data[4:, 40:, 100:] = bench.data[:3, 40:, 100:] = 0
    tools = widget.clicking.tools
    tools.propagation.said.connect(
        lambda text: escape(bench) if "slices 3 to 4…" in text else None
    )
    key("samsp_propagate")
    assert "Stopped." in said() and "slices 3 to 4" in said()
    assert (bench.data[4] == 2).any()
    assert not (bench.data[[0, 1, 2]] == 2).any()
    assert np.array_equal(bench.data[3], before[3])


def test_what_is_painted_meanwhile_is_not_undone(
    widget, bench, key, said, qtbot, stack
):
    add_ball(widget, bench, key, qtbot)
    own = (np.full(9, 3), np.arange(9), np.arange(9))
    painted = []

    def paint(text: str) -> None:
        if "slices 3 to 4…" in text and not painted:
            painted.append(text)
            bench.data_setitem(own, 7)

    widget.clicking.tools.propagation.said.connect(paint)
    key("samsp_propagate")
    assert painted and "Object 3 is in slices 1 to 4." in said()
    assert (bench.data[own] == 7).all()
    bench.undo()
    assert (bench.data[4] == 3).any() and not (bench.data[2] == 3).any()
    assert (bench.data[own] == 7).all()
    bench.undo()
    assert not (bench.data[own] == 7).any() and (bench.data[4] == 3).any()


def test_where_it_cannot_be_done_a_sentence_says_what_to_do(
    viewer, widget, bench, key, said, stack
):
    bench.selected_label = 9
    key("samsp_propagate")
    assert "Which object?" in said()
    flat = viewer.add_labels(stack[1][:1].copy(), name="one", scale=(3, 0.5, 0.5))
    viewer.layers.selection.active = flat
    assert widget.clicking.propagate_button.isHidden()
    key("samsp_propagate")
    assert "has this one slice only" in said() or "others" in said()


def test_the_stop_of_the_dock_ends_it_too(viewer, widget, bench, key, said, qtbot):
    add_ball(widget, bench, key, qtbot)
    assert not widget.stop_button.isEnabled()
    viewer.keymap[coerce_keybinding(KEYS["samsp_propagate"])](viewer)
    assert widget.stop_button.isEnabled()
    assert "following an object" in widget.stop_button.toolTip()
    key("samsp_stop")
    assert not widget.clicking.tools.propagation.running
    assert not widget.stop_button.isEnabled()
    assert "Stopped." in said()


@pytest.fixture
def unlinked(viewer, widget, bench, stack):
    """Ball and rod as they were predicted, under other labels in each slice."""
    truth, result = stack[1], StackResult((6, 96, 160), (1, 2), 1)
    result.allocate()
    for z, (ball, rod) in enumerate([(0, 1), (5, 3), (3, 5), (3, 9), (7, 8), (0, 3)]):
        labels = np.where(truth[z] == 1, ball, np.where(truth[z] == 2, rod, 0))
        bench.data[z] = labels
        plane = (z, None, None)
        result.target(0, plane)[...] = labels
        found = Iteration(
            labels=labels, logits=labels, prompt=None, iterations=1, iteration=0,
            score=1.0, iou_to_previous=None, seconds=0.0,
        )  # fmt: skip
        result.complete(plane, found, lambda: None)
    source = Source(viewer.layers["stack"].unique_id, None, stack=result, by_slice=True)
    remember_source(bench, source)
    bench.selected_label = 3
    return bench


def test_it_takes_over_its_own_prediction_in_slices_that_were_not_linked(
    unlinked, key, said, stack
):
    truth, before = stack[1], unlinked.data.copy()
    key("samsp_propagate")
    assert "Object 3 is in slices 1 to 4." in said()
    for z in (1, 2, 3, 4):
        assert iou(unlinked.data[z] == 3, truth[z] == 1) > 0.75, z
        # The rod is whole, under one label, and nothing is left of the prediction.
        assert set(np.unique(unlinked.data[z]).tolist()) == {0, 3, [5, 5, 9, 8][z - 1]}
        assert (unlinked.data[z] > 3).sum() == (truth[z] == 2).sum()
    assert np.array_equal(unlinked.data[[0, 5]], before[[0, 5]])
    found = unlinked.data.copy()
    unlinked.undo()
    assert np.array_equal(unlinked.data, before)
    key("samsp_propagate")  # and again
    assert np.array_equal(unlinked.data, found)


def test_it_takes_over_nothing_that_the_user_made(widget, unlinked, key, said, stack):
    truth = stack[1]
    # In slice 2 the ball was painted, and in 4 the object that is not the ball.
    unlinked.data[2][truth[2] == 1] = 4
    unlinked.data[2][:2, :9] = 4
    own = unlinked.data[2].copy()
    unlinked.data[4][truth[4] == 2] = 3
    unlinked.data[4][90:, 100:] = 3
    other = unlinked.data[4].copy()
    key("samsp_propagate")
    assert "In slice 2 it is object 4, which stays." in said()
    assert "In slice 4 the label 3 is another object, which stays" in said()
    assert np.array_equal(unlinked.data[2], own)
    assert np.array_equal(unlinked.data[4], other)


def test_it_takes_over_nothing_in_a_slice_that_was_kept(
    widget, unlinked, viewer, key, said, click, tmp_path
):
    widget.correcting.set_folder(tmp_path / "set")
    widget.correcting.labels.choose(unlinked)
    viewer.dims.set_current_step(0, 2)
    click("samsp_keep")
    viewer.dims.set_current_step(0, 3)
    kept = unlinked.data[2].copy()
    unlinked.selected_label = 3
    key("samsp_propagate")
    assert "What you made of it in slice 2 stays." in said()
    assert np.array_equal(unlinked.data[2], kept)
    assert (unlinked.data[4] == 3).any() and not (unlinked.data[4] == 7).any()


def test_objects_of_different_classes_do_not_exchange_their_labels(
    widget, unlinked, viewer, key, said
):
    classes = widget.correcting.class_list
    named = [LabelClass(1, "ball", "#00ff00"), LabelClass(2, "rod", "#ff0000")]
    classes.set_classes(named, OBJECTS)
    for z, names in {
        1: {5: "ball", 3: "rod"}, 2: {3: "ball", 5: "rod"}, 3: {3: "ball", 9: "rod"},
        4: {7: "ball", 8: "rod"},
    }.items():  # fmt: skip
        note_classes(unlinked, (z, None, None), names)
    before = unlinked.data[1].copy()
    key("samsp_propagate")
    # In 1 a rod has the label: its class would not come back with undo.
    assert "In slices 5 and 1 the label 3 is another object, which stays" in said()
    assert "Object 3 is in slices 2 to 4." in said()
    assert np.array_equal(unlinked.data[1], before)
    assert object_pages(unlinked)[4, None, None][3] == "ball"
