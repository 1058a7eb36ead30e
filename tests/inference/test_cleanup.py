"""Threshold, holes and least size, applied to results that are there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_samsp.inference.cleanup import Cleanup, Meaning, clean
from napari_samsp.inference.results import Iteration
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.utils.errors import InputError

OBJECTS, REGION, CLASSES = Meaning(True, None), Meaning(False, 1), Meaning(False, None)
SHAPE = (7, 11)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(device="cpu")


def result(labels: np.ndarray, logits: np.ndarray | None = None) -> Iteration:
    if logits is None:
        logits = np.where(labels > 0, 4.0, -4.0)
    return Iteration(
        labels=np.asarray(labels, np.int32), logits=logits.astype(np.float32),
        prompt=None, score=0.9, iou_to_previous=None, seconds=0.1, iteration=0,
        iterations=1,
    )  # fmt: skip


def ring(outer: int = 1, inner: int = 0) -> np.ndarray:
    """A frame of ``outer`` around a hole, in which lies one pixel of ``inner``."""
    labels = np.zeros(SHAPE, np.int32)
    labels[1:6, 2:9] = outer
    labels[2:5, 3:8] = 0
    labels[3, 5] = inner
    return labels


def test_by_default_the_very_same_result_comes_back(segmenter, nuclei):
    plain = segmenter.segment(nuclei[0], 2, objects=True)
    for one in plain:
        assert clean(one, Cleanup(), OBJECTS) is one
    again = segmenter.segment(nuclei[0], 2, objects=True, cleanup=Cleanup())
    for one, other in zip(plain, again, strict=True):
        assert np.array_equal(one.labels, other.labels)


@pytest.mark.parametrize("objects", [True, False])
def test_a_threshold_shrinks_and_grows_what_was_found(segmenter, nuclei, objects):
    image, truth = nuclei
    found = {
        threshold: segmenter.segment(
            image, 2, objects, cleanup=Cleanup(threshold=threshold)
        )[-1].labels
        for threshold in (0.05, 0.5, 0.95)
    }
    low, plain, high = found.values()
    assert (low > 0).sum() > (plain > 0).sum() > (high > 0).sum() > 0
    # Each object stays what it is, and where it is.
    assert np.array_equal(low[plain > 0], plain[plain > 0])
    assert np.array_equal(plain[high > 0], high[high > 0])
    assert set(np.unique(low)) == set(np.unique(plain))
    assert not ((truth > 0) & (plain > 0) & (low == 0)).any()


def test_objects_grow_towards_each_other_but_none_is_new():
    logits = np.full(SHAPE, -1.0)
    logits[:, 5] = -2  # between them
    labels = np.zeros(SHAPE, np.int32)
    labels[3, 2], labels[3, 9] = 4, 7
    logits[3, 2] = logits[3, 9] = 3
    logits[0:2] = -9
    logits[0, 0] = -0.5  # nobody's
    grown = clean(result(labels, logits), Cleanup(0.2), OBJECTS).labels
    assert (grown[2:, :5] == 4).all() and (grown[2:, 6:] == 7).all()
    assert not grown[:, 5].any() and not grown[:2].any()
    region = clean(result(labels > 0, logits), Cleanup(0.2), REGION).labels
    assert np.array_equal(region > 0, logits > np.log(0.25))


def test_where_there_is_no_data_nothing_appears():
    logits = np.full(SHAPE, -0.1)
    logits[:, :4] = -np.inf
    logits[3, 5] = 2
    labels = np.zeros(SHAPE, np.int32)
    labels[3, 5] = 1
    for meaning in (OBJECTS, REGION):
        low = clean(result(labels, logits), Cleanup(0.01), meaning).labels
        assert not low[:, :4].any() and low[:, 4:].all()
    lake = ring()
    logits = np.where(lake > 0, 4.0, -4.0)
    logits[3, 5] = -np.inf
    filled = clean(result(lake, logits), Cleanup(fill_holes=True), OBJECTS).labels
    assert filled[3, 5] == 0 and filled[3, 4] == 1


def test_holes_are_filled_and_what_lies_in_them_stays():
    filled = clean(result(ring(3, 8)), Cleanup(fill_holes=True), OBJECTS).labels
    assert filled[3, 5] == 8
    assert (filled[1:6, 2:9] > 0).all() and filled[2, 3] == 3
    assert not filled[0].any()
    open_ring = ring()
    open_ring[3, 2] = 0
    kept = clean(result(open_ring), Cleanup(fill_holes=True), OBJECTS).labels
    assert np.array_equal(kept, open_ring)


def test_a_ring_in_a_ring_fills_its_own_hole():
    labels = np.zeros((15, 17), np.int32)
    labels[1:14, 1:16] = 1
    labels[2:13, 2:15] = 0
    labels[5:10, 5:12] = 2
    labels[6:9, 6:11] = 0
    filled = clean(result(labels), Cleanup(fill_holes=True), OBJECTS).labels
    assert (filled[5:10, 5:12] == 2).all()


def test_an_object_counts_whole_and_a_region_part_by_part():
    labels = np.zeros(SHAPE, np.int32)
    labels[0, :3] = labels[5, :3] = 2  # an object in two pieces
    labels[6, 8:] = 9
    as_objects = clean(result(labels), Cleanup(min_size=6), OBJECTS).labels
    assert np.unique(as_objects).tolist() == [0, 2]
    labels[6, 5:8] = 9
    for meaning in (REGION, CLASSES):
        kept = clean(result(labels), Cleanup(min_size=6), meaning).labels
        assert np.unique(kept).tolist() == [0, 9]


labelled = arrays(np.int32, SHAPE, elements=st.integers(0, 3))
maps = arrays(np.float32, SHAPE, elements=st.floats(0.125, 8, width=16))


@given(
    labelled,
    maps,
    st.floats(0.01, 0.99),
    st.integers(0, 20),
    st.booleans(),
    st.sampled_from([OBJECTS, REGION, CLASSES]),
)
def test_no_object_changes_its_number_and_all_are_large_enough(
    labels, sure, threshold, least, fill, meaning
):
    if meaning is REGION:
        labels = (labels > 0).astype(np.int32)
    logits = np.where(labels > 0, sure, -sure)
    cleanup = Cleanup(threshold, least, fill)
    once = clean(result(labels, logits), cleanup, meaning).labels
    assert once.dtype == np.int32
    assert set(np.unique(once)) <= {0, *np.unique(labels)} | (
        {1} if meaning is REGION else set()
    )
    if not fill:
        both = (once > 0) & (labels > 0)
        assert np.array_equal(once[both], labels[both])
    if meaning.objects:
        areas = np.bincount(once.ravel())[1:]
        assert (areas[areas > 0] >= least).all()


def test_the_agreement_is_that_of_what_is_shown(segmenter, nuclei):
    plain = segmenter.segment(nuclei[0], 2)
    steps = segmenter.segment(nuclei[0], 2, cleanup=Cleanup(min_size=10**6))
    assert not steps[-1].labels.any()
    assert plain[-1].iou_to_previous < 1
    assert steps[-1].iou_to_previous == 1  # nothing, twice


@pytest.mark.parametrize(
    "settings",
    [{"threshold": 0}, {"threshold": float("nan")}, {"min_size": -1},
     {"min_size": 2.5}, {"min_size": True}],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(settings):
    with pytest.raises(InputError):
        Cleanup(**settings)
