"""What is done with the labels of a stack: kept, ranked, compared, stored."""

from __future__ import annotations

import numpy as np
import pytest

from napari_samsp.data.image_files import read_labels
from napari_samsp.data.rgb import Scaling
from napari_samsp.data.shared_limits import resolve_percentiles
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.ui.segment import stack_result
from napari_samsp.ui.segment.stack_result import StackResult
from napari_samsp.ui.segment.summary import Summary
from napari_samsp.utils.errors import InputError


def results(viewer):
    return [layer for layer in viewer.layers if layer.name.startswith("SAM-SP ")]


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


def test_a_round_without_objects_says_nothing_about_a_slice():
    made = StackResult((2, 8, 9), (1, 2), 2)
    made.allocate()
    for t, scores in enumerate([(0.4, 0.7), (0.9, 0.0)]):
        for n, score in enumerate(scores):
            summary = Summary(t, 2, "none", score, None, 0.1, 1)
            made.complete((n, None, None), summary, lambda: None)
    assert made.ranking() == [(1, None, None), (0, None, None)]
    assert made.scores[1, None, None] == 0.7


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
