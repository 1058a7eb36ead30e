"""One object, followed through the slices of a stack."""

from __future__ import annotations

import numpy as np
import pytest

from napari_samsp.data.rgb import Scaling
from napari_samsp.data.tiling import Tile
from napari_samsp.inference.interactive.cut import Cut
from napari_samsp.inference.interactive.object_propagator import propagate_object
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.metrics import iou
from napari_samsp.utils.errors import InputError

SHAPE = (96, 160)
RADII = (0, 12, 15, 17, 15, 12, 0, 0)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(device="cpu")


@pytest.fixture(scope="module")
def ball(ball_and_rod) -> tuple[np.ndarray, np.ndarray]:
    """A ball that ends, and a rod that does not: ``(8, 96, 160)``."""
    return ball_and_rod(*RADII)


def follow(segmenter, stack, labels, label, start, **settings) -> dict[int, np.ndarray]:
    scaling = Scaling("limits", 0.0, 200.0)
    found = propagate_object(
        lambda n: segmenter.clicked(stack[n], scaling=scaling),
        start,
        len(stack),
        Cut.of(labels[start] == label),
        2,
        **settings,
    )
    whole = Tile(0, SHAPE[0], 0, SHAPE[1])
    return {one.number: one.cut.within(whole) for one in found}


def test_it_is_followed_both_ways_until_it_ends(segmenter, ball):
    stack, labels = ball
    found = follow(segmenter, stack, labels, 1, 3)
    assert list(found) == [4, 5, 2, 1]
    for z, mask in found.items():
        assert iou(mask, labels[z] == 1) > 0.75, z


def test_what_does_not_end_is_followed_to_both_ends(segmenter, ball):
    stack, labels = ball
    found = follow(segmenter, stack, labels, 2, 4)
    assert list(found) == [5, 6, 7, 3, 2, 1, 0]
    assert min(iou(mask, labels[z] == 2) for z, mask in found.items()) > 0.85


def test_it_stays_where_it_may_be(segmenter, ball):
    stack, labels = ball

    def free(z: int, _before: Cut) -> np.ndarray | None:
        if z == 5:
            return None
        where = np.ones(SHAPE, bool)
        where[:, 56:] = z != 2
        return where

    found = follow(segmenter, stack, labels, 1, 3, free=free)
    assert list(found)[:2] == [4, 2]
    assert not found[2][:, 56:].any() and found[2][:, :56].any()


def test_a_blank_slice_ends_it(segmenter, ball):
    stack, labels = ball[0].copy(), ball[1]
    stack[4] = 7
    assert 4 not in follow(segmenter, stack, labels, 1, 3)


def test_without_an_object_a_sentence_says_what_to_do(segmenter, ball):
    stack, labels = ball
    with pytest.raises(InputError, match="click one first"):
        follow(segmenter, stack, labels, 9, 3)
    with pytest.raises(ValueError, match="slice 8"):
        list(propagate_object(segmenter.clicked, 8, 8, Cut.of(labels[3] == 1)))
