from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.metrics import hausdorff_distance

from napari_samsp.metrics import (
    aggregated_jaccard,
    average_precision,
    boundary_f1,
    dice,
    iou,
    scores,
    summary,
)
from napari_samsp.utils.errors import InputError

ALL = ("dice", "iou", "boundary_f1", "ap50", "ap75", "aji")


def rows(*parts: tuple[int, int, int], length: int = 20) -> np.ndarray:
    """One row of labels from (label, start, stop)."""
    row = np.zeros((1, length), np.int32)
    for label, start, stop in parts:
        row[0, start:stop] = label
    return row


shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    labels = hnp.arrays(np.int32, draw(shapes), elements=st.integers(0, 4))
    first = draw(labels)
    second = draw(hnp.arrays(np.int32, first.shape, elements=st.integers(0, 4)))
    return first, second


def test_dice_and_iou_by_hand() -> None:
    prediction, truth = rows((1, 0, 4)), rows((7, 2, 8))
    assert dice(prediction, truth) == pytest.approx(2 * 2 / (4 + 6))
    assert iou(prediction, truth) == pytest.approx(2 / 8)


def test_average_precision_by_hand() -> None:
    truth = rows((1, 0, 10), (2, 12, 16))
    # IoU 8/10 with the first, 1/5 with the second, and one that hits nothing.
    prediction = rows((5, 0, 8), (6, 15, 17), (9, 19, 20))
    at_half, at_most, at_little = average_precision(prediction, truth, (0.5, 0.8, 0.1))
    assert at_half == pytest.approx(1 / (1 + 2 + 1))
    assert at_most == 0, "an IoU must be above the threshold, not at it"
    assert at_little == pytest.approx(2 / (2 + 1 + 0))


def test_low_thresholds_match_as_many_objects_as_possible() -> None:
    # The long prediction qualifies for both, the short one for the first only.
    truth = rows((1, 0, 6), (2, 6, 12))
    prediction = rows((1, 0, 2), (2, 2, 12))
    assert average_precision(prediction, truth, (0.3,)) == [1.0]
    overlapping = rows((1, 0, 12))
    assert average_precision(overlapping, truth, (0.3,)) == [0.5]


def test_aggregated_jaccard_by_hand() -> None:
    truth = rows((1, 0, 10), (2, 12, 16), (3, 17, 19))
    prediction = rows((5, 0, 8), (6, 15, 17), (9, 19, 20))
    # First: 8 of 10. Second: 1 of 5. Third is alone: 2. The last prediction: 1.
    assert aggregated_jaccard(prediction, truth) == pytest.approx(9 / (10 + 5 + 2 + 1))


def test_a_prediction_may_serve_two_objects_in_the_aggregated_jaccard() -> None:
    truth, prediction = rows((1, 0, 4), (2, 4, 8)), rows((1, 0, 8))
    assert aggregated_jaccard(prediction, truth) == pytest.approx((4 + 4) / (8 + 8))


@pytest.mark.parametrize(("shift", "expected"), [(0, 1.0), (2, 1.0), (8, 0.0)])
def test_boundary_tolerance(shift: int, expected: float) -> None:
    truth = np.zeros((40, 60), np.int32)
    truth[10:16, 10:16] = 1
    assert boundary_f1(np.roll(truth, shift, 1), truth, 2) == expected


def test_boundary_is_judged_in_both_directions() -> None:
    truth = np.zeros((40, 60), np.int32)
    truth[10:16, 10:16] = 1
    prediction = truth.copy()
    prediction[30:36, 40:46] = 1  # half of the predicted boundary is wrong
    assert boundary_f1(prediction, truth) == pytest.approx(2 * 0.5 / 1.5)


def test_image_edge_closes_a_boundary() -> None:
    full = np.ones((5, 9), np.int32)
    assert boundary_f1(full, full) == 1
    assert boundary_f1(full, np.zeros_like(full)) == 0


def test_negative_tolerance_is_refused() -> None:
    with pytest.raises(InputError, match="tolerance"):
        boundary_f1(rows(), rows(), -1)


def test_two_empty_images_agree_and_one_empty_image_does_not() -> None:
    empty, something = rows(), rows((1, 3, 9))
    assert set(scores(empty, empty, objects=True).values()) == {1.0}
    assert set(scores(something, empty, objects=True).values()) == {0.0}
    assert set(scores(empty, something, objects=True).values()) == {0.0}


