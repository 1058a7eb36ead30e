"""Objects get classes by a key, keep them, and show them again."""

from __future__ import annotations

import numpy as np
import pytest
from napari.utils.key_bindings import coerce_keybinding
from skimage import draw

from napari_samsp.data.training_sets.class_tables import read_table
from napari_samsp.data.training_sets.classes import LabelClass, read_classes
from napari_samsp.inference.results import Iteration
from napari_samsp.ui.correct.class_list import CLASS_KEY, NAME, OBJECTS
from napari_samsp.ui.correct.clicks.edits import Edit
from napari_samsp.ui.correct.clicks.work import ClickJob
from napari_samsp.ui.result_layers import RESULT_KEY, Source, remember_source
from napari_samsp.ui.segment.stack_result import StackResult
from napari_samsp.ui.widgets.object_classes import classes_of

DISC, BAR = LabelClass(1, "disc", "#00ff00"), LabelClass(2, "bar", "#ff0000")
GREEN, RED, WHITE = [0, 1, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]
PLACES = {3: (20, 20), 5: (20, 60), 8: (60, 100)}


def discs(places=PLACES, shape=(90, 140)) -> np.ndarray:
    labels = np.zeros(shape, np.int32)
    for label, place in places.items():
        labels[draw.disk(place, 9, shape=shape)] = label
    return labels


@pytest.fixture
def panel(widget, viewer, tmp_path):
    widget.correcting.set_folder(tmp_path / "set")
    image = np.random.default_rng(0).integers(0, 255, (90, 140), np.uint8)
    viewer.add_image(image, name="cells")
    viewer.add_labels(discs(), name="mask")
    widget.correcting.class_list.set_classes([DISC, BAR], OBJECTS)
    return widget.correcting


@pytest.fixture
def press(viewer):
    def at(key, *place):
        if place:
            viewer.cursor.position = place
        viewer.keymap[coerce_keybinding(key)](viewer)

    return at


def colors(layer, *labels):
    return layer.colormap.map(np.array(labels)).round(1).tolist()


def test_a_key_gives_the_object_under_the_cursor_the_chosen_class(
    panel, viewer, widget, press
):
    layer = viewer.layers["mask"]
    assert colors(layer, 3, 5) == [WHITE, WHITE]
    press("Alt-2")
    assert layer.selected_label == 1  # a class is no label
    press(CLASS_KEY, *PLACES[5])
    assert classes_of(layer) == {5: "bar"}
    assert "Object 5: bar" in viewer.status
    assert "Object 5: bar" in widget.status.text()
    press("Alt-1")
    press(CLASS_KEY, *PLACES[3])
    assert classes_of(layer) == {3: "disc", 5: "bar"}
    assert colors(layer, 3, 5, 8, 0) == [GREEN, RED, WHITE, [0, 0, 0, 0]]
    press(CLASS_KEY, *PLACES[5])  # pressed again, it mends a slip
    assert classes_of(layer)[5] == "disc"
    press(CLASS_KEY, 80, 5)
    assert "no object under the cursor" in viewer.status
    assert classes_of(layer) == {3: "disc", 5: "disc"}


def test_objects_without_a_class_are_named_and_not_kept(panel, viewer, press, click):
    press("Alt-2")
    press(CLASS_KEY, *PLACES[5])
    click("samsp_keep")
    said = panel.message.text()
    assert "Objects 3, 8 have no class (white)" in said
    assert "press Class the rest to make them bar" in said
    assert not panel.training_set.samples()
    press("Alt-1")
    click("samsp_class_rest")
    click("samsp_keep")
    (sample,) = panel.training_set.samples()
    classes = read_classes(panel.training_set.folder)
    assert (classes.kind, classes.names) == ("instances", ["disc", "bar"])
    assert classes.ignore == ()  # 255 is an object among many
    assert read_table(sample.table, classes) == {3: 0, 5: 1, 8: 0}


