"""Every slice of a stack, into one layer an iteration."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import pytest
from qtpy.QtWidgets import QPushButton

from napari_samsp.data.image_files import read_labels
from napari_samsp.data.rgb import Scaling
from napari_samsp.data.shared_limits import resolve_percentiles
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.ui.result_layers import source_of
from napari_samsp.ui.segment import stack_result
from napari_samsp.ui.segment.stack_result import StackResult
from napari_samsp.ui.segment.summary import Summary
from napari_samsp.utils.errors import InputError

WAIT_MS = 120_000


def results(viewer):
    return [layer for layer in viewer.layers if layer.name.startswith("SAM-SP ")]


@pytest.fixture
def stack(nuclei) -> np.ndarray:
    """Four slices, one of them empty."""
    image = nuclei[0]
    return np.stack([image[::-1] // 2, image, np.full_like(image, 30), image[:, ::-1]])


@pytest.fixture
def all_slices(widget):
    def choose(text: str = "All") -> None:
        combo = widget.segmenting.slices.combo
        found = [n for n in range(combo.count()) if combo.itemText(n).startswith(text)]
        assert found, [combo.itemText(n) for n in range(combo.count())]
        combo.setCurrentIndex(found[-1])

    return choose


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


def test_a_corrected_slice_is_kept_with_its_own_prediction(
    viewer, widget, segment, click, all_slices, stack
):
    viewer.add_image(stack, name="cells")
    all_slices()
    segment()
    layer = results(viewer)[-1]
    for n in (1, 3):
        viewer.dims.set_current_step(0, n)
        before = layer.data[n].copy()
        layer.data_setitem((np.full(9, n), np.arange(9), np.arange(9)), 5)
        click("samsp_keep")
        sample = widget.correcting.training_set.samples()[-1]
        image, labels = sample.read()
        assert np.array_equal(image, stack[n])
        assert np.array_equal(labels, layer.data[n])
        assert np.array_equal(read_labels(sample.prediction), before)
        assert sample.info["slice"] == [n, None, None]
        limits = resolve_percentiles(Scaling(), stack.__getitem__, range(4))
        assert sample.info["scaling"] == "percentile:0.5:99.8"
        assert sample.info["limits"] == [limits.low, limits.high]
    assert len(widget.correcting.training_set.samples()) == 2


def test_the_slice_to_correct_next(viewer, widget, segment, click, all_slices, stack):
    viewer.add_image(stack)
    assert widget.segmenting.next_button.isHidden()
    all_slices()
    segment()
    stack_of = widget.segmenting.results.request.stack
    limits = resolve_percentiles(Scaling(), stack.__getitem__, range(4))
    segmenter = Segmenter(scaling=limits)
    score = {n: segmenter.segment(stack[n])[-1].score for n in (0, 1, 3)}
    ranking = [plane[0] for plane in stack_of.ranking()]
    assert ranking[0] == min(score, key=lambda n: score[n])
    assert sorted(ranking) == sorted(score)
    for n in (*ranking, ranking[0]):
        click("samsp_next_slice")
        assert viewer.dims.current_step[0] == n
        assert f"Slice {n}: confidence {score[n]:.2f}" in widget.status.text()


def test_a_round_without_objects_says_nothing_about_a_slice():
    made = StackResult((2, 8, 9), (1, 2), 2)
    made.allocate()
    for t, scores in enumerate([(0.4, 0.7), (0.9, 0.0)]):
        for n, score in enumerate(scores):
            summary = Summary(t, 2, "none", score, None, 0.1, 1)
            made.complete((n, None, None), summary, lambda: None)
    assert made.ranking() == [(1, None, None), (0, None, None)]
    assert made.scores[1, None, None] == 0.7


def test_a_slice_like_one_that_was_kept_comes_later():
    made = StackResult((4, 8, 9), (1, 2), 1)
    made.allocate()
    for n, (score, look) in enumerate([(0.2, 0), (0.3, 0), (0.5, 4), (0.9, 0)]):
        summary = Summary(0, 1, "none", score, None, 0.1, 1, look=np.full(3, look))
        made.complete((n, None, None), summary, lambda: None)
    assert [plane[0] for plane in made.ranking()] == [0, 2, 1, 3]
    kept = [(2, None, None)]
    assert [plane[0] for plane in made.ranking(kept)] == [0, 1, 3]
    assert [plane[0] for plane in made.ranking([(0, None, None)])] == [2, 1, 3]


def test_the_map_of_disagreement_of_a_stack(viewer, segment, click, all_slices, stack):
    viewer.add_image(stack)
    all_slices()
    segment()
    layers = results(viewer)
    click("samsp_disagreement")
    drawn = np.asarray(viewer.layers[-1].data)
    foreground = [layer.data > 0 for layer in layers]
    expected = sum(one.astype(int) != foreground[-1] for one in foreground[:-1])
    assert np.array_equal(drawn, expected)


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


def test_many_labels_go_to_a_file_that_can_be_edited(monkeypatch):
    monkeypatch.setattr(stack_result, "IN_MEMORY", 100)
    made = StackResult((3, 20, 30), (1, 2), 2)
    made.allocate()
    assert all(isinstance(labels, np.memmap) for labels in made.labels)
    labels = np.arange(600, dtype=np.int32).reshape(20, 30)
    made.show(1, (2, None, None), labels)
    made.labels[1][2, 0, 0] = 9
    assert made.labels[1][2, 0, 0] == 9
    assert np.array_equal(made.labels[1][2, 1:], labels[1:])
    assert not made.labels[0].any()


def test_labels_that_no_disk_holds_are_refused():
    with pytest.raises(InputError, match=r"make room there, or segment fewer slices"):
        StackResult((10**6, 10**5, 10**4), (1, 2), 1).allocate()


def test_a_kept_slice_is_not_offered_again(
    viewer, widget, segment, click, all_slices, stack
):
    viewer.add_image(stack, name="cells")
    all_slices()
    segment()
    ranking = [p[0] for p in widget.segmenting.results.request.stack.ranking()]
    seen = []
    for _ in ranking:
        click("samsp_next_slice")
        seen.append(viewer.dims.current_step[0])
        click("samsp_keep")
    assert seen == ranking
    click("samsp_next_slice")
    assert "Every slice is kept" in widget.status.text()


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