def test_figures_of_objects_come_on_request() -> None:
    assert tuple(scores(rows(), rows())) == ALL[:3]
    assert tuple(scores(rows(), rows(), objects=True)) == ALL


def test_sizes_that_differ_are_refused() -> None:
    with pytest.raises(InputError, match=r"3 x 5 but the mask is 5 x 3"):
        dice(np.zeros((3, 5), int), np.zeros((5, 3), int))


def test_large_sparse_labels() -> None:
    truth = rows((2_000_000_000, 0, 5), (2_147_483_647, 8, 12))
    assert average_precision(rows((1, 0, 5), (2, 8, 12)), truth) == [1.0, 1.0]
    assert aggregated_jaccard(rows((1, 0, 5), (2, 8, 12)), truth) == 1


def test_many_objects() -> None:
    labels = np.arange(300 * 500, dtype=np.int32).reshape(300, 500) // 2
    assert average_precision(labels, labels) == [1.0, 1.0]
    assert aggregated_jaccard(labels, labels) == 1


def test_nuclei_found_but_for_one(nuclei: tuple[np.ndarray, np.ndarray]) -> None:
    _, truth = nuclei
    prediction = np.where(truth == 3, 0, truth)
    assert average_precision(prediction, truth) == pytest.approx([5 / 6, 5 / 6])
    left = np.count_nonzero(prediction) / np.count_nonzero(truth)
    assert aggregated_jaccard(prediction, truth) == pytest.approx(left)


@given(pairs())
def test_figures_are_between_0_and_1(pair: tuple[np.ndarray, np.ndarray]) -> None:
    assert all(0 <= v <= 1 for v in scores(*pair, objects=True).values())


@given(pairs())
def test_an_image_agrees_with_itself(pair: tuple[np.ndarray, np.ndarray]) -> None:
    assert set(scores(pair[0], pair[0], objects=True).values()) == {1.0}


@given(pairs())
def test_all_but_the_aggregated_jaccard_are_symmetric(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    one, other = scores(*pair, objects=True), scores(*pair[::-1], objects=True)
    for key in ALL[:-1]:
        assert one[key] == pytest.approx(other[key]), key


@given(pairs(), st.permutations([10, 20, 30, 40]))
def test_labels_are_only_names(
    pair: tuple[np.ndarray, np.ndarray], renamed: list[int]
) -> None:
    prediction, truth = pair
    other = np.array([0, *renamed], np.int32)[prediction]
    assert scores(other, truth, objects=True) == scores(prediction, truth, objects=True)


@given(pairs())
def test_dice_follows_from_iou(pair: tuple[np.ndarray, np.ndarray]) -> None:
    overlap = iou(*pair)
    assert dice(*pair) == pytest.approx(2 * overlap / (1 + overlap))


@given(pairs())
def test_average_precision_equals_a_plain_count(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    prediction, truth = pair
    ours, theirs = (np.setdiff1d(labels, 0) for labels in pair)
    found = sum(
        np.sum((prediction == p) & (truth == t))
        > 0.5 * np.sum((prediction == p) | (truth == t))
        for p in ours
        for t in theirs
    )
    total = len(ours) + len(theirs) - found
    expected = found / total if total else 1
    assert average_precision(prediction, truth, (0.5,)) == pytest.approx([expected])


def boundary(labels: np.ndarray) -> np.ndarray:
    inside = np.pad(labels > 0, 1)
    enclosed = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2]
    return (labels > 0) & ~(enclosed & inside[1:-1, 2:])


@given(pairs(), st.sampled_from([0, 1, 1.5, 2]))
def test_boundaries_within_tolerance_are_those_of_small_hausdorff_distance(
    pair: tuple[np.ndarray, np.ndarray], tolerance: float
) -> None:
    distance = hausdorff_distance(*map(boundary, pair))
    assert (boundary_f1(*pair, tolerance) == 1) == (distance <= tolerance)


def test_summary() -> None:
    assert summary([1.0, 2.0, 3.0]) == (2.0, 1.0, 3)
    assert summary(x for x in [0.5]) == (0.5, 0.0, 1)
    with pytest.raises(InputError):
        summary([])
