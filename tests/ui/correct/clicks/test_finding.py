"""Find: all objects that are like the clicked one, in one step of undo."""

from __future__ import annotations

import numpy as np
import pytest
from napari.utils.key_bindings import coerce_keybinding

from napari_samsp.metrics import iou
from napari_samsp.ui.commands import KEYS


@pytest.fixture
def bench(viewer, widget, nuclei):
    """The nuclei, of which 2 and 5 alone are labelled, the second too large."""
    image, truth = nuclei
    viewer.add_image(image, name="cells")
    widget.segmenting.objects.setChecked(True)
    kept = np.where(np.isin(truth, (2, 5)), truth, 0)
    kept[40:60, 80:100] = 5
    return viewer.add_labels(kept.astype(np.uint8), name="mine")


def all_found(layer, truth, among) -> bool:
    return all(
        max(iou(layer.data == label, truth == number) for label in among) > 0.75
        for number in (1, 3, 4, 6)
    )


def test_what_is_like_a_labelled_object_gets_labels_of_its_own(
    viewer, widget, bench, mouse, tool, said, on, nuclei
):
    truth, before = nuclei[1], bench.data.copy()
    viewer.keymap[coerce_keybinding(KEYS["samsp_tool_find"])](viewer)
    assert widget.clicking.buttons["find"].isChecked()
    mouse.wait()
    mouse(bench, on(bench.data, 2))
    assert said() == "Found 4 objects like 2. Escape takes them back."
    assert set(np.unique(bench.data)) == {0, 2, 5, 6, 7, 8, 9}
    assert all_found(bench, truth, (6, 7, 8, 9))
    assert np.array_equal(bench.data[before > 0], before[before > 0])
    assert bench.selected_label == 2
    bench.undo()
    assert np.array_equal(bench.data, before)


def test_what_is_clicked_need_not_be_labelled_and_escape_takes_all_back(
    bench, mouse, tool, said, press_key, on, nuclei
):
    truth, before = nuclei[1], bench.data.copy()
    tool("find")
    mouse(bench, on(truth, 4))
    assert said().startswith("Found 3 objects like 6, which is new too.")
    assert iou(bench.data == 6, truth == 4) > 0.75
    assert all_found(bench, truth, (6, 7, 8, 9))
    press_key(bench, "Escape")
    assert np.array_equal(bench.data, before)


def test_labels_run_out_nowhere_near_the_end_of_a_small_dtype(
    bench, mouse, tool, on, nuclei
):
    """255 is the last of uint8: lower ones that nobody has are taken then."""
    bench.data[0, 0] = 254
    tool("find")
    mouse(bench, on(bench.data, 2))
    assert set(np.unique(bench.data)) == {0, 1, 2, 3, 4, 5, 254, 255}


def test_nothing_like_it_and_one_region_are_told(
    viewer, widget, bench, mouse, tool, said, on, nuclei
):
    truth = nuclei[1]
    tool("find")
    bench.data = truth.astype(np.uint8)
    mouse(bench, on(truth, 2))
    assert said().startswith("Nothing else here is like that: ")
    assert np.array_equal(bench.data, truth)
    widget.segmenting.objects.setChecked(False)
    mouse(bench, on(truth, 2))
    assert said().startswith("These labels are one region")
    assert np.array_equal(bench.data, truth)


def test_escape_stops_it(bench, widget, mouse, tool, said, press_key, on, qtbot):
    before = bench.data.copy()
    tool("find")
    at = bench.data_to_world(on(bench.data, 2))
    widget.clicking.tools.click(at)
    assert said().startswith("Finding objects like it")
    press_key(bench, "Escape")
    mouse.wait()
    assert said() == "Stopped."
    assert np.array_equal(bench.data, before)
