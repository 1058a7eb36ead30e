"""How a mask becomes a prompt."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_samsp.sam.prompt_kind import parse_kind
from napari_samsp.self_prompting.prompts import (
    OUTSIDE_LOGIT,
    boxes_of,
    deepest_points,
    prompt_from_masks,
)
from napari_samsp.utils.errors import InputError


@given(st.integers(0, 20), st.integers(0, 30), st.integers(1, 11), st.integers(1, 9))
def test_the_box_is_the_masks_extent(top, left, height, width):
    masks = torch.zeros(1, 32, 40, dtype=torch.bool)
    masks[0, top : top + height, left : left + width] = True
    valid = torch.tensor([[32 * 4, 40 * 4]])
    expected = [left, top, min(left + width, 40), min(top + height, 32)]
    assert boxes_of(masks[:, :, :], 4, valid)[0].tolist() == [4 * v for v in expected]


def test_an_empty_mask_looks_anywhere_but_in_the_padding():
    box = boxes_of(
        torch.zeros(1, 16, 16, dtype=torch.bool), 4, torch.tensor([[64, 30]])
    )
    assert box.tolist() == [[0, 0, 30, 64]]


def test_the_point_is_deepest_inside():
    masks = torch.zeros(1, 32, 32, dtype=torch.bool)
    masks[0, 4:13, 8:23] = True
    x, y = deepest_points(masks, 4)[0, 0].tolist()
    assert y == (8 + 0.5) * 4
    assert (12 + 0.5) * 4 <= x <= (18 + 0.5) * 4


def test_a_mask_prompt_hides_the_other_objects_and_stops_gradients():
    logits = torch.full((1, 8, 8), -3.0, requires_grad=True)
    with torch.no_grad():
        logits[0, 1:3, 1:3] = 5.0
        logits[0, 5:7, 5:7] = 6.0
    region = torch.zeros(1, 8, 8, dtype=torch.bool)
    region[0, 1:3, 1:3] = True
    valid = torch.tensor([[32, 32]])
    prompt = prompt_from_masks("box+mask", region, region, logits, 4, valid)
    assert prompt.points is None
    assert not prompt.masks.requires_grad
    assert prompt.masks[0, 0, 1, 1] == 5
    assert prompt.masks[0, 0, 6, 6] == OUTSIDE_LOGIT
    assert prompt.boxes.tolist() == [[4, 4, 12, 12]]


def test_kinds():
    assert parse_kind("mask + box") == {"box", "mask"}
    with pytest.raises(InputError, match="'circle'"):
        parse_kind("box+circle")