def test_a_kept_correction_shows_its_classes_again(panel, viewer, press, click):
    press("Alt-2")
    press(CLASS_KEY, *PLACES[5])
    press("Alt-1")
    click("samsp_class_rest")
    click("samsp_keep")
    panel.class_list.table.item(1, NAME).setText("rod")
    assert classes_of(viewer.layers["mask"])[5] == "rod"
    click("samsp_keep")  # what was kept before knows the class by its number
    viewer.layers.clear()
    panel.list.setCurrentItem(panel.list.topLevelItem(0))
    click("samsp_open_correction")
    layer = viewer.layers["cells correction"]
    assert classes_of(layer) == {3: "disc", 5: "rod", 8: "disc"}
    assert colors(layer, 3, 5) == [GREEN, RED]
    # Replaced and undone, mask and table are those of before.
    press("Alt-1")
    press(CLASS_KEY, *PLACES[5])
    click("samsp_keep")
    classes = read_classes(panel.training_set.folder)
    (sample,) = panel.training_set.samples()
    assert read_table(sample.table, classes)[5] == 0
    click("samsp_undo_correction")
    (sample,) = panel.training_set.samples()
    assert read_table(sample.table, classes)[5] == 1


def test_painted_objects_get_the_chosen_class(panel, viewer, press, click, qtbot):
    layer = viewer.layers["mask"]
    click("samsp_class_rest")
    press("Alt-2")
    layer.selected_label = 9
    assert colors(layer, 9) == [RED]  # as it will be
    layer.brush_size = 8
    layer.paint((70, 30), 9)
    qtbot.waitUntil(lambda: classes_of(layer).get(9) == "bar")
    press("Alt-1")
    layer.paint((70, 36), 9)  # more of the same object
    layer.paint((20, 20), 3)
    qtbot.wait(50)
    assert classes_of(layer) == {3: "disc", 5: "disc", 8: "disc", 9: "bar"}
    # A label that was erased, and is painted anew, is another object.
    press("Alt-2")
    layer.fill((20, 60), 0)
    layer.paint((70, 70), 5)
    click("samsp_keep")
    (sample,) = panel.training_set.samples()
    classes = read_classes(panel.training_set.folder)
    assert read_table(sample.table, classes) == {3: 0, 5: 1, 8: 0, 9: 1}


def test_undoing_an_erasure_brings_the_object_back_with_its_class(
    panel, viewer, press, qtbot
):
    layer = viewer.layers["mask"]
    press("Alt-2")
    press(CLASS_KEY, *PLACES[5])
    press("Alt-1")
    layer.fill(PLACES[5], 0)
    qtbot.wait(50)
    layer.undo()
    layer.paint((70, 30), 9)
    qtbot.wait(50)
    assert classes_of(layer)[5] == "bar"


def edited(panel, layer, places, before, after, label, told=None):
    """What a click tool writes, and then tells."""
    rows, columns = np.concatenate([np.nonzero(p) for p in places], axis=1)
    after = np.repeat(after, [np.count_nonzero(p) for p in places])
    layer.data_setitem((rows, columns), after)
    edit = Edit(rows, columns, np.full(len(rows), before), after, label, "", told)
    job = ClickJob(panel.shown_pair(), None, lambda plane: None)
    panel.object_classes.on_edit(job, edit)


def test_parts_of_an_object_and_what_is_like_it_are_of_its_class(panel, viewer, press):
    layer = viewer.layers["mask"]
    press("Alt-2")
    press(CLASS_KEY, *PLACES[5])
    press("Alt-1")
    right = (layer.data == 5) & (np.arange(140) > 60)
    edited(panel, layer, [right], 5, [9], 9)
    assert classes_of(layer) == {5: "bar", 9: "bar"}
    like = [discs({1: (60, 20)}) > 0, discs({1: (60, 60)}) > 0]
    edited(panel, layer, like, 0, [10, 11], 5)
    assert {classes_of(layer)[n] for n in (10, 11)} == {"bar"}
    # Merged, all of it is of the class of the first.
    press(CLASS_KEY, *PLACES[3])
    edited(panel, layer, [layer.data == 10], 10, [3], 3)
    assert classes_of(layer)[3] == "disc"


def test_measuring_tells_the_class_of_each_object(
    panel, viewer, widget, press, click, qtbot, tmp_path
):
    layer = viewer.layers["mask"]
    press("Alt-2")
    press(CLASS_KEY, *PLACES[5])
    with qtbot.waitSignal(widget.measuring.ended):
        widget.measuring.measure(tmp_path / "table.csv")
    header, *rows = (tmp_path / "table.csv").read_text().splitlines()
    at = header.split(",").index("class")
    assert [row.split(",")[at] for row in rows] == ["", "bar", ""]
    press(CLASS_KEY, *PLACES[8])
    assert classes_of(layer) == {5: "bar", 8: "bar"}
    assert layer.features.set_index("index")["area"].notna().all()


