from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_samsp.data.rgb import Scaling, to_rgb8
from napari_samsp.train.examples.dataset import Batches, Views
from napari_samsp.train.examples.example import Example
from napari_samsp.train.examples.unlabelled import MOST_IMAGES, read_unlabelled
from napari_samsp.utils.errors import InputError

PLAIN = Scaling("none")


def noise(seed, shape=(40, 60)):
    return np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)


def test_what_has_a_mask_or_cannot_be_read_is_left_out(tmp_path):
    known = noise(0)
    tifffile.imwrite(tmp_path / "known.tif", known)
    tifffile.imwrite(tmp_path / "new.tif", noise(1))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    labelled = [Example("a", to_rgb8(known, None, PLAIN), np.ones((40, 60), np.int32))]
    found, unusable = read_unlabelled(tmp_path, PLAIN, labelled)
    assert [one.name for one in found] == ["new"]
    np.testing.assert_array_equal(found[0].image[..., 0], noise(1))
    assert len(unusable) == 1
    assert "broken" in unusable[0]


def test_the_planes_of_a_stack_are_images(tmp_path):
    stack = noise(2, (5, 40, 60))
    tifffile.imwrite(tmp_path / "stack.tif", stack, metadata={"axes": "ZYX"})
    found, _ = read_unlabelled(tmp_path, PLAIN, [])
    assert [one.image[..., 0].tolist() for one in found] == stack.tolist()


def test_of_very_many_some_are_read_from_first_to_last(tmp_path):
    stack = noise(3, (3 * MOST_IMAGES, 16, 24))
    tifffile.imwrite(tmp_path / "stack.tif", stack, metadata={"axes": "TYX"})
    found, _ = read_unlabelled(tmp_path, PLAIN, [])
    assert MOST_IMAGES // 2 <= len(found) <= MOST_IMAGES
    np.testing.assert_array_equal(found[0].image[..., 0], stack[0])
    np.testing.assert_array_equal(found[-1].image[..., 0], stack[-3])


def test_a_folder_of_nothing_new_is_a_sentence(tmp_path):
    tifffile.imwrite(tmp_path / "known.tif", noise(0))
    same = Example("a", to_rgb8(noise(0), None, PLAIN), np.ones((40, 60), np.int32))
    with pytest.raises(InputError, match="all of them are in the training set"):
        read_unlabelled(tmp_path, PLAIN, [same])


def test_they_come_along_without_changing_what_else_is_seen():
    without, beside = Batches(9, 4, 3), Batches(9, 4, 3, unlabelled=7)
    for step, longer in zip(without, beside, strict=True):
        assert longer[: len(step)] == step
        assert len(longer) == len(step) + 2
        assert all(-7 <= number < 0 for number, _ in longer[len(step) :])


def test_their_views_have_no_labels_and_the_teachers_image():
    labelled = Example("a", to_rgb8(noise(0), None, PLAIN), np.ones((40, 60), np.int32))
    other = Example("b", to_rgb8(noise(1), None, PLAIN), np.zeros((40, 60), np.int32))
    views = Views([labelled], 64, 1, True, [60], unlabelled=[other])
    batch = views.batch([views[0, 5], views[-1, 6]])
    assert (batch.labels[0] >= 0).all()
    assert (batch.labels[1] == -1).all()
    assert batch.plain.shape == batch.image.shape
    assert not batch.plain[1].equal(batch.image[1])
