"""Percentiles of an image that is read in blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_samsp.data import intensities
from napari_samsp.data.intensities import Intensities


def of(image):
    return Intensities.of(np.array_split(image, 3), image.dtype, image.size)


@given(
    arrays.arrays(
        st.sampled_from([np.uint8, np.int8, np.uint16, np.int16, np.float32, np.int64]),
        st.tuples(st.integers(1, 40), st.integers(1, 40)),
        elements=st.integers(-100, 100).map(abs),
    ),
    st.floats(0, 100),
)
def test_percentiles_are_numpy_s(image, percent):
    found = of(image)
    expected = np.percentile(image, percent)
    assert found.percentiles(percent)[0] == pytest.approx(expected, abs=1e-4)
    assert (found.low, found.high) == (image.min(), image.max())


def test_a_sample_is_near_the_exact_percentiles(monkeypatch):
    """Of float images with more than SAMPLE values, in many blocks."""
    monkeypatch.setattr(intensities, "SAMPLE", 2**18)
    rng = np.random.default_rng(3)
    image = rng.gamma(2, 100, (1500, 1400)).astype(np.float32)
    image[:3] = 1e6  # hot pixels, all in the first block
    found = of(image)
    ranks = np.array([0.5, 50, 99.7])
    for percent, value in zip(ranks, found.percentiles(*ranks), strict=True):
        rank = 100 * np.mean(image < value)
        assert rank == pytest.approx(percent, abs=0.05)
    assert found.high == 1e6


def test_what_is_not_finite_is_counted():
    image = np.ones((20, 30))
    image[3, 4], image[5, 6] = np.nan, np.inf
    found = of(image)
    assert found.bad == 2
    assert (found.low, found.high) == (1, 1)
