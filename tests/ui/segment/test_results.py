"""What the widget says about a result."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qtpy.QtWidgets import QLabel, QPushButton

from napari_samsp.inference.plausibility import Oddity
from napari_samsp.ui.segment.result_panel import ADVICE
from napari_samsp.ui.segment.summary import Summary


def results(viewer):
    return [layer for layer in viewer.layers if layer.name.startswith("SAM-SP")]


@pytest.fixture
def advice(widget):
    return widget.findChild(QLabel, "samsp_advice")


def row(widget, number):
    table = widget.segmenting.table
    return [table.item(number, column).text() for column in range(table.columnCount())]


def test_many_parts_of_one_region_are_separated_by_one_click(
    viewer, widget, segment, click, advice, qtbot, nuclei
):
    viewer.add_image(nuclei[0], name="cells")
    segment()
    assert results(viewer)[-1].data.max() == 1
    assert advice.text() == "6 separate parts: give each its own label?"
    assert advice.isVisibleTo(widget)
    with qtbot.waitSignal(widget.segmenting.run.ended, timeout=120_000):
        click("samsp_separate")
    assert widget.segmenting.objects.isChecked()
    assert results(viewer)[-1].data.max() == 6
    assert not advice.isVisibleTo(widget)
    assert not widget.findChild(QPushButton, "samsp_separate").isVisibleTo(widget)


def test_it_separates_the_image_that_was_segmented(
    viewer, widget, segment, click, qtbot, nuclei
):
    viewer.add_image(nuclei[0], name="cells")
    segment()
    viewer.add_image(np.zeros((20, 30)), name="another")
    with qtbot.waitSignal(widget.segmenting.run.ended, timeout=120_000):
        click("samsp_separate")
    assert results(viewer)[-1].name == "SAM-SP 2 · cells [1]"


def test_an_image_with_nothing_in_it_is_said_to_have_nothing(
    viewer, widget, segment, advice
):
    viewer.add_image(np.random.default_rng(0).normal(100, 10, (120, 200)))
    segment()
    assert advice.text() == ADVICE[Oddity.NOTHING]
    assert not widget.findChild(QPushButton, "samsp_separate").isVisibleTo(widget)


def test_the_table_tells_objects_area_agreement_and_confidence(
    viewer, widget, segment, nuclei
):
    viewer.add_image(nuclei[0])
    widget.segmenting.objects.setChecked(True)
    segment()
    last = results(viewer)[-1]
    about = last.metadata["samsp"]
    assert about["object_count"] == 6 == len(np.unique(last.data)) - 1
    assert row(widget, 2) == [
        "2",
        "6",
        f"{100 * np.mean(last.data > 0):.1f} %",
        f"{100 * about['iou_to_previous']:.0f} %",
        f"{about['score']:.2f}",
    ]
    assert row(widget, 0)[3] == "-"


def test_a_stack_has_the_objects_of_all_its_slices(viewer, widget, segment, nuclei):
    viewer.add_image(np.stack([nuclei[0], nuclei[0][:, ::-1]]))
    widget.segmenting.objects.setChecked(True)
    widget.segmenting.iterations.setValue(1)
    widget.segmenting.slices.combo.setCurrentIndex(1)
    segment()
    both = results(viewer)[-1].data
    count = sum(len(np.unique(plane)) - 1 for plane in both)
    assert row(widget, 0)[1] == str(count)


def test_there_is_no_empty_table(viewer, widget, segment, nuclei):
    assert not widget.segmenting.table.isVisibleTo(widget)
    viewer.add_image(nuclei[0])
    segment()
    assert widget.segmenting.table.isVisibleTo(widget)


def test_a_mean_over_planes_sums_what_is_counted():
    one = Summary(0, 1, "none", 0.8, None, 0.2, 4, 3)
    both = one.with_another(Summary(0, 1, "none", 0.6, None, 0.4, 6, 1), 1)
    assert (both.object_count, both.parts) == (10, 4)
    assert (both.score, both.area_fraction) == pytest.approx((0.7, 0.3))
    assert set(both.as_dict()) == {
        "iteration", "iterations", "prompt", "score", "iou_to_previous",
        "area_fraction", "object_count",
    }  # fmt: skip


def test_the_result_is_not_drawn_over_another_image(viewer, widget, segment, nuclei):
    cells = viewer.add_image(nuclei[0], name="cells", visible=False)
    other = viewer.add_image(nuclei[0][::-1], name="other")
    points = viewer.add_points([[3, 4]])
    own = viewer.add_labels(nuclei[1], name="mine")
    widget.segmenting.image.choose(cells)
    widget.segmenting.iterations.setValue(1)
    segment()
    assert cells.visible
    assert not other.visible
    assert points.visible
    assert own.visible


def test_nothing_stays_of_an_image_that_was_removed(
    viewer, widget, segment, click, nuclei
):
    viewer.add_image(nuclei[0], name="cells")
    widget.segmenting.iterations.setValue(2)
    segment()
    result = results(viewer)[-1]
    result.data[:] = 0
    click("samsp_keep")
    assert "Nothing is labelled" in widget.correcting.message.text()
    viewer.layers.remove("cells")
    assert widget.segmenting.results is None
    assert not widget.segmenting.table.isVisibleTo(widget)
    assert widget.segmenting.table.rowCount() == 0
    assert not widget.correcting.message.isVisibleTo(widget)
    for name in ("segment", "disagreement", "separate", "keep"):
        button = widget.findChild(QPushButton, f"samsp_{name}")
        assert not (button.isEnabled() and button.isVisibleTo(widget)), name


def test_keep_is_enabled_when_there_is_something_to_keep(viewer, widget, nuclei):
    keep = widget.findChild(QPushButton, "samsp_keep")
    assert not keep.isEnabled()
    viewer.add_labels(nuclei[1])
    assert not keep.isEnabled()
    viewer.add_image(nuclei[0])
    assert keep.isEnabled()
    viewer.layers.clear()
    assert not keep.isEnabled()


def test_a_slice_that_is_not_seen_is_not_kept(viewer, widget, click, nuclei):
    viewer.add_image(np.stack([nuclei[0]] * 2), name="stack")
    viewer.add_labels(np.stack([nuclei[1]] * 2))
    viewer.dims.ndisplay = 3
    click("samsp_keep")
    assert "switch to the 2D view" in widget.correcting.message.text()
    assert not widget.correcting.training_set.samples()
    viewer.dims.ndisplay = 2
    click("samsp_keep")
    assert len(widget.correcting.training_set.samples()) == 1


def test_kept_items_are_listed_by_origin_newest_first(widget, nuclei):
    kept = widget.correcting.training_set
    image, labels = nuclei
    kept.add(image, labels, name="a", layer="a")
    kept.add(image + 1, labels, name="b", file="/x/b.tif", slice=[7, None, None])
    kept.add(image + 2, labels, name="c", layer="c")
    notes = kept.folder / "samples.jsonl"
    lines = [json.loads(line) for line in notes.read_text().splitlines()]
    for line, year in zip(lines, (2021, 2023, 2022), strict=True):
        line["time"] = f"{year}-01-01T00:00:00+00:00"
    notes.write_text("\n".join(map(json.dumps, lines)))
    widget.correcting.refresh()
    items = [widget.correcting.list.topLevelItem(n) for n in range(3)]
    assert [item.text(1) for item in items] == ["b.tif, slice 7", "c", "a"]
