from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import disk
from skimage.transform import downscale_local_mean

from napari_samsp.inference.object_scale import CLOSEST, field_for, look, typical_width

SIZE, PATCH = 256, 16


def discs(shape, diameter, spacing):
    labels = np.zeros(shape, int)
    for n, (y, x) in enumerate(
        (y, x)
        for y in range(spacing // 2, shape[0], spacing)
        for x in range(spacing // 2, shape[1], spacing)
    ):
        labels[disk((y, x), diameter / 2, shape=shape)] = n + 1
    return labels


@given(diameter=st.integers(10, 80))
def test_the_width_of_discs_grows_with_their_diameter_not_with_their_number(diameter):
    few = discs((200, 300), diameter, 150)
    many = discs((200, 300), diameter, 100)
    for labels in (few, many):
        assert typical_width(labels) == pytest.approx(np.pi / 4 * diameter, rel=0.12)


def test_width_of_filaments_nothing_and_everything():
    stripes = np.zeros((100, 160), bool)
    stripes[:, ::40] = stripes[:, 1::40] = stripes[:, 2::40] = True
    assert typical_width(stripes[:, 5:]) == pytest.approx(6)
    assert typical_width(np.zeros((4, 6))) == 0
    assert typical_width(np.ones((4, 6))) == np.inf


def test_touching_objects_are_as_wide_as_single_ones():
    labels = np.zeros((60, 90), int)
    labels[20:40, 20:40], labels[20:40, 40:60] = 1, 2
    assert typical_width(labels) == 20
    assert typical_width(labels > 0) > 25


@given(
    width=st.one_of(st.floats(0.1, 5000), st.just(np.inf)),
    shape=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
)
def test_a_field_is_the_whole_image_or_clearly_less(width, shape):
    field = field_for(width, shape, SIZE, PATCH)
    assert field == max(shape) or SIZE // CLOSEST <= field <= max(shape) / 1.49


def seen_by_a_model(labels):
    """What an ideal model says at 64 cells: cells that are covered at least half."""

    def foreground(tile):
        part = (labels[tile.window] > 0).astype(float)
        step = max(1, max(part.shape) // 64)
        return downscale_local_mean(part, (step, step)) > 0.5

    return foreground


@pytest.mark.parametrize("shape", [(900, 1400), (2100, 1500), (300, 400)])
@pytest.mark.parametrize("diameter", [24, 40])
def test_a_look_finds_the_field_in_which_objects_have_the_right_size(shape, diameter):
    labels = discs(shape, diameter, 60)
    wanted = field_for(typical_width(labels), shape, SIZE, PATCH)
    assert look(seen_by_a_model(labels), shape, SIZE, PATCH) == pytest.approx(
        wanted, rel=0.25
    )


def test_one_large_object_is_looked_at_whole():
    labels = discs((500, 700), 300, 500)
    assert look(seen_by_a_model(labels), labels.shape, SIZE, PATCH) == 700
    empty = np.zeros((500, 700))
    assert look(seen_by_a_model(empty), empty.shape, SIZE, PATCH) is None
