from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QPushButton

from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.ui.models.workplace import Workplace
from napari_samsp.ui.planes import PlaneReader
from napari_samsp.ui.segment.segment_steps import (
    SegmentationError,
    SegmentRequest,
    segment_steps,
)

KEYS = {
    "image", "iteration", "iterations", "model", "adapter", "prompt", "objects",
    "score", "iou_to_previous", "area_fraction", "object_count",
}  # fmt: skip


def results(viewer):
    return [layer for layer in viewer.layers if layer.name.startswith("SAM-SP")]


def test_each_iteration_becomes_a_layer(viewer, widget, segment, nuclei):
    placed = {"scale": (0.5, 0.25), "translate": (3, 4), "units": ("um", "um")}
    viewer.add_image(nuclei[0], name="cells", **placed)
    segment()
    layers = results(viewer)
    assert [la.name for la in layers] == [f"SAM-SP {t} · cells" for t in range(3)]
    assert [la.visible for la in layers] == [False, False, True]
    for t, layer in enumerate(layers):
        about = layer.metadata["samsp"]
        assert set(about) == KEYS
        assert (about["image"], about["iteration"], about["iterations"]) == (
            "cells",
            t,
            3,
        )
        assert (about["model"], about["adapter"]) == ("samsp_small", None)
        assert about["prompt"] == ("none" if t == 0 else "box+mask")
        assert about["objects"] is False
        assert isinstance(about["score"], float)
        assert (about["iou_to_previous"] is None) == (t == 0)
        assert 0 <= about["area_fraction"] <= 1
        assert layer.data.shape == nuclei[0].shape
        assert layer.data.dtype == np.int32
        np.testing.assert_allclose(layer.scale, (0.5, 0.25))
        np.testing.assert_allclose(layer.translate, (3, 4))
        assert layer.units == viewer.layers["cells"].units
    assert widget.segmenting.table.rowCount() == 3


def test_layers_hold_what_the_segmenter_says(viewer, segment, nuclei):
    viewer.add_image(nuclei[0], name="cells")
    segment()
    for layer, iteration in zip(
        results(viewer), Segmenter().segment(nuclei[0], 3), strict=True
    ):
        assert np.array_equal(layer.data, iteration.labels)


@pytest.mark.parametrize("turned", [False, True], ids=["landscape", "portrait"])
def test_masks_land_where_the_objects_are(viewer, segment, nuclei, portrait, turned):
    image, labels = portrait if turned else nuclei
    viewer.add_image(image, name="cells")
    segment()
    found = results(viewer)[-1].data > 0
    truth = labels > 0
    dice = 2 * (found & truth).sum() / max(found.sum() + truth.sum(), 1)
    mirrored = max(
        (2 * (found & other).sum() / max(found.sum() + other.sum(), 1))
        for other in (truth[::-1], truth[:, ::-1], truth[::-1, ::-1])
    )
    assert found.any()
    assert dice > mirrored


def test_a_click_on_a_row_shows_that_layer_alone(viewer, widget, segment, nuclei):
    viewer.add_image(nuclei[0])
    segment()
    widget.segmenting.table.cellClicked.emit(1, 0)
    assert [la.visible for la in results(viewer)] == [False, True, False]
    assert viewer.layers.selection.active is results(viewer)[1]


def test_an_edit_survives_a_new_run(viewer, segment, nuclei):
    viewer.add_image(nuclei[0], name="cells")
    segment()
    edited = results(viewer)[-1]
    edited.data[0:5, 0:5] = 77
    before = edited.data.copy()
    segment()
    assert edited in viewer.layers
    assert np.array_equal(edited.data, before)
    assert len(results(viewer)) == 4  # what nobody edited was replaced
    assert [la.visible for la in results(viewer)] == [False] * 3 + [True]


def test_only_the_shown_slice_of_a_stack_is_segmented(viewer, segment, nuclei):
    stack = np.stack([nuclei[0][:, ::-1], nuclei[0], nuclei[0][::-1]])
    image = viewer.add_image(stack, scale=(2, 1, 1))
    viewer.dims.set_point(0, 2)
    segment()
    last = results(viewer)[-1]
    assert last.metadata["samsp"]["slice"] == [1, None, None]
    assert last.data.shape == (1, *nuclei[0].shape)
    np.testing.assert_allclose(
        last.data_to_world((0, 9, 9)), image.data_to_world((1, 9, 9))
    )
    assert np.array_equal(last.data[0], Segmenter().segment(nuclei[0], 3)[-1].labels)


def test_a_colour_image_gives_2d_labels(viewer, segment, nuclei):
    rgba = np.dstack([nuclei[0]] * 3 + [np.full_like(nuclei[0], 255)])
    viewer.add_image(rgba, rgb=True)
    segment()
    assert results(viewer)[-1].data.shape == nuclei[0].shape


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.full((20, 30), 7.0), "constant"),
        (np.ones((1, 1)), "single pixel"),
    ],
    ids=["constant", "pixel"],
)
def test_an_unusable_image_gets_a_sentence(viewer, widget, segment, image, sentence):
    viewer.add_image(image, contrast_limits=(0, 1))
    segment()
    assert sentence in widget.status.text()
    assert not results(viewer)
    assert widget.findChild(QPushButton, "samsp_segment").isEnabled()


