"""Random views keep image and mask together."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_samsp.train.examples.augment import Augmentation, stack_views

sides = st.integers(20, 120)


@given(sides, sides, st.integers(0, 2**31))
def test_a_mask_stays_on_its_object(height, width, seed):
    """However it is cropped, turned and resized: bright pixels are labelled ones."""
    torch.manual_seed(seed)
    labels = np.zeros((height, width), np.int32)
    labels[height // 5 : height // 2, width // 3 :] = 3
    image = np.where(labels[..., None] > 0, 220, 20).astype(np.uint8).repeat(3, -1)
    view = Augmentation(128)(image, labels)
    assert view.image.shape == (3, 128, 128)
    assert view.labels.shape == (128, 128)
    assert set(view.labels.unique().tolist()) <= {0, 3}
    rows, cols = view.valid.tolist()
    assert max(rows, cols) == 128
    assert not view.image[:, rows:].any()
    assert not view.labels[:, cols:].any()
    inside = view.labels > 0
    outside = ~inside
    outside[rows:], outside[:, cols:] = False, False
    if inside.sum() > 200 and outside.sum() > 200:
        gray = view.image.mean(0)
        assert gray[inside].mean() > gray[outside].mean()


def test_off_means_the_plain_image():
    image = np.random.default_rng(0).integers(0, 255, (40, 64, 3), np.uint8)
    one, other = (Augmentation(64, enabled=False)(image, image[..., 0]) for _ in "ab")
    assert torch.equal(one.image, other.image)
    assert one.valid.tolist() == [40, 64]
    assert torch.equal(one.labels[:40], torch.from_numpy(image[..., 0]).long())
    assert stack_views([one, other]).image.shape == (2, 3, 64, 64)


@given(sides, sides, st.integers(10, 200), st.booleans(), st.integers(0, 2**31))
def test_a_view_shows_as_much_as_a_tile_does(height, width, field, enabled, seed):
    """Each pixel's colour tells its row, so that the view tells how many it shows."""
    torch.manual_seed(seed)
    rows = np.broadcast_to(np.arange(height)[:, None], (height, width))
    labels = np.ascontiguousarray(rows) + 1
    image = np.zeros((height, width, 3), np.uint8)
    view = Augmentation(64, enabled=enabled)(image, labels, field)
    seen = len(view.labels.unique()) - (view.labels == 0).any().item()
    assert seen <= min(height, 1.25 * field + 1)
    if not enabled and max(min(height, field), min(width, field)) <= 64:
        assert seen == min(height, field)  # larger ones are made smaller
