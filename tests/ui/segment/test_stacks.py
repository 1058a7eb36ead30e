"""Every slice of a stack, into one layer an iteration."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import pytest
from qtpy.QtWidgets import QPushButton

from napari_samsp.data.rgb import Scaling
from napari_samsp.data.shared_limits import resolve_percentiles
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.ui.result_layers import source_of

WAIT_MS = 120_000


def results(viewer):
    return [layer for layer in viewer.layers if layer.name.startswith("SAM-SP ")]


def test_all_slices_fill_one_layer_an_iteration(
    viewer, widget, segment, all_slices, stack
):
    image = viewer.add_image(stack, name="cells", scale=(3, 1, 1), rotate=10)
    viewer.dims.set_current_step(0, 1)
    widget.segmenting.iterations.setValue(2)
    all_slices()
    segment()
    layers = results(viewer)
    assert [layer.name for layer in layers] == ["SAM-SP 0 · cells", "SAM-SP 1 · cells"]
    assert [layer.visible for layer in layers] == [False, True]
    segmenter = Segmenter(
        scaling=resolve_percentiles(Scaling(), stack.__getitem__, range(4))
    )
    for n in (0, 1, 3):
        expected = segmenter.segment(stack[n], 2)
        for layer, iteration in zip(layers, expected, strict=True):
            assert np.array_equal(layer.data[n], iteration.labels)
    assert not layers[-1].data[2].any()
    for layer in layers:
        np.testing.assert_allclose(
            layer.data_to_world((2, 5, 9)), image.data_to_world((2, 5, 9))
        )
    about = layers[-1].metadata["samsp"]
    assert (about["slices"], about["iteration"], about["iterations"]) == (3, 1, 2)
    assert about["image"] == "cells"
    assert 0 < about["area_fraction"] < 1
    assert "3 of 4 slices are segmented. 1 was left out" in widget.status.text()
    assert "constant" in widget.status.text()
    assert widget.segmenting.table.rowCount() == 2


def test_the_shown_slice_comes_first_and_progress_is_told(
    viewer, widget, click, qtbot, all_slices, stack
):
    viewer.add_image(stack)
    viewer.dims.set_current_step(0, 3)
    widget.segmenting.iterations.setValue(1)
    all_slices()
    seen, lines = [], []
    run = widget.segmenting.run

    def note(step):
        seen.append(step.plane[0])
        widget.segmenting._tell_progress()
        lines.append(widget.status.text().splitlines()[-1])

    run.iterated.connect(note)
    with qtbot.waitSignal(run.ended, timeout=WAIT_MS):
        click("samsp_segment")
    assert seen == [3, 0, 1]
    assert lines[0].startswith("Slice 2 of 4")


def test_a_user_is_asked_only_where_there_is_a_choice(viewer, widget, stack):
    slices = widget.segmenting.slices
    viewer.add_image(stack[0])
    assert not slices.has_choice
    viewer.add_image(stack[:1], name="one slice")
    assert not slices.has_choice
    viewer.add_image(np.stack([stack] * 2), name="4D", axis_labels=("t", "z", "y", "x"))
    texts = [slices.combo.itemText(n) for n in range(slices.combo.count())]
    assert texts == [
        "This slice", "All 2 along t here", "All 4 along z here", "All 8 slices"
    ]  # fmt: skip


def test_slices_follow_each_other_from_the_shown_one_to_both_ends(
    viewer, widget, segment, all_slices, stack
):
    """As `Segmenter` does it, slice by slice; the empty one has nothing to hand on."""
    follow = widget.segmenting.slices.follow
    viewer.add_image(stack[[1, 1, 2, 3, 0]])
    viewer.dims.set_current_step(0, 1)
    assert follow.isHidden()
    all_slices()
    assert not follow.isHidden()
    assert not follow.isChecked()
    follow.setChecked(True)
    widget.segmenting.iterations.setValue(2)
    widget.segmenting.objects.setChecked(True)
    order = []
    widget.segmenting.run.iterated.connect(lambda step: order.append(step.plane[0]))
    segment()
    assert order == [1, 1, 3, 3, 4, 4, 0, 0]
    layers = results(viewer)
    pixels = viewer.layers[0].data
    segmenter = Segmenter(
        scaling=resolve_percentiles(Scaling(), pixels.__getitem__, range(5))
    )
    shown = segmenter.segment(pixels[1], 2, objects=True)
    first = list(segmenter.iterate(pixels[0], 2, True, before=shown[-1]))
    for layer, one, other in zip(layers, shown, first, strict=True):
        assert np.array_equal(layer.data[1], one.labels)
        assert np.array_equal(layer.data[0] > 0, other.labels > 0)
    assert first[0].prompt is not None
    # What goes on has its number; numbers that ended are not given again.
    last = layers[-1].data
    same = (last[0] > 0) & (last[1] > 0)
    assert np.mean(last[0][same] == last[1][same]) > 0.9
    assert not set(np.unique(last[1])) & set(np.unique(last[3])) - {0}


def test_one_stack_of_a_time_series(viewer, widget, segment, all_slices, stack):
    series = da.stack([da.from_array(stack // 2), da.from_array(stack)])
    image = viewer.add_image(series, axis_labels=("t", "z", "y", "x"))
    viewer.dims.set_current_step(0, 1)
    widget.segmenting.iterations.setValue(1)
    all_slices("All 4 along z")
    segment()
    layer = results(viewer)[-1]
    assert layer.data.shape == (1, *stack.shape)
    np.testing.assert_allclose(
        layer.data_to_world((0, 3, 5, 9)), image.data_to_world((1, 3, 5, 9))
    )


def test_what_is_done_stays_when_it_is_stopped(
    viewer, widget, click, qtbot, all_slices, stack
):
    viewer.add_image(np.concatenate([stack[[0, 1, 3]]] * 20))
    widget.segmenting.iterations.setValue(1)
    all_slices()
    run = widget.segmenting.run
    with qtbot.waitSignal(run.iterated, timeout=WAIT_MS):
        click("samsp_segment")
    with qtbot.waitSignal(run.ended, timeout=2_000):
        click("samsp_stop")
    layer = results(viewer)[-1]
    done = np.flatnonzero(layer.data.any(axis=(1, 2)))
    assert len(done) == layer.metadata["samsp"]["slices"]
    assert 0 < len(done) < 60
    assert "Stopped." in widget.status.text()
    assert "of 60 slices are segmented" in widget.status.text()


def test_what_was_painted_on_a_slice_to_come_stays(
    viewer, widget, click, qtbot, all_slices, stack
):
    viewer.add_image(np.concatenate([stack[[1, 1, 1]]] * 4))
    widget.segmenting.iterations.setValue(1)
    all_slices()
    run = widget.segmenting.run
    painted = np.s_[11, 0:4, 0:4]
    run.iterated.connect(lambda _: results(viewer)[-1].data.__setitem__(painted, 77))
    with qtbot.waitSignal(run.ended, timeout=WAIT_MS):
        click("samsp_segment")
    last = results(viewer)[-1]
    assert (last.data[painted] == 77).all()
    assert np.count_nonzero(last.data[11]) > 16
    prediction = source_of(last).prediction_of((11, None, None))
    assert np.array_equal(prediction, last.data[10])


def test_each_slice_by_its_own_limits(viewer, widget, segment, all_slices, stack):
    viewer.add_image(stack)
    all_slices()
    widget.segmenting.iterations.setValue(1)
    widget.segmenting.scaling.same.setChecked(False)
    segment()
    layer = results(viewer)[-1]
    for n in (0, 1):
        expected = Segmenter().segment(stack[n], 1)[0].labels
        assert np.array_equal(layer.data[n], expected)


@pytest.mark.parametrize("what", ["data", "image", "result"])
def test_what_changes_meanwhile_ends_it_with_a_sentence(
    viewer, widget, click, qtbot, all_slices, stack, what
):
    image = viewer.add_image(np.concatenate([stack[[0, 1, 3]]] * 20), name="cells")
    widget.segmenting.iterations.setValue(1)
    all_slices()
    run = widget.segmenting.run
    with qtbot.waitSignal(run.iterated, timeout=WAIT_MS):
        click("samsp_segment")
    with qtbot.waitSignal(run.ended, timeout=20_000):
        if what == "data":
            image.data = image.data[::-1].copy()
        else:
            viewer.layers.remove(image if what == "image" else results(viewer)[-1])
    sentence = {
        "data": "cells got other pixels",
        "image": "The image was removed",
        "result": "The result was removed",
    }[what]
    assert sentence in widget.status.text()
    assert widget.findChild(QPushButton, "samsp_segment").isEnabled() == (
        what != "image"
    )
    if what == "data":
        click("samsp_keep")
        assert widget.correcting.message.text().startswith("cells got other pixels")
        assert not widget.correcting.training_set.samples()


def test_a_renamed_image_goes_on(viewer, widget, click, qtbot, all_slices, stack):
    image = viewer.add_image(stack, name="cells")
    all_slices()
    run = widget.segmenting.run
    run.loaded.connect(lambda _: setattr(image, "name", "nuclei"))
    with qtbot.waitSignal(run.ended, timeout=WAIT_MS):
        click("samsp_segment")
    last = results(viewer)[-1]
    assert last.name == "SAM-SP 2 · nuclei"
    assert last.metadata["samsp"]["slices"] == 3
    click("samsp_keep")
    assert len(widget.correcting.training_set.samples()) == 1


def test_images_of_mixed_sizes_are_refused_with_a_sentence(
    viewer, widget, segment, all_slices, nuclei, qtbot
):
    image = nuclei[0]
    lazy = [
        da.from_delayed(dask.delayed(one), image.shape, image.dtype)
        for one in (image, image[:80, :120])
    ]
    viewer.add_image(da.stack(lazy), name="folder", contrast_limits=(0, 255))
    all_slices()
    with qtbot.waitSignal(widget.segmenting.run.failed, timeout=WAIT_MS) as failed:
        segment()
    assert failed.args[0].startswith("Slice 1 is not 96 x 160 pixels as the first one")
