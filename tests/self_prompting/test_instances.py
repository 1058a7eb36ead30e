from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.draw import disk, rectangle

from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.self_prompting.instances import (
    cut_at_necks,
    distinct,
    objects_of,
    without_specks,
)


def test_each_number_is_an_object_and_its_largest_piece_counts():
    instances = torch.zeros(3, 6, 8, dtype=torch.int64)
    instances[0, 1:4, 1:3] = 1
    instances[0, 1:4, 3:5] = 2
    instances[2, 0:2, 0:2] = 5
    instances[2, 4:6, 4:8] = 5
    instances[2, 0, 7] = 3
    masks, index = objects_of(instances)
    assert index.tolist() == [0, 0, 2]
    assert masks.flatten(1).sum(1).tolist() == [6, 6, 8]
    assert masks[2, 4:6, 4:8].all()


def logits_of(foreground):
    """Of a model that is sure."""
    return torch.where(foreground, 9.0, -9.0)


def discs(*circles, shape=(40, 64)):
    """One map of ``(y, x, radius)``."""
    found = np.zeros(shape, bool)
    for y, x, radius in circles:
        found[disk((y, x), radius, shape=shape)] = True
    return torch.from_numpy(found)[None]


@pytest.mark.parametrize("radius", [4, 6, 9, 14])
def test_two_discs_that_touch_are_two_objects(radius):
    centres = [(20, 18), (20, 18 + int(1.8 * radius))]
    both = discs(*((*centre, radius) for centre in centres))
    parts = cut_at_necks(logits_of(both))
    assert parts.max() == 2
    first, second = (int(parts[0, y, x]) for y, x in centres)
    assert {first, second} == {1, 2}
    sizes = [int((parts == n).sum()) for n in (1, 2)]
    assert min(sizes) > 0.85 * max(sizes)


@pytest.mark.parametrize("size", [(5, 5), (3, 30), (20, 9), (1, 12), (2, 2), (1, 1)])
def test_what_has_no_neck_stays_whole(size):
    image = np.zeros((40, 64), bool)
    image[rectangle((8, 11), extent=size)] = True
    parts = cut_at_necks(logits_of(torch.from_numpy(image)[None]))
    assert np.array_equal(parts[0].numpy(), image)


@pytest.mark.parametrize("radius", [2, 3, 5, 8, 13, 19])
def test_a_disc_stays_whole(radius):
    assert cut_at_necks(logits_of(discs((20, 30, radius)))).max() == 1


def test_a_seam_that_shows_in_the_logits_alone_is_a_neck():
    image = torch.zeros(1, 40, 64, dtype=torch.bool)
    image[0, 10:20, 10:40] = True
    logits = logits_of(image)
    logits[0, 10:20, 24:26] = 0.5
    parts = cut_at_necks(logits)
    assert parts.max() == 2
    assert parts[0, 15, 12] != parts[0, 15, 37]
    assert torch.equal(parts > 0, image)


def test_specks_are_small_beside_the_largest_part():
    both = discs((20, 20, 9), (20, 48, 6))
    speck = discs((2, 60, 1), (38, 1, 2))
    nothing = torch.zeros_like(both)
    found = without_specks(torch.cat([both | speck, both, nothing]))
    assert torch.equal(found, torch.cat([both, both, nothing]))


@given(arrays(bool, (2, 12, 17)))
def test_the_parts_are_the_foreground_and_connected(foreground):
    parts = cut_at_necks(logits_of(torch.from_numpy(foreground)))
    assert np.array_equal(parts.numpy() > 0, foreground)
    for image in parts.numpy():
        labels = np.unique(image[image > 0])
        assert np.array_equal(labels, np.arange(1, len(labels) + 1))
    masks, index = objects_of(parts)
    sizes = [(parts == n).flatten(1).sum(1) for n in range(1, int(parts.max()) + 1)]
    large = torch.stack(sizes) >= 2 if sizes else torch.zeros(0, 2)
    assert len(masks) == int(large.sum())
    for mask, b in zip(masks, index, strict=True):
        assert len(parts[b][mask].unique()) == 1


def test_an_object_is_shown_once_by_the_map_with_the_best_score():
    wide, shifted, apart = (discs((20, x, 8)) for x in (20, 22, 50))
    logits = torch.cat([shifted, wide, apart, wide]).float() - 0.5
    keep = distinct(logits, torch.tensor([0.7, 0.9, 0.1, 0.2]), torch.zeros(4).long())
    assert keep.tolist() == [False, True, True, False]


def test_maps_of_other_images_and_of_nothing_are_no_duplicates():
    one = discs((20, 20, 8))
    logits = torch.cat([one, one, ~(one | True), ~(one | True)]).float() - 0.5
    keep = distinct(logits, torch.ones(4), torch.tensor([0, 1, 1, 1]))
    assert keep.tolist() == [True, True, True, True]


def test_what_a_map_replaced_hides_no_third():
    """A chain: the middle one is like both ends, which are not alike."""
    chain = [discs((20, x, 10)) for x in (20, 24, 28)]
    logits = torch.cat(chain).float() - 0.5
    keep = distinct(logits, torch.tensor([0.9, 0.8, 0.7]), torch.zeros(3).long())
    assert keep.tolist() == [True, False, True]


def test_nuclei_that_touch_are_told_apart_by_their_prompts():
    """With the model that comes with the program."""
    touching = [(30, 30, 13), (30, 53, 13), (66, 100, 14), (66, 125, 13), (70, 40, 12)]
    picture = discs(*touching, shape=(96, 160))[0].numpy()
    noise = np.random.default_rng(0).normal(0, 6, picture.shape)
    image = (20 + 150 * ndimage.gaussian_filter(picture * 1.0, 1) + noise).clip(0, 255)
    found = Segmenter().segment(image.astype(np.uint8), iterations=2, objects=True)
    assert [step.labels.max() for step in found] == [3, 5]
    centres = [found[1].labels[y, x] for y, x, _ in touching]
    assert sorted(centres) == [1, 2, 3, 4, 5]
