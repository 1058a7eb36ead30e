"""What a click changes: its own pixel always, and never another click's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_samsp.inference.interactive.cut import Clicks
from napari_samsp.inference.interactive.heeding import (
    KEPT,
    SHOWN,
    SPECK,
    as_clicked,
    at_clicks,
    heeded,
    without_specks,
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


def speckled(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """A mask with pixels turned over, from a few to many, in clumps and alone."""
    noise = rng.random(mask.shape)
    if rng.random() < 0.5:
        noise = ndimage.gaussian_filter(noise, 1.5)
    return mask ^ (noise > np.quantile(noise, rng.uniform(0.4, 1)))


@given(scene=scenes(), seed=st.integers(0, 2**32))
def test_a_click_changes_nothing_that_is_not_connected_with_it(scene, seed):
    """Told the other way round: by floods of the change from each click."""
    known, clicks = scene
    said = as_clicked(speckled(np.random.default_rng(seed), known), clicks, KEPT)
    out = at_clicks(said, known, clicks)
    changed, reached = said != known, np.zeros_like(known)
    for row, column in clicks.points:
        reached[int(row), int(column)] = True
    reached = ndimage.binary_dilation(
        reached & changed, np.ones((3, 3)), iterations=-1, mask=changed
    )
    assert np.array_equal(out != known, reached)
    for (row, column), inside in zip(clicks.points, clicks.inside, strict=True):
        assert out[int(row), int(column)] == inside


@given(scene=scenes(), seed=st.integers(0, 2**32))
def test_specks_go_only_where_something_changed_and_never_a_click(scene, seed):
    known, clicks = scene
    mask = as_clicked(speckled(np.random.default_rng(seed), known), clicks, KEPT)
    before = mask.copy()
    out = without_specks(mask, known, clicks)
    assert np.array_equal(mask, before)
    for (row, column), inside in zip(clicks.points, clicks.inside, strict=True):
        assert out[int(row), int(column)] == inside
    most = SPECK * mask.sum()
    for side in (True, False):
        parts, _ = ndimage.label(mask == side)
        for n in np.unique(parts[out != mask]):
            if n:
                part = parts == n
                assert part.sum() <= most and (out[part] != side).all()
                assert (ndimage.binary_dilation(part) & (mask != known)).any()


def test_islands_and_holes_that_a_click_left_go_and_others_stay():
    known = np.zeros((120, 170), bool)
    known[20:100, 20:140] = True
    known[30:32, 30:32] = False  # a hole that was there before
    known[10, 60] = True  # and an island
    mask = known.copy()
    mask[20:100, 100:140] = False
    mask[40:43, 120:123] = True  # is left of what was taken away
    mask[70, 130] = True  # the same, but clicked
    mask[60:63, 98:101] = False
    mask[80:90, 50:60] = False
    mask[84:87, 54:57] = True
    mask[40:44, 70:74] = False  # a hole that is new
    clicks = Clicks(((90.0, 120.0), (70.5, 130.5)), (False, True))
    out = without_specks(mask, known, clicks)
    wanted = mask.copy()
    wanted[40:43, 120:123] = False
    wanted[84:87, 54:57] = False
    wanted[40:44, 70:74] = True
    assert np.array_equal(out, wanted)