def test_in_a_stack_each_slice_has_objects_of_its_own(widget, viewer, press, tmp_path):
    panel = widget.correcting
    panel.set_folder(tmp_path / "set")
    image = viewer.add_image(np.ones((2, 90, 140), np.uint8), name="stack")
    layer = viewer.add_labels(np.stack([discs(), discs()]), name="mask")
    source = Source(image.unique_id, None, by_slice=True)
    remember_source(layer, source)
    panel.class_list.set_classes([DISC, BAR], OBJECTS)
    viewer.dims.set_point(0, 0)
    press("Alt-2")
    press(CLASS_KEY, 0, *PLACES[5])
    viewer.dims.set_point(0, 1)
    assert classes_of(layer) == {}
    assert colors(layer, 5) == [WHITE]
    press("Alt-1")
    press(CLASS_KEY, 1, *PLACES[5])
    assert classes_of(layer) == {5: "disc"}
    viewer.dims.set_point(0, 0)
    assert classes_of(layer) == {5: "bar"}
    assert colors(layer, 5) == [RED]


def test_an_object_that_was_followed_has_its_class_in_each_slice(
    widget, viewer, press, tmp_path
):
    panel, stack = widget.correcting, StackResult((2, 90, 140), (1, 2), 1)
    panel.set_folder(tmp_path / "set")
    stack.allocate()
    found = Iteration(
        labels=discs(), logits=discs(), prompt=None, iterations=1, iteration=0,
        score=1.0, iou_to_previous=None, seconds=0.0,
    )  # fmt: skip
    for z in (0, 1):
        stack.target(0, (z, None, None))[...] = discs()
        stack.complete((z, None, None), found, lambda: None)
    image = viewer.add_image(np.ones((2, 90, 140), np.uint8), name="stack")
    layer = viewer.add_labels(np.stack([discs(), discs()]), name="mask")
    remember_source(layer, Source(image.unique_id, None, stack=stack, by_slice=True))
    panel.class_list.set_classes([DISC, BAR], OBJECTS)
    viewer.dims.set_point(0, 0)
    press("Alt-2")
    press(CLASS_KEY, 0, *PLACES[5])
    rows, columns = np.nonzero(discs({9: (60, 30)}))
    for z in (0, 1):  # added, and followed into the other slice
        layer.data_setitem((np.full(len(rows), z), rows, columns), 9)
    panel.object_classes.settle()
    press("Alt-1")
    viewer.dims.set_point(0, 1)
    assert classes_of(layer) == {9: "bar"}  # 5 is another object here


def test_the_user_says_whether_labels_are_areas_or_objects(
    widget, viewer, click, tmp_path
):
    panel = widget.correcting
    panel.set_folder(tmp_path / "set")
    classes = panel.class_list
    viewer.add_image(np.ones((90, 140), np.uint8), name="cells")
    viewer.add_labels(discs(), name="mask")
    widget.segmenting.objects.setChecked(False)
    click("samsp_classes")
    assert (classes.kind, classes.rest_button.isHidden()) == ("semantic", True)
    classes.kind_box.setCurrentIndex(classes.kind_box.findData(OBJECTS))
    classes.kind_box.activated.emit(classes.kind_box.currentIndex())
    assert not classes.rest_button.isHidden()
    # What is trained and segmented from now on are objects.
    assert widget.segmenting.objects.isChecked()
    assert widget.finetuning.settings.objects.isChecked()
    click("samsp_class_rest")
    click("samsp_keep")
    assert not classes.kind_box.isEnabled()  # kept corrections are so
    panel.set_folder(tmp_path / "other")
    assert classes.kind_box.isEnabled()


def test_a_list_for_separate_objects_is_one_of_objects(widget, viewer, click):
    layer = viewer.add_labels(discs(), name="result")
    layer.metadata[RESULT_KEY] = {"objects": True}
    widget.correcting.labels.choose(layer)
    click("samsp_classes")
    assert widget.correcting.class_list.kind == OBJECTS
