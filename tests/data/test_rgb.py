"""Any image becomes 8-bit RGB, or one plain sentence says why not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_samsp.data.rgb import Scaling, to_rgb8
from napari_samsp.data.shared_limits import resolve_percentiles
from napari_samsp.utils.errors import ConstantImageError, InputError
from napari_samsp.utils.notes import FileNote

RAMP = np.arange(20 * 30).reshape(20, 30)


@pytest.mark.parametrize(
    "dtype", ["uint8", "uint16", "int16", "uint32", "int64", "float16", "float32", "f8"]
)
def test_every_dtype_fills_the_range(dtype):
    image = (RAMP / RAMP.max() * 200).astype(dtype)
    out = to_rgb8(image)
    assert out.shape == (20, 30, 3)
    assert out.dtype == np.uint8
    assert out.min() == 0
    assert out.max() == 255
    assert (np.diff(out[0, :, 0].astype(int)) >= 0).all()


@given(st.floats(1e-3, 1e4), st.floats(-1e4, 1e4))
def test_brightness_and_contrast_do_not_matter(gain, offset):
    one, other = to_rgb8(RAMP.astype(float)), to_rgb8(RAMP * gain + offset)
    assert np.abs(one.astype(int) - other).max() <= 1


@pytest.mark.parametrize("scale", ["percentile", "limits"])
@given(
    st.sampled_from(["uint64", "int64", "uint32", "int16", "f2", "f4", "f8"]),
    st.floats(0, 1),
    st.booleans(),
)
def test_no_magnitude_loses_pixels(scale, dtype, where, around_zero):
    """Whole numbers that float64 cannot hold, subnormal numbers, and the largest."""
    pattern = np.arange(20 * 30).reshape(20, 30) // 3
    kind = np.dtype(dtype)
    if kind.kind == "f":
        info = np.finfo(kind)
        low = float(np.log2(float(info.smallest_subnormal)))
        span = float(np.log2(float(info.max))) - 1 - low - 9
        step = 2.0 ** int(low + where * span)
        image = ((pattern - 100 * around_zero) * step).astype(kind)
    else:
        least, most = int(np.iinfo(kind).min), int(np.iinfo(kind).max) - 200
        start = least + int(where * 2**20) * (most - least) // 2**20
        image = np.array(pattern.ravel().tolist(), object) + start
        image = image.astype(kind).reshape(pattern.shape)
    low, high = (int if kind.kind in "iu" else float)(image.min()), image.max()
    scaling = (
        Scaling("percentile", 0, 100)
        if scale == "percentile"
        else Scaling("limits", low, type(low)(high))
    )
    expected = to_rgb8(pattern, scaling=Scaling("percentile", 0, 100))
    assert np.abs(to_rgb8(image, scaling=scaling).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64"])
def test_the_whole_range_of_a_dtype(dtype):
    info = np.finfo(dtype) if dtype[0] == "f" else np.iinfo(dtype)
    image = np.full((20, 30), info.min, dtype)
    image[:, 10:20], image[:, 20:] = 0, info.max
    assert to_rgb8(image)[0, ::10, 0].tolist() == [0, 128, 255]


def test_a_stack_of_large_whole_numbers_has_its_limits():
    stack = 2**63 + np.arange(2 * 20 * 30, dtype=np.uint64).reshape(2, 20, 30)
    scaling = resolve_percentiles(Scaling(), stack.__getitem__, range(2))
    assert scaling.kind == "limits"
    assert to_rgb8(stack[0], scaling=scaling).max() == 127
    assert to_rgb8(stack[1], scaling=scaling).max() == 255


def test_layouts():
    rgb = np.stack([RAMP, RAMP.T.reshape(20, 30), RAMP[::-1]], -1).astype(np.uint8)
    rgba = np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], -1)
    scaled = to_rgb8(rgb)
    assert (to_rgb8(rgba) == scaled).all()
    assert (to_rgb8(np.moveaxis(rgb, -1, 0), channel_axis=0) == scaled).all()
    assert (to_rgb8(np.moveaxis(rgb, -1, 1), channel_axis=1) == scaled).all()
    assert (to_rgb8(RAMP[..., None]) == to_rgb8(RAMP)).all()
    assert not to_rgb8(rgb[..., :2])[..., 2].any()
    assert set(np.unique(to_rgb8(RAMP > 300))) == {0, 255}


def test_scaling_none_leaves_8_bit_alone():
    image = (RAMP % 250).astype(np.uint8)
    assert (to_rgb8(image, scaling=Scaling("none"))[..., 0] == image).all()
    with pytest.raises(InputError, match="must be 8-bit"):
        to_rgb8(image.astype(np.uint16), scaling=Scaling("none"))


def test_limits_are_repeated():
    scaling = Scaling("limits", 100, 300)
    out = to_rgb8(RAMP, scaling=scaling)
    assert (out[RAMP <= 100] == 0).all()
    assert (out[RAMP >= 300] == 255).all()


bad = {
    "empty": (np.zeros((0, 5)), "no pixels"),
    "constant": (np.full((4, 6), 7), "constant"),
    "one pixel": (np.ones((1, 1)), "single pixel"),
    "complex": (RAMP * 1j, "complex128"),
    "one axis": (RAMP[0], "1 axes"),
    "stack": (np.zeros((2, 5, 6, 7)), "4 axes"),
    "five channels": (np.zeros((8, 9, 5)), "5 channels"),
    "a row of 100,000": (np.tile([0, 1], (1, 50_000)), "times as long as it is wide"),
    "20 x 20,000": (np.tile([0, 1], (20, 10_000)), "20 x 20000 pixels"),
    "ragged": ([[1, 2], [3]], "no array of numbers"),
    "objects": (np.array([[None, 1]]), "object"),
}


@pytest.mark.parametrize("name", bad)
def test_bad_images_get_a_sentence(name):
    image, words = bad[name]
    with pytest.raises(InputError, match=words):
        to_rgb8(image)


def test_scaling_refuses_nonsense():
    with pytest.raises(InputError, match="not below"):
        Scaling("limits", 5, 5)
    with pytest.raises(InputError, match="Unknown"):
        Scaling("log")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_is_left_out_of_scaling(value):
    image = np.where(RAMP < 20, value, RAMP)
    with pytest.warns(FileNote, match="20 values that are not a number"):
        found = to_rgb8(image)
    assert not found[RAMP < 20].any()
    rest = to_rgb8(RAMP[RAMP >= 20].reshape(20, 29))
    assert (found[RAMP >= 20] == rest.reshape(-1, 3)).all()


def test_an_image_of_nothing_else_has_nothing_in_it():
    with (
        pytest.warns(FileNote, match="not a number"),
        pytest.raises(ConstantImageError, match="no value that is a number"),
    ):
        to_rgb8(np.full((9, 12), np.nan))
