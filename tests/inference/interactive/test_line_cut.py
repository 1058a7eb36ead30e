"""Objects cut in two along a line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage import draw

from napari_samsp.data.tiling import Tile
from napari_samsp.inference.interactive.cut import Cut
from napari_samsp.inference.interactive.line_cut import cut_along
from napari_samsp.utils.errors import InputError

SHAPE = (60, 90)


def as_image(cut: Cut) -> np.ndarray:
    return cut.within(Tile(0, SHAPE[0], 0, SHAPE[1]))


@given(
    st.floats(0, 2 * np.pi), st.integers(-8, 8), st.integers(-8, 8), st.floats(2, 45)
)
def test_a_line_through_an_object_parts_it_in_two(angle, down, across, length):
    """Short lines go on to the border; nothing is lost, and each part is whole."""
    mask = np.zeros(SHAPE, bool)
    mask[draw.ellipse(28, 44, 17, 26)] = True
    middle = np.array((28 + down, 44 + across))
    way = np.array((np.sin(angle), np.cos(angle))) * length
    start, end = (tuple(np.rint(middle + sign * way).astype(int)) for sign in (-1, 1))
    if start == end:
        return
    one, other = cut_along(Cut.of(mask), start, end)
    assert np.array_equal(as_image(one) | as_image(other), mask)
    assert not (as_image(one) & as_image(other)).any()
    assert one.mask.sum() >= other.mask.sum() > 0
    for part in (one, other):
        assert ndimage.label(part.mask, np.ones((3, 3)))[1] == 1
    # What is clearly on one side of the line is in one part.
    rows, columns = np.indices(SHAPE)
    step = np.subtract(end, start)
    far = step[0] * (columns - start[1]) - step[1] * (rows - start[0])
    far = far / np.hypot(*step)
    for side in (far > 2, far < -2):
        assert len(np.unique(as_image(other)[mask & side])) <= 1


def test_what_the_line_does_not_touch_stays_with_the_larger_part():
    mask = np.zeros(SHAPE, bool)
    mask[10:30, 10:40] = True
    mask[40:50, 60:80] = True
    one, other = cut_along(Cut.of(mask), (5, 18), (35, 18))
    assert as_image(one)[40:50, 60:80].all()
    assert as_image(other)[10:30, 10:18].all() and other.mask.sum() == 20 * 8


def test_a_line_that_parts_nothing_is_refused():
    ring = np.zeros(SHAPE, bool)
    ring[10:50, 20:70] = True
    ring[20:40, 35:55] = False
    for start, end in (((30, 10), (30, 40)), ((2, 2), (4, 80)), ((30, 25), (30, 25))):
        with pytest.raises(InputError, match="right across"):
            cut_along(Cut.of(ring), start, end)
    one, other = cut_along(Cut.of(ring), (30, 10), (30, 80))
    assert abs(int(one.mask.sum()) - int(other.mask.sum())) <= 80
