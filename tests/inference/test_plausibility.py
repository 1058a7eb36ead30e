from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import napari_samsp
from napari_samsp.data.image_files import read_image
from napari_samsp.inference.plausibility import (
    Oddity,
    count_labels,
    find_oddity,
    separate_parts,
)
from napari_samsp.inference.segmenter import Segmenter

SAMPLES = Path(napari_samsp.__file__).parent / "samples"


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter()


def oddity(segmenter, image, objects):
    last = segmenter.segment(image, 2, objects)[-1]
    return find_oddity(
        last.area_fraction,
        last.score,
        count_labels(last.labels),
        separate_parts(last.labels),
        objects,
    )


@pytest.mark.parametrize(
    ("sample", "objects", "odd"),
    [
        ("lesion.jpg", False, None),
        ("lesion.jpg", True, None),
        ("nuclei.png", True, None),
        ("nuclei.png", False, Oddity.PARTS),
    ],
)
def test_what_the_model_makes_of_the_samples(segmenter, sample, objects, odd):
    assert oddity(segmenter, read_image(SAMPLES / sample), objects) is odd


@pytest.mark.parametrize("objects", [False, True])
def test_noise_has_nothing_in_it(segmenter, objects):
    noise = np.random.default_rng(0).normal(100, 10, (120, 200))
    assert oddity(segmenter, noise, objects) is Oddity.NOTHING


@pytest.mark.parametrize(
    ("figures", "odd"),
    [
        ((0.0, 0.9, 0, 0, True), Oddity.NOTHING),
        ((0.97, 0.9, 1, 1, False), Oddity.EVERYTHING),
        ((0.2, 0.1, 385, 0, True), Oddity.CONFETTI),
        ((0.2, 0.1, 3, 0, True), Oddity.UNSURE),
        ((0.2, -0.02, 1, 40, False), Oddity.UNSURE),
        ((0.2, 0.9, 385, 0, True), None),
        ((0.2, 0.9, 1, 18, False), Oddity.PARTS),
        ((0.2, 0.9, 1, 2, False), None),
        ((0.2, 0.4, 9, 0, True, False), Oddity.SCALE),
        ((0.2, 0.6, 9, 0, True, False), None),
        ((0.2, 0.1, 1, 2, False, False), Oddity.UNSURE),
    ],
)
def test_what_is_odd(figures, odd):
    assert find_oddity(*figures) is odd


@given(
    arrays(np.int32, st.tuples(*[st.integers(1, 12)] * 2), elements=st.integers(0, 9))
)
def test_labels_are_counted(labels):
    assert count_labels(labels) == len(set(labels.ravel().tolist()) - {0})


def test_specks_are_no_parts():
    labels = np.zeros((40, 60), int)
    labels[2:20, 2:20] = 1
    labels[2:20, 30:50] = 1
    labels[30, 30] = 1
    assert separate_parts(labels) == 2
    assert separate_parts(np.zeros((4, 5), int)) == 0