def test_only_images_can_be_chosen(viewer, widget, nuclei):
    viewer.add_labels(nuclei[1])
    assert widget.segmenting.image.layer is None
    assert not widget.segmenting.form.hint.isHidden()
    assert not widget.findChild(QPushButton, "samsp_segment").isEnabled()
    image = viewer.add_image(nuclei[0], name="a")
    assert widget.segmenting.image.layer is image
    image.name = "b"
    assert widget.segmenting.image.current_choice == "b"
    assert widget.findChild(QPushButton, "samsp_segment").isEnabled()
    viewer.layers.remove(image)
    assert widget.segmenting.image.layer is None


def test_the_map_of_disagreement_is_no_image_to_segment(
    viewer, widget, segment, click, nuclei
):
    image = viewer.add_image(nuclei[0], name="cells")
    segment()
    click("samsp_disagreement")
    drawn = viewer.layers[-1]
    assert drawn.name == "SAM-SP disagreement · cells"
    assert drawn.data.shape == nuclei[0].shape
    assert drawn.data.max() <= 2
    assert widget.segmenting.image.layer is image
    assert drawn not in widget.segmenting.image.choices


def test_stop_ends_segmenting(viewer, widget, click, qtbot, nuclei):
    viewer.add_image(np.tile(nuclei[0], (6, 6)))
    widget.segmenting.objects.setChecked(True)
    widget.segmenting.iterations.setValue(6)
    run = widget.segmenting.run
    with qtbot.waitSignal(run.loaded, timeout=120_000):
        click("samsp_segment")
    with qtbot.waitSignal(run.ended, timeout=120_000):
        click("samsp_stop")
    assert len(results(viewer)) < 6
    assert not widget.findChild(QPushButton, "samsp_stop").isEnabled()
    assert widget.findChild(QPushButton, "samsp_segment").isEnabled()


def test_removing_the_image_ends_segmenting(viewer, widget, click, qtbot, nuclei):
    image = viewer.add_image(nuclei[0])
    run = widget.segmenting.run
    with qtbot.waitSignal(run.loaded, timeout=120_000):
        click("samsp_segment")
    with qtbot.waitSignal(run.ended, timeout=120_000):
        viewer.layers.remove(image)
    assert not results(viewer)


def test_errors_of_torch_are_not_swallowed(
    viewer, widget, segment, monkeypatch, nuclei
):
    """superqt drops every RuntimeError of a generator; ours must arrive."""

    def fail(*_args, **_kwargs):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(Segmenter, "iterate", fail)
    viewer.add_image(nuclei[0])
    with pytest.raises(SegmentationError):
        list(segment_steps(_request(nuclei[0]), Workplace(), threading.Event()))
    shown = []
    notification_manager.notification_ready.connect(shown.append)
    segment()
    notification_manager.notification_ready.disconnect(shown.append)
    assert ["mat1 and mat2" in notification.message for notification in shown] == [True]
    assert "mat1 and mat2" in widget.status.text()
    assert not widget.segmenting.run.running


def test_running_out_of_memory_is_explained(monkeypatch, nuclei):
    def fail(*_args, **_kwargs):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr(Segmenter, "iterate", fail)
    with pytest.raises(SegmentationError, match="not enough memory"):
        list(segment_steps(_request(nuclei[0]), Workplace(), threading.Event()))


def test_the_model_is_loaded_once(viewer, widget, segment, nuclei):
    viewer.add_image(nuclei[0])
    loaded = []
    widget.segmenting.run.loaded.connect(loaded.append)
    segment()
    segment()
    assert loaded[0].segmenter is loaded[1].segmenter


def _request(image):
    return SegmentRequest(
        PlaneReader(image), ((None, None),), "samsp_small", None, 2, False
    )


LOADED_TWICE = """
import gc
from napari_samsp.ui.models.warm_up import without_collections
with without_collections():
    assert not gc.isenabled()
    import torch
assert gc.isenabled()
frozen = gc.get_freeze_count()
assert frozen > 10_000
with without_collections():
    assert gc.isenabled()
assert gc.get_freeze_count() == frozen
"""


def test_what_the_first_load_imports_is_left_alone_by_the_collector_and_no_more():
    command = [sys.executable, "-c", LOADED_TWICE]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_it_says_that_it_loads_the_model_only_when_it_does(
    viewer, widget, segment, nuclei
):
    viewer.add_image(nuclei[0])
    said: list[str] = []
    widget.segmenting.status.connect(said.append)
    segment()
    assert said[0] == "Loading the model…"
    said.clear()
    segment()
    assert said[0] == "Segmenting…"
    assert "Loading the model…" not in said
