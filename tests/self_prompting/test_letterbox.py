"""Geometry between an image and the model's square input."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from segment_anything.utils.transforms import ResizeLongestSide

from napari_samsp.self_prompting.letterbox import fit, logits_to_image, to_model_input

sides = st.integers(1, 400)


@given(sides, sides, st.sampled_from([64, 256, 1024]))
def test_fit_is_sams_rule_and_never_vanishes(height, width, size):
    got = fit((height, width), size)
    expected = ResizeLongestSide.get_preprocess_shape(height, width, size)
    assert got == tuple(max(1, side) for side in expected)
    assert max(got) == size


@given(st.integers(8, 90), st.integers(8, 90))
def test_a_mask_comes_back_to_its_place(height, width):
    """A rectangle in an image of any aspect lands where it was, to about a cell."""
    size = 256
    mask = np.zeros((height, width), bool)
    mask[height // 4 : 3 * height // 4, width // 2 :] = True
    picture = np.repeat(mask[..., None] * np.uint8(255), 3, axis=-1)
    tensor, valid = to_model_input(picture, size)
    assert tensor.shape == (3, size, size)
    assert not tensor[:, valid[0] :].any()
    assert not tensor[:, :, valid[1] :].any()
    low = torch.nn.functional.adaptive_avg_pool2d(tensor[:1], size // 4)
    back = logits_to_image(low, size, tuple(valid.tolist()), (height, width))[0] > 0
    cell = 4 * max(height, width) / size + 1
    rows, cols = np.nonzero(back.numpy())
    true_rows, true_cols = np.nonzero(mask)
    for found, true in ((rows, true_rows), (cols, true_cols)):
        assert abs(found.min() - true.min()) <= cell
        assert abs(found.max() - true.max()) <= cell
