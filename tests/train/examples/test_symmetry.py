"""What lies where it lies for a reason is not mirrored away."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_samsp.train.examples.augment import Augmentation
from napari_samsp.train.examples.symmetry import Symmetry, symmetry_of


def band(top: float, bottom: float, shape: tuple[int, int] = (60, 90)) -> np.ndarray:
    mask = np.zeros(shape, np.int32)
    mask[int(top * shape[0]) : int(bottom * shape[0])] = 1
    return mask


def test_a_lining_at_the_top_stays_at_the_top():
    masks = [band(0.1, 0.3 + 0.05 * n) for n in range(5)]
    assert symmetry_of(masks) == Symmetry(left_right=True, up_down=False, turn=False)
    turned = [mask.T for mask in masks]
    assert symmetry_of(turned) == Symmetry(left_right=False, up_down=True, turn=False)


def test_long_images_are_not_turned():
    masks = [band(0.3, 0.7, (40, 200))] * 4
    assert symmetry_of(masks) == Symmetry(turn=False)


@pytest.mark.parametrize(
    "masks",
    [
        [band(0, 0.3), band(0.7, 1), band(0, 0.3), band(0.6, 0.9)],
        [band(0, 0.3), band(0, 0.3)],
        [np.zeros((60, 90), np.int32)] * 5,
        [band(0.4, 0.55)] * 5,
    ],
    ids=["either side", "two images", "empty", "near the middle"],
)
def test_else_every_way_is_allowed(masks):
    assert symmetry_of(masks) == Symmetry()


@given(st.integers(0, 2**31))
def test_views_keep_what_the_symmetry_keeps(seed):
    """Mirrored left to right only: what is above stays above."""
    mask = band(0, 0.4)
    image = np.repeat(mask[..., None] * 200, 3, -1).astype(np.uint8)
    torch.manual_seed(seed)
    view = Augmentation(64, symmetry=Symmetry(up_down=False, turn=False))(image, mask)
    rows, cols = view.valid.tolist()
    inside = view.labels[:rows, :cols] > 0
    assert inside[0].all()
    assert not inside[-1].any()
