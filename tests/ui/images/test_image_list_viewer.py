"""The image list with a real mouse and real keys in a real viewer."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from list_bench import LEFT, WORK_MS, Bench

from napari_samsp.data.image_files import read_image
from napari_samsp.sam.adapters.adapter import add_lora, save_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.ui.images.image_list import State
from napari_samsp.ui.result_layers import source_of
from napari_samsp.utils.paths import runs_folder, widget_file

pytestmark = pytest.mark.gui


def test_without_a_list_there_is_one_row_of_buttons(bench):
    panel = bench.widget.images
    assert panel.open_button.isVisibleTo(bench.widget)
    for part in (panel.table, panel.next, panel.all_button, panel.message):
        assert not part.isVisibleTo(bench.widget)
    assert panel.sizeHint().height() < 60


def test_next_shows_image_and_labels_and_leaves_other_layers_alone(bench, folder):
    bench.viewer.add_image(np.zeros((7, 9), np.uint8), name="mine")
    bench.open_folder(folder)
    assert bench.names == ["mine"]  # listing opens nothing
    bench.key("samsp_next")
    bench.at("a")
    first = bench.labels.data.copy()
    assert first.any()
    assert source_of(bench.labels).prediction is not None
    bench.ahead()
    bench.key("samsp_next")
    bench.at("b")
    expected = read_image(folder / "b.tif")
    assert np.array_equal(bench.viewer.layers["b"].data, expected)
    assert bench.viewer.layers["b"].source.path == str(folder / "b.tif")
    bench.key("samsp_previous")
    bench.at("a")
    assert np.array_equal(bench.labels.data, first)
    assert bench.states()[:2] == [State.SEGMENTED] * 2
    entry = bench.control.images.entries[0]
    assert entry.objects == len(np.unique(first)) - 1
    assert 0 < entry.confidence < 1
    assert bench.viewer.layers["mine"].data.shape == (7, 9)


def test_next_goes_on_while_an_adapter_is_trained(bench, folder):
    bench.control.background.pause(True)  # as training does
    bench.open_folder(folder)
    for name in "ab":
        bench.key("samsp_next")
        bench.at(name)
    assert not bench.control.ahead.is_ready


def test_a_round_of_the_table_is_shown_when_it_is_asked_for(bench, folder):
    bench.open_folder(folder)
    bench.key("samsp_next")
    bench.at("a")
    table = bench.widget.segmenting.table
    assert table.rowCount() == 2
    bench.qtbot.mouseClick(
        table.viewport(), LEFT, pos=table.visualItemRect(table.item(0, 1)).center()
    )
    layer = bench.viewer.layers["SAM-SP 0 · a"]
    assert layer.visible
    assert not bench.viewer.layers["SAM-SP 1 · a"].visible
    assert layer.metadata["samsp"]["object_count"] == len(np.unique(layer.data)) - 1
    bench.widget.segmenting.disagreement_button.click()
    bench.ahead()
    bench.key("samsp_next")
    bench.at("b")  # the map of the rounds has gone too


def test_files_that_cannot_be_read_stop_nothing(bench, folder):
    (folder / "ab.png").write_bytes(b"\x89PNG broken")
    (folder / "ac.tif").write_bytes(b"")
    bench.open_folder(folder)
    for name in "abcd":
        bench.key("samsp_next")
        bench.at(name)
    failed = bench.control.images.find("ab"), bench.control.images.find("ac")
    assert [one.state for one in failed] == [State.FAILED] * 2
    assert all(one.reason for one in failed)
    bench.key("samsp_next")
    assert bench.said == "This is the last image."
    bench.at("d")


def test_segment_all_stops_goes_on_and_ranks(bench, folder):
    (folder / "e.tif").write_bytes(b"broken")
    bench.open_folder(folder)
    bench.click("samsp_segment_all")
    images = bench.control.images
    bench.wait(lambda: images.count(State.SEGMENTED) >= 1)
    button = bench.widget.images.all_button
    assert button.text().startswith("Stop (")
    bench.click("samsp_segment_all")
    assert button.text() == "Segment all"
    assert bench.said.startswith("Stopped.")
    bench.wait(lambda: not bench.control.background.running)
    done = images.count(State.SEGMENTED)
    (manifest,) = (widget_file().parent / "images").glob("cells-*/manifest.jsonl")
    lines = len(manifest.read_text().splitlines())
    assert lines == done < 5
    bench.click("samsp_segment_all")
    bench.wait(lambda: not bench.control.whole.running)
    assert bench.said == "4 images have labels. 1 failed: point at them to see why."
    names = [json.loads(line)["name"] for line in manifest.read_text().splitlines()]
    assert sorted(names) == list("abcde")  # each once
    bench.qtbot.mouseClick(bench.widget.images.ranked, LEFT)
    sure = [one.confidence for one in images.entries[:4]]
    assert sure[0] == min(sure)  # the others also by how different they look
    assert images.entries[-1].name == "e"
    bench.key("samsp_next")
    bench.at(images.entries[0].name)


def test_the_next_session_goes_on_where_this_one_ended(
    bench, folder, make_napari_viewer, npe2pm
):
    bench.open_folder(folder)
    for name in "ab":
        bench.key("samsp_next")
        bench.at(name)
    bench.wait(lambda: '"images_at": "b"' in widget_file().read_text())
    with npe2pm.tmp_plugin(package="napari-samsp"):
        viewer = make_napari_viewer(show=True)
        _, widget = viewer.window.add_plugin_dock_widget("napari-samsp", "SAM-SP")
    again = Bench(viewer, widget, bench.qtbot, bench.monkeypatch)
    again.wait(lambda: len(again.control.images) == 4)
    assert not again.viewer.layers
    assert again.states()[:2] == [State.SEGMENTED] * 2
    again.key("samsp_next")
    again.at("b")
    again.control.background.close()
    again.wait(lambda: not again.control.background.running)


def test_a_folder_that_is_gone_or_changes(bench, folder):
    bench.open_folder(folder)
    bench.key("samsp_next")
    bench.at("a")
    bench.ahead()
    shutil.copy(folder / "a.tif", folder / "aa.tif")
    (folder / "d.tif").unlink()
    bench.control.refresh()
    images = bench.control.images
    bench.wait(lambda: [e.name for e in images.entries] == ["a", "aa", "b", "c"])
    bench.key("samsp_next")
    bench.at("aa")
    bench.ahead()  # or else reading b could fail once the folder is back
    moved = folder.rename(folder.with_name("elsewhere"))
    bench.control.refresh()
    bench.wait(lambda: "There is no file or folder" in bench.said)
    assert len(images) == 4
    bench.at("aa")
    moved.rename(folder)
    bench.control.refresh()
    bench.wait(lambda: not bench.said and not images.find("b").reason)
    bench.key("samsp_next")
    bench.at("b")


def test_a_click_on_a_row_opens_it_and_skipped_rows_are_passed_over(bench, folder):
    bench.open_folder(folder)
    panel = bench.widget.images
    at = panel.table.visualRect(panel.model.index(2, 0)).center()
    bench.qtbot.mouseClick(panel.table.viewport(), LEFT, pos=at)
    bench.at("c")
    bench.control.skip(bench.control.images.find("b"), True)
    bench.key("samsp_previous")
    bench.at("a")
    bench.control.open_place(str(folder))
    bench.wait(lambda: not bench.control.background.running)
    assert bench.states()[1] is State.SKIPPED


def test_open_layers_are_a_list_too(bench, nuclei):
    for name in ("one", "two"):
        bench.viewer.add_image(nuclei[0], name=name)
    bench.control.open_layers()
    assert not bench.widget.images.all_button.isVisibleTo(bench.widget)
    run = bench.widget.segmenting.run
    for name in ("one", "two"):
        with bench.qtbot.waitSignal(run.ended, timeout=WORK_MS):
            bench.key("samsp_next")
        assert bench.viewer.layers[name].visible
        assert bench.labels.name == f"SAM-SP 1 · {name}"
    bench.key("samsp_keep_next")
    assert bench.states() == [State.SEGMENTED, State.CORRECTED]
    assert [n for n in bench.names if n in ("one", "two")] == ["one", "two"]


@pytest.mark.parametrize("count", [2, 4])
def test_from_a_folder_to_a_table_in_one_key_an_image(bench, folder, tmp_path, count):
    for name in "abcd"[count:]:
        (folder / f"{name}.tif").unlink()
    assert not bench.actions
    bench.open_folder(folder)  # a click, and the dialog
    bench.widget._scroll.ensureWidgetVisible(bench.widget.segmenting.objects)
    bench.actions += 1
    bench.qtbot.mouseClick(bench.widget.segmenting.objects, LEFT)
    bench.wait(bench.widget.segmenting.objects.isChecked)
    bench.key("samsp_next")
    found = []
    for name in "abcd"[:count]:
        bench.at(name)
        found.append(len(np.unique(bench.labels.data)) - 1)
        bench.key("samsp_keep_next")
    bench.save_table(tmp_path / "objects.csv")  # a click, and the dialog
    assert bench.actions == count + 6
    with (tmp_path / "objects.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    per_image = [sum(row["image"] == n for row in rows) for n in "abcd"[:count]]
    assert per_image == found
    assert all(found)
    labels = bench.widget.correcting.training_set.samples()[0].read()[1]
    areas = np.bincount(labels.ravel())[1:]
    ours = [float(row["area_px"]) for row in rows if row["image"] == "a"]
    assert sorted(ours) == sorted(areas[areas > 0])


def test_a_new_adapter_is_offered_for_all_images(bench, folder):
    bench.open_folder(folder)
    button = bench.widget.images.apply_button
    assert not button.isVisibleTo(bench.widget)
    bench.click("samsp_segment_all")
    bench.wait(lambda: not bench.control.whole.running)
    loaded = load_sam("samsp_small")
    adapter = runs_folder() / "monday" / "adapter"
    card = AdapterCard("samsp_small", loaded.sha256, 256)
    save_adapter(add_lora(loaded.sam, 2, loaded.name), adapter, card)
    bench.widget.finetuning.adapter_ready.emit(adapter)
    assert bench.widget.segmenting.adapter.adapter.name == "monday"
    bench.click("samsp_apply_all")
    bench.wait(lambda: not bench.control.whole.running)
    assert not button.isVisibleTo(bench.widget)
    (manifest,) = (widget_file().parent / "images").glob("cells-*/manifest.jsonl")
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert [line["settings"]["adapter"] is not None for line in lines] == [
        False
    ] * 4 + [True] * 4
