"""Classes are named in a list, painted by number, and kept with the correction."""

from __future__ import annotations

import json

import numpy as np
import pytest
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtCore import Qt

from napari_samsp.data.training_sets.classes import (
    Classes,
    LabelClass,
    read_classes,
    write_classes,
)
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.ui.correct.class_list import COLOR, NAME
from napari_samsp.ui.result_layers import RESULT_KEY

LEAF, SPOT = LabelClass(1, "leaf", "#00ff00"), LabelClass(4, "spot", "#ff0000")


@pytest.fixture
def panel(widget, viewer, tmp_path):
    widget.correcting.set_folder(tmp_path / "set")
    image = np.random.default_rng(0).integers(0, 255, (40, 60), np.uint8)
    viewer.add_image(image, name="plant")
    viewer.add_labels(np.zeros((40, 60), np.int32), name="mask")
    return widget.correcting


def rename(panel, row, name):
    panel.class_list.table.item(row, NAME).setText(name)


def test_named_classes_are_painted_coloured_and_kept(panel, viewer, click):
    classes, layer = panel.class_list, viewer.layers["mask"]
    assert classes.table.isHidden()
    assert classes.classes == ()
    classes.toggle.setChecked(True)
    assert not classes.table.isHidden()
    click("samsp_class_add")
    assert layer.selected_label == 2
    rename(panel, 0, "leaf")
    rename(panel, 1, "spot")
    assert [one.name for one in classes.classes] == ["leaf", "spot"]
    classes.pick(0)
    assert layer.selected_label == 1
    layer.data[5:20, 5:20], layer.data[5:9, 30:40], layer.data[30:] = 1, 2, 255
    click("samsp_keep")
    kept = read_classes(panel.training_set.folder)
    assert kept.names == ["leaf", "spot"]
    assert kept.ignore == (255,)
    (sample,) = panel.training_set.samples()
    assert np.array_equal(sample.read()[1], layer.data)
    shown = layer.colormap.map(np.array([1, 2]))
    wanted = [one.color for one in classes.classes]
    bytes_of = (255 * shown[:, :3]).round().astype(np.uint8)
    found = [f"#{color.tobytes().hex()}" for color in bytes_of]
    assert found == wanted


def test_keys_choose_the_class_to_paint(panel, viewer):
    def press(key):
        viewer.keymap[coerce_keybinding(key)](viewer)

    press("Alt-2")
    assert viewer.layers["mask"].selected_label == 1  # the list is closed
    panel.class_list.set_classes([LEAF, SPOT])
    press("Alt-2")
    assert viewer.layers["mask"].selected_label == 4
    press("Alt-9")
    assert viewer.layers["mask"].selected_label == 4


def test_a_label_without_a_class_is_not_kept(panel, viewer, click):
    panel.class_list.set_classes([LEAF, SPOT])
    viewer.layers["mask"].data[5:9, 5:9] = 3
    click("samsp_keep")
    assert "The label 3 is no class: add it to the list" in panel.message.text()
    assert not panel.training_set.samples()
    assert read_classes(panel.training_set.folder) is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("spot", "two classes have the name"),
        ("  ", "has no name"),
        ("7", "called 7, which a table of objects takes for a label"),
    ],
)
def test_a_name_that_cannot_be_is_refused_and_shown_as_it_was(
    panel, monkeypatch, name, said
):
    told = []
    monkeypatch.setattr("napari_samsp.ui.correct.class_list.show_error", told.append)
    panel.class_list.set_classes([LEAF, SPOT])
    rename(panel, 0, name)
    assert said in told[0]
    assert panel.class_list.classes == (LEAF, SPOT)
    assert panel.class_list.table.item(0, NAME).text() == "leaf"


def test_a_new_class_has_a_name_that_no_other_has(panel):
    panel.class_list.set_classes([LabelClass(1, "Class 2", "#00ff00")])
    panel.class_list.add()
    names = [one.name for one in panel.class_list.classes]
    assert names == ["Class 2", "another class 2"]


def test_the_list_shows_the_classes_of_the_set_or_of_a_result(panel, viewer, tmp_path):
    other = TrainingSet(tmp_path / "other")
    other.folder.mkdir()
    write_classes(other.folder, Classes("semantic", (LEAF, SPOT)))
    panel.set_folder(other.folder)
    assert panel.class_list.classes == (LEAF, SPOT)
    item = panel.class_list.table.item(1, COLOR)
    assert item.data(Qt.ItemDataRole.DecorationRole).name() == SPOT.color
    panel.class_list.set_classes([])
    assert panel.class_list.table.isHidden()
    panel.set_folder(tmp_path / "none")
    result = viewer.add_labels(np.zeros((40, 60), np.int32), name="result")
    told = [{"label": 4, "name": "spot", "color": "#ff0000"}]
    result.metadata[RESULT_KEY] = {"classes": told}
    panel.labels.choose(viewer.layers["mask"])
    panel.labels.choose(result)
    assert panel.class_list.classes == (SPOT,)


def test_fine_tuning_a_set_with_classes_learns_them(panel, widget, tmp_path):
    def arguments():
        return widget.finetuning.settings.arguments(
            panel.training_set.folder, tmp_path / "run", "samsp_small", None,
            widget.segmenting.scaling.scaling,
        )  # fmt: skip

    assert "--classes" not in arguments()
    panel.training_set.folder.mkdir()
    write_classes(panel.training_set.folder, Classes("semantic", (LEAF, SPOT)))
    assert "--classes" in arguments()


def test_a_broken_list_of_classes_is_told(panel):
    panel.training_set.folder.mkdir()
    (panel.training_set.folder / "classes.json").write_text(json.dumps({"kind": 1}))
    panel.refresh()
    assert "classes.json cannot be used" in panel.message.text()
