from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_samsp.data.rgb import Scaling, to_rgb8
from napari_samsp.data.shared_limits import PLANES_LOOKED_AT, resolve_percentiles
from napari_samsp.utils.errors import InputError


@given(
    arrays(
        st.sampled_from([np.uint8, np.uint16, np.int16, np.float32, np.float64]),
        st.tuples(st.integers(2, 9), st.integers(2, 9)),
        elements=st.integers(0, 120),
    )
)
def test_a_plane_is_seen_as_without(plane):
    """Limits of one plane change nothing of what the model reads."""
    scaling = Scaling("percentile", 5, 90)
    limits = resolve_percentiles(scaling, plane.__getitem__, [...])
    try:
        expected = to_rgb8(plane, None, scaling)
    except InputError:
        return
    assert np.array_equal(to_rgb8(plane, None, limits), expected)


@pytest.mark.parametrize("dtype", [np.float16, bool])
def test_narrow_types_are_seen_as_without(dtype):
    plane = (np.arange(2000).reshape(40, 50) % 7 > 3).astype(dtype)
    limits = resolve_percentiles(Scaling(), plane.__getitem__, [...])
    assert np.array_equal(to_rgb8(plane, None, limits), to_rgb8(plane))


def test_alpha_has_no_part_in_it():
    rgba = np.full((20, 30, 4), 255, np.uint8)
    rgba[..., :3] = np.arange(600).reshape(20, 30, 1) % 90
    assert resolve_percentiles(Scaling(), rgba.__getitem__, [...]).high < 100


def test_a_stack_has_one_pair_from_some_of_its_planes():
    stack = np.random.default_rng(0).normal(100, 10, (200, 40, 60)).astype(np.float32)
    stack[7, 3, 3] = np.nan
    read = []

    def plane(n):
        read.append(n)
        return stack[n]

    limits = resolve_percentiles(Scaling("percentile", 1, 99), plane, range(200))
    assert len(read) == PLANES_LOOKED_AT
    assert (read[0], read[-1]) == (0, 199)
    low, high = np.nanpercentile(stack, (1, 99))
    assert limits.kind == "limits"
    assert abs(limits.low - low) < 0.5
    assert abs(limits.high - high) < 0.5


def test_what_has_no_limits_is_left_as_it_is():
    for plane in (np.ones((4, 5)), np.full((4, 5), np.nan), np.ones((4, 5), complex)):
        assert resolve_percentiles(Scaling(), plane.__getitem__, [...]) == Scaling()
    other = Scaling("limits", 3, 4)
    assert resolve_percentiles(other, np.eye(4).__getitem__, [...]) == other


@given(
    st.sampled_from(["percentile", "limits"]),
    st.floats(0, 49, allow_nan=False),
    st.floats(50, 100, allow_nan=False),
)
def test_a_scaling_is_read_as_it_is_written(kind, low, high):
    scaling = Scaling(kind, low, high)
    assert Scaling.parse(str(scaling)) == scaling


@pytest.mark.parametrize(
    "text",
    ["", "percentile", "percentile:1", "limits:a:b", "limits:1:nan", "log:1:2",
     "limits:1:2:3", "limits:5:5", "percentile:-1:50", "percentile:5:101"],
)  # fmt: skip
def test_a_scaling_that_makes_no_sense_is_refused(text):
    with pytest.raises(InputError, match=r"[Ss]caling|[Pp]ercentile"):
        Scaling.parse(text)


def test_none_is_read():
    assert Scaling.parse("none").kind == "none"
    assert str(Scaling("none")) == "none"
