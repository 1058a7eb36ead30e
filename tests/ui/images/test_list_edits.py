"""Edits and kept labels of the image list, with real keys in a real viewer."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import tifffile
from list_bench import LEFT
from qtpy.QtCore import QTimer

from napari_samsp.data.image_files import read_labels
from napari_samsp.data.training_sets.classes import LabelClass
from napari_samsp.ui.correct.class_list import OBJECTS
from napari_samsp.ui.images.image_list import State
from napari_samsp.ui.result_layers import source_of
from napari_samsp.ui.widgets.object_classes import classes_of
from napari_samsp.utils.paths import widget_file

pytestmark = pytest.mark.gui


def paint(bench) -> np.ndarray:
    """A stroke of the brush, as napari makes it."""
    layer = bench.labels
    number = int(layer.data.max()) + 1
    layer.data_setitem((np.full(9, 3), np.arange(9)), number)
    return layer.data.copy()


def test_edits_that_were_not_kept_come_back(bench, folder):
    bench.open_folder(folder)
    bench.key("samsp_next")
    bench.at("a")
    edited = paint(bench)
    bench.ahead()
    bench.key("samsp_next")
    assert bench.said == "The edits of a are stored as a draft."
    bench.at("b")
    bench.key("samsp_previous")
    bench.at("a")
    assert np.array_equal(bench.labels.data, edited)
    assert "Your edits of a are back" in bench.said
    bench.wait(lambda: bench.control.images.entries[0].drafted)
    # Taken back, they are no draft any more.
    bench.labels.data = source_of(bench.labels).prediction.copy()
    bench.key("samsp_next")
    bench.at("b")
    bench.wait(lambda: not bench.control.images.entries[0].drafted)
    assert not bench.widget.correcting.training_set.samples()


def test_edits_are_on_the_disk_before_the_image_is_left(bench, folder):
    bench.open_folder(folder)
    bench.key("samsp_next")
    bench.at("a")
    edited = paint(bench)
    home = widget_file().parent / "images" / "edits"
    bench.wait(lambda: any(home.glob("*.draft.json")))
    (file,) = home.glob("*.draft.tif")
    assert np.array_equal(read_labels(file), edited)


def test_each_image_of_a_tiff_is_kept_under_its_name(bench, tmp_path, nuclei):
    path = tmp_path / "in" / "plate.ome.tif"
    path.parent.mkdir()
    images = {"B2": nuclei[0], "C3": nuclei[0][:80, 20:]}
    with tifffile.TiffWriter(path, ome=True) as file:
        for name, image in images.items():
            file.write(image, metadata={"axes": "YX", "Name": name})
    bench.open_folder(path.parent)
    bench.key("samsp_next")
    bench.at("plate_B2")
    bench.ahead()
    bench.key("samsp_keep_next")
    bench.at("plate_C3")
    assert np.array_equal(bench.viewer.layers["plate_C3"].data, images["C3"])
    bench.key("samsp_keep_next")
    bench.wait(lambda: len(bench.widget.correcting.training_set.samples()) == 2)
    samples = bench.widget.correcting.training_set.samples()
    assert [one.name for one in samples] == ["plate_B2", "plate_C3"]
    assert [one.info["file"] for one in samples] == [
        str(path / "B2"),
        str(path / "C3"),
    ]
    for sample, image in zip(samples, images.values(), strict=True):
        assert np.array_equal(sample.read()[0], image)


def test_keep_and_next_keeps_and_goes_on(bench, folder):
    bench.open_folder(folder)
    bench.key("samsp_next")
    bench.at("a")
    unedited = bench.labels.data.copy()
    bench.ahead()
    bench.key("samsp_keep_next")
    bench.at("b")
    edited = paint(bench)
    bench.ahead()
    bench.click("samsp_keep_next")
    bench.at("c")
    samples = bench.widget.correcting.training_set.samples()
    assert [one.info["file"] for one in samples] == [
        str(folder / "a.tif"),
        str(folder / "b.tif"),
    ]
    assert np.array_equal(samples[0].read()[1], unedited)
    assert np.array_equal(samples[1].read()[1], edited)
    assert bench.states()[:3] == [State.CORRECTED, State.CORRECTED, State.SEGMENTED]
    bench.key("samsp_previous")
    bench.at("b")
    assert np.array_equal(bench.labels.data, edited)
    assert not bench.control.images.entries[1].drafted


def test_an_image_without_objects_is_kept_by_one_key_too(bench, folder):
    bench.open_folder(folder)
    bench.key("samsp_next")
    bench.at("a")
    bench.labels.data = np.zeros_like(bench.labels.data)
    bench.ahead()
    bench.key("samsp_keep_next")
    bench.at("b")
    assert bench.states()[0] is State.CORRECTED
    assert not bench.widget.correcting.training_set.samples()
    bench.key("samsp_previous")
    bench.wait(lambda: [n[-1] for n in bench.names] == ["a", "a"])
    assert not bench.labels.data.any()


def test_corrected_images_are_never_segmented_again(bench, folder):
    bench.open_folder(folder)
    bench.key("samsp_next")
    bench.at("a")
    edited = paint(bench)
    bench.ahead()
    bench.key("samsp_keep_next")
    bench.at("b")
    bench.widget.segmenting.objects.setChecked(True)  # as an adapter may do
    bench.click("samsp_segment_all")
    bench.wait(lambda: not bench.control.whole.running)
    (manifest,) = (widget_file().parent / "images").glob("cells-*/manifest.jsonl")
    last = {}
    for line in map(json.loads, manifest.read_text().splitlines()):
        last[line["name"]] = line["settings"]["objects"]
    assert last == {"a": False, "b": True, "c": True, "d": True}
    bench.key("samsp_previous")
    # A result in these settings it has not: only the kept labels are shown.
    bench.wait(lambda: bench.names == ["a", "SAM-SP · a"])
    assert np.array_equal(bench.labels.data, edited)


def test_labels_of_the_image_before_are_not_kept_for_the_next(bench, folder):
    bench.open_folder(folder)
    bench.key("samsp_next")
    bench.at("a")
    bench.labels.data = np.zeros_like(bench.labels.data)
    bench.control.ahead.drop()  # so that b is shown before it is segmented
    seen = []

    def keep_too_early() -> None:
        seen.extend(bench.names)
        bench.key("samsp_keep_next")

    image = bench.viewer.layers["a"]
    image.events.name.connect(lambda _: QTimer.singleShot(0, keep_too_early))
    bench.key("samsp_next")
    bench.wait(lambda: bool(seen))
    assert seen == ["b", "SAM-SP 1 · a"]
    assert bench.said.startswith("This image has no labels yet")
    bench.at("b")
    assert State.CORRECTED not in bench.states()
    assert not bench.widget.correcting.training_set.samples()


def test_where_nothing_is_to_be_corrected_six_actions_make_a_table(
    bench, folder, tmp_path
):
    bench.open_folder(folder)  # a click, and the dialog
    bench.widget._scroll.ensureWidgetVisible(bench.widget.segmenting.objects)
    bench.actions += 1
    bench.qtbot.mouseClick(bench.widget.segmenting.objects, LEFT)
    bench.click("samsp_segment_all")
    bench.save_table(tmp_path / "objects.csv")  # once all are segmented
    assert bench.actions == 6
    with (tmp_path / "objects.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    counts = {e.name: e.objects for e in bench.control.images.entries}
    assert counts == {n: sum(row["image"] == n for row in rows) for n in "abcd"}
    assert all(counts.values())


def classed(bench, label: int, name: str) -> None:
    """A person chooses a class, and gives it to an object."""
    widget, layer = bench.widget, bench.labels
    classes = widget.correcting.class_list
    classes.pick([one.name for one in classes.classes].index(name))
    row, column = np.argwhere(layer.data == label)[0]
    bench.viewer.cursor.position = layer.data_to_world((row, column))
    widget.correcting.object_classes.set_under_cursor()


def test_classes_of_objects_come_back_with_their_image(bench, folder):
    classes = bench.widget.correcting.class_list
    named = [LabelClass(1, "round", "#00ff00"), LabelClass(2, "long", "#ff0000")]
    classes.set_classes(named, OBJECTS)
    assert bench.widget.segmenting.objects.isChecked()
    bench.open_folder(folder)
    bench.key("samsp_next")
    bench.at("a")
    kept = bench.labels.data.copy()
    first, *others = np.unique(kept)[1:].tolist()
    classed(bench, first, "long")
    classes.pick(0)
    bench.click("samsp_class_rest")
    wanted = {first: "long"} | dict.fromkeys(others, "round")
    bench.ahead()
    bench.key("samsp_keep_next")
    bench.at("b")
    assert classes_of(bench.labels) == {}  # those of the image before are not here
    drafted = np.unique(bench.labels.data)[1]
    classed(bench, drafted, "long")  # and not kept
    bench.ahead()
    bench.key("samsp_next")
    bench.at("c")
    bench.key("samsp_previous")
    bench.at("b")
    assert classes_of(bench.labels) == {drafted: "long"}
    bench.key("samsp_previous")
    bench.at("a")
    assert np.array_equal(bench.labels.data, kept)
    assert classes_of(bench.labels) == wanted
    colors = bench.labels.colormap.map(np.array([first, *others[:1]])).round(1)
    assert colors[0].tolist() == [1, 0, 0, 1]
    assert all(color.tolist() == [0, 1, 0, 1] for color in colors[1:])


def test_areas_that_were_painted_have_their_classes_in_the_table_of_the_list(
    bench, folder, tmp_path
):
    classes = bench.widget.correcting.class_list
    classes.set_classes(
        [LabelClass(1, "leaf", "#00ff00"), LabelClass(2, "spot", "#ff0000")]
    )
    bench.open_folder(folder)
    bench.key("samsp_next")
    bench.at("a")
    rows, columns = (index.ravel() for index in np.mgrid[2:9, 3:20])
    bench.labels.data_setitem((rows, columns), 2)
    bench.key("samsp_keep_next")
    bench.at("b")
    bench.save_table(tmp_path / "areas.csv")
    with (tmp_path / "areas.csv").open(newline="") as stream:
        found = [r for r in csv.DictReader(stream) if r["image"] == "a"]
    assert {row["label"]: row["class"] for row in found}["2"] == "spot"
    assert {row["class"] for row in found} <= {"leaf", "spot"}
