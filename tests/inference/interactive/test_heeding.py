"""What a click changes: its own pixel always, and never another click's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_samsp.inference.interactive.cut import Clicks
from napari_samsp.inference.interactive.heeding import (
    KEPT,
    SHOWN,
    as_clicked,
    heeded,
)

HEIGHT, WIDTH = 30, 47


@st.composite
def scenes(draw) -> tuple[np.ndarray, Clicks]:
    """A mask of a few rectangles, and clicks in different pixels."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for _ in range(draw(st.integers(0, 3))):
        row, column = draw(st.integers(0, HEIGHT - 1)), draw(st.integers(0, WIDTH - 1))
        mask[row : row + draw(st.integers(1, 20)), column:][
            :, : draw(st.integers(1, 30))
        ] = True
    pixel = st.tuples(st.integers(0, HEIGHT - 1), st.integers(0, WIDTH - 1))
    pixels = draw(st.lists(pixel, min_size=1, max_size=8, unique=True))
    part = draw(st.sampled_from([0.0, 0.25, 0.5]))  # of a pixel
    points = tuple((row + part, column + part) for row, column in pixels)
    inside = tuple(draw(st.booleans()) for _ in points)
    return mask, Clicks(points, inside)


@given(scene=scenes(), reach=st.sampled_from([SHOWN, KEPT, 4.0]))
def test_each_click_is_in_the_mask_as_it_says_whatever_the_others_say(scene, reach):
    mask, clicks = scene
    before = mask.copy()
    out = as_clicked(mask, clicks, reach)
    for (row, column), inside in zip(clicks.points, clicks.inside, strict=True):
        assert out[int(row), int(column)] == inside
    assert np.array_equal(mask, before)


@given(scene=scenes(), reach=st.sampled_from([SHOWN, KEPT]))
def test_one_more_click_undoes_none(scene, reach):
    mask, clicks = scene
    known = mask
    for n in range(1, len(clicks.points) + 1):
        known = as_clicked(known, Clicks(clicks.points[:n], clicks.inside[:n]), reach)
        for (row, column), inside in zip(
            clicks.points[:n], clicks.inside[:n], strict=True
        ):
            assert known[int(row), int(column)] == inside


@given(scene=scenes())
def test_what_is_heeded_already_changes_nothing(scene):
    mask, clicks = scene
    once = as_clicked(mask, clicks, KEPT)
    assert np.array_equal(as_clicked(once, clicks, KEPT), once)


def test_the_change_is_as_wide_as_the_way_to_the_border():
    mask = np.zeros((60, 90), bool)
    mask[10:50, 10:50] = True
    out = as_clicked(mask, Clicks(((30, 60),), (True,)), KEPT)
    assert out[30, 51] and out[30, 68]  # 11 pixels to the border, and beyond
    assert not out[30, 75] and not out[45, 60]
    assert out[mask].all()


@pytest.mark.parametrize("inside", [True, False])
@given(scene=scenes())
def test_a_model_is_corrected_in_the_cells_of_a_click(inside, scene):
    """The view is three times as fine as the model's cells, and not square."""
    mask, clicks = scene
    torch.manual_seed(0)
    logits = torch.from_numpy(np.where(mask, 5.0, -5.0)).float()
    features = torch.randn(HEIGHT, WIDTH, 4)
    row, column = (int(place) for place in clicks.points[0])
    one = Clicks(((3 * row + 1, 3 * column + 1),), (inside,))
    said = heeded(logits, features, one, (3 * HEIGHT, 3 * WIDTH))
    assert bool(said[row, column] > 0) == inside
