"""Small pictures of what judged a run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_samsp.data import judged_pictures as judged


@pytest.fixture
def wide() -> tuple[np.ndarray, np.ndarray]:
    """An image of 300 x 1100 with four labels, in the colours of its quarters."""
    labels = np.kron([[1, 2], [300, 70_000]], np.ones((150, 550), np.int64))
    image = np.zeros((300, 1100, 3), np.uint8)
    image[:150, :550, 0] = image[150:, 550:, 2] = 200
    return image, labels.astype(np.int32)


def test_what_is_written_is_read_again_at_most_512_wide(tmp_path, wide):
    image, labels = wide
    judged.write_image(tmp_path, "a b", image, labels)
    small = judged.small_labels(labels)
    judged.write_labels(tmp_path, "a b", judged.BEFORE, small)
    assert judged.read_pictures(tmp_path) == []  # not yet complete
    judged.write_labels(tmp_path, "a b", judged.AFTER, np.zeros_like(small))
    (one,) = judged.read_pictures(tmp_path)
    assert one.name == "a b"
    assert one.image.shape == (140, 512, 3)
    assert one.mask.shape == one.before.shape == one.after.shape == (140, 512)
    assert np.array_equal(np.unique(one.mask), [1, 2, 300, 70_000])
    assert np.array_equal(one.mask, one.before) and not one.after.any()
    assert (one.image[one.mask == 1][:, 0] > 150).mean() > 0.99
    (tmp_path / "judged" / "a b.after.tif").write_bytes(b"broken")
    assert judged.read_pictures(tmp_path) == []


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_labels_keep_their_place(height, width):
    rows = np.arange(height)[:, None] + np.zeros(width, int)
    small = judged.small_labels(rows)
    assert small.shape == judged.small_shape((height, width))
    assert max(small.shape) <= judged.LONGEST_SIDE
    assert (np.diff(small[:, 0]) >= 0).all()
    expected = (np.arange(len(small)) + 0.5) / len(small) * height
    assert np.abs(small[:, 0] - expected).max() <= 1


@given(st.integers(1, 500))
def test_of_many_images_some_are_chosen(count):
    names = [str(n) for n in range(count)]
    found = judged.chosen(names)
    assert len(found) == len(set(found)) == min(count, judged.MOST)
    assert found[0] == "0" and found[-1] == names[-1]
