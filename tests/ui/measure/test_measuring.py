"""Measure: objects of a layer in its features, and as a table."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog
from skimage.measure import regionprops

from napari_samsp.data.training_sets.classes import LabelClass
from napari_samsp.ui.measure.measuring import request_of
from napari_samsp.utils.errors import InputError

MEASURE_MS = 60_000


@pytest.fixture
def measure(widget, click, qtbot):
    """Press Measure and wait for the end."""

    def run(name: str = "samsp_measure") -> str:
        with qtbot.waitSignal(widget.measuring.ended, timeout=MEASURE_MS):
            click(name)
        return widget.measuring.message.text()

    return run


def rows(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_objects_in_units_are_the_layers_features(viewer, nuclei, measure) -> None:
    placed = {"scale": (0.5, 0.5), "units": ("um", "um")}
    viewer.add_image(nuclei[0], **placed)
    layer = viewer.add_labels(nuclei[1], **placed)
    said = measure()
    regions = regionprops(nuclei[1], nuclei[0], spacing=(0.5, 0.5))
    median = np.median([region.area for region in regions])
    assert said == f"6 objects · median area {median:.4g} µm²"
    found = layer.features
    assert found["index"].tolist() == [1, 2, 3, 4, 5, 6]
    assert found["area"].tolist() == [region.area for region in regions]
    assert found["mean_intensity"].tolist() == pytest.approx(
        [region.intensity_mean for region in regions]
    )
    # napari's tooltip of a label finds its row.
    where = {"dims_displayed": [0, 1], "world": True}
    texts = layer._get_properties(regions[3].centroid, **where)
    assert f"area: {regions[3].area:.3g}" in texts


def test_columns_of_others_stay(viewer, nuclei, measure) -> None:
    viewer.add_image(nuclei[0])
    mine = {"index": [2, 5, 40], "kind": ["x", "y", "gone"], "area": [1.0, 2.0, 3.0]}
    layer = viewer.add_labels(nuclei[1].copy(), features=mine)
    measure()
    found = layer.features.set_index("index")
    assert found["kind"].dropna().to_dict() == {2: "x", 5: "y", 40: "gone"}
    assert found["area"][2] == np.count_nonzero(nuclei[1] == 2)
    layer.data[nuclei[1] == 6] = 0
    measure()
    assert layer.features["index"].tolist() == [1, 2, 3, 4, 5, 40]


def test_slices_and_volumes(viewer, widget, nuclei, measure, qtbot) -> None:
    stack = np.stack([nuclei[1], np.where(nuclei[1] == 1, 1, 0), nuclei[1] * 0])
    stack[1, :4] = 1
    viewer.add_image(stack.astype(float), scale=(3, 1, 1))
    layer = viewer.add_labels(stack, scale=(3, 1, 1), axis_labels=("z", "y", "x"))
    viewer.dims.set_current_step(0, 0)
    assert measure().startswith("7 objects in 3 slices · median area ")
    areas = [np.count_nonzero(plane == 1) for plane in stack]
    assert layer.features["area_px"][0] == areas[0]
    assert layer.features["slice"].tolist() == [0] * 6
    viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: layer.features["area_px"][0] == areas[1])
    widget.measuring.volumes.setChecked(True)
    assert measure().startswith("6 objects · median volume ")
    assert layer.features["volume"][0] == 3 * sum(areas)
    assert "area_px" not in layer.features


def test_the_table_is_saved(
    viewer, widget, nuclei, measure, tmp_path, monkeypatch
) -> None:
    rgb = np.stack([nuclei[0], nuclei[0] // 2, nuclei[0] * 0, nuclei[0]], axis=-1)
    viewer.add_image(rgb, rgb=True, name="photo")
    viewer.add_labels(nuclei[1], name="mine / yours")
    offered = []

    def choose(parent, title, start, kinds):
        offered.append(start)
        return str(tmp_path / "table"), "CSV (*.csv)"

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    said = measure("samsp_save_table")
    assert offered == ["mine _ yours.csv"]
    assert said.endswith(f"Saved as {tmp_path / 'table.csv'}.")
    found = rows(tmp_path / "table.csv")
    assert [row["image"] for row in found] == ["photo"] * 6
    assert [row["label"] for row in found] == list("123456")
    assert float(found[0]["mean_intensity_2"]) == 0
    assert "mean_intensity_3" not in found[0]


def test_areas_have_their_classes_in_the_table(
    viewer, widget, nuclei, measure, tmp_path, monkeypatch
) -> None:
    viewer.add_image(nuclei[0], name="leaves")
    viewer.add_labels(np.minimum(nuclei[1], 3), name="mine")
    named = [LabelClass(1, "leaf", "#00ff00"), LabelClass(2, "spot", "#ff0000")]
    widget.correcting.class_list.set_classes(named)
    chosen = str(tmp_path / "areas.csv"), "CSV (*.csv)"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: chosen)
    measure("samsp_save_table")
    found = [(row["label"], row["class"]) for row in rows(tmp_path / "areas.csv")]
    assert found == [("1", "leaf"), ("2", "spot"), ("3", "")]


def test_a_table_that_cannot_be_written_is_said(
    viewer, widget, nuclei, tmp_path, qtbot, monkeypatch
) -> None:
    said = []
    monkeypatch.setattr("napari_samsp.ui.measure.measure_panel.show_error", said.append)
    viewer.add_labels(nuclei[1])
    with qtbot.waitSignal(widget.measuring.ended, timeout=MEASURE_MS):
        widget.measuring.measure(tmp_path / "none" / "table.csv")
    assert "There is no folder" in said[0]
    assert widget.measuring.button.isEnabled()


def test_labels_without_an_image_of_their_size(viewer, nuclei, measure) -> None:
    viewer.add_image(nuclei[0][:50])
    layer = viewer.add_labels(nuclei[1])
    assert measure().endswith(" pixels")
    assert "mean_intensity" not in layer.features


def test_a_result_of_one_channel_is_measured_in_all(
    viewer, nuclei, widget, segment, measure
) -> None:
    image = nuclei[0]
    viewer.add_image(np.stack([image, 255 - image]), axis_labels=("c", "y", "x"))
    widget.segmenting.iterations.setValue(1)
    segment()
    layer = widget.measuring.labels.layer
    assert layer.name.startswith("SAM-SP 0")
    measure()
    sums = layer.features["mean_intensity_0"] + layer.features["mean_intensity_1"]
    assert sums.tolist() == pytest.approx([255] * len(layer.features))


def test_an_empty_layer_and_no_layer(viewer, widget, nuclei, measure) -> None:
    assert not widget.measuring.button.isEnabled()
    layer = viewer.add_labels(np.zeros_like(nuclei[1]))
    assert measure() == "0 objects"
    assert len(layer.features) == 0


def test_what_is_too_large_is_refused(viewer) -> None:
    layer = viewer.add_labels(np.broadcast_to(np.uint8(1), (9000, 8000)), multiscale=0)
    with pytest.raises(InputError, match=r"napari_samsp\.measure"):
        request_of(layer, None, viewer.dims)
