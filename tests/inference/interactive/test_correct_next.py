"""What to correct next: unsure images, and not the same kind twice."""

from __future__ import annotations

import numpy as np
import pytest

from napari_samsp import Segmenter
from napari_samsp.inference.interactive.correct_next import (
    SPREAD,
    confidence,
    correction_order,
    look_as_text,
    look_from_text,
)


def test_of_two_kinds_the_second_comes_before_more_of_the_first():
    # Four of one kind, of which the model is least sure, and one of another.
    looks = [np.array([0.0, n / 100, 0]) for n in range(4)] + [np.array([5.0, 0, 0])]
    order = correction_order([0.1, 0.2, 0.3, 0.4, 0.6], looks)
    assert order[:2] == [0, 4]
    assert sorted(order) == [0, 1, 2, 3, 4]
    # What was corrected counts: the first kind has been seen.
    again = correction_order([0.1, 0.2, 0.3, 0.4, 0.6], looks, [looks[0]])
    assert again[0] == 4


def test_confidence_is_that_of_the_last_round_that_found_something():
    assert confidence([[0.2, 0.5, 0.8]]) == 0.8
    assert confidence([[0.3, 0.0, 0.0], [], [0.1, 0.2, 0.9]]) == pytest.approx(0.6)
    assert confidence([[0.0, 0.0]]) == 0.0
    assert confidence([[]]) is None


def test_without_looks_or_of_several_models_the_least_sure_comes_first():
    assert correction_order([0.9, 0.2, 0.2, 0.5], [None] * 4) == [1, 2, 3, 0]
    looks = [np.zeros(3), np.zeros(3), np.zeros(4), np.zeros(3)]
    assert correction_order([0.9, 0.2, 0.1, 0.5], looks) == [2, 1, 3, 0]
    assert correction_order([], []) == []


def test_of_five_thousand_each_comes_once():
    rng = np.random.default_rng(0)
    sure = rng.random(5000)
    looks = list(rng.normal(size=(5000, 32)).astype(np.float32))
    order = correction_order(list(sure), looks)
    assert sorted(order) == list(range(5000))
    assert (np.diff(sure[order[SPREAD:]]) >= 0).all()


def test_a_look_is_kept_in_a_line_and_nonsense_is_none():
    looks = [np.array([1.0, -2.5, 3.25]), np.array([3.0, -2.5, 3.25])]
    text = look_as_text(looks)
    assert np.array_equal(look_from_text(text), [2.0, -2.5, 3.25])
    assert look_as_text([]) is None
    infinite = look_as_text([np.array([np.inf])])
    for nonsense in (None, 3, "", "a", "äöü", "AA==", infinite):
        assert look_from_text(nonsense) is None


@pytest.mark.parametrize("objects", [False, True])
def test_images_that_look_alike_have_like_embeddings(nuclei, objects):
    image = nuclei[0]
    segmenter = Segmenter("samsp_small", device="cpu")

    def look(pixels: np.ndarray) -> np.ndarray:
        first, last = segmenter.segment(pixels, 2, objects)
        assert np.array_equal(first.look, last.look)
        return last.look

    noise = np.random.default_rng(1).normal(0, 4, image.shape)
    stripes = np.tile((np.arange(160) % 20 < 10) * 120, (96, 1)).astype(np.uint8)
    here, alike, other = look(image), look(image + noise), look(stripes)
    assert here.ndim == 1
    assert np.isfinite(here).all()
    assert np.linalg.norm(here - alike) < np.linalg.norm(here - other) / 2
