"""Any image becomes 8-bit RGB, or one plain sentence says why not."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from napari_samsp.core.errors import InputError
from napari_samsp.core.images import (
    Scaling,
    as_labels,
    is_ome_zarr,
    read_image,
    read_labels,
    read_ome_zarr,
    to_rgb8,
    write_atomically,
    write_labels,
)

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
    "nan": (np.where(RAMP == 3, np.nan, RAMP), "1 NaN or infinite"),
    "inf": (np.where(RAMP < 2, np.inf, RAMP), "2 NaN or infinite"),
    "one pixel": (np.ones((1, 1)), "single pixel"),
    "complex": (RAMP * 1j, "complex128"),
    "one axis": (RAMP[0], "1 axes"),
    "stack": (np.zeros((2, 5, 6, 7)), "4 axes"),
    "five channels": (np.zeros((8, 9, 5)), "5 channels"),
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


@given(
    hnp.arrays(
        st.sampled_from(["u1", "u2", "i4"]), (7, 12), elements=st.integers(0, 99)
    )
)
def test_labels_round_trip(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("labels") / "a.tif"
    write_labels(path, labels.astype(np.int32))
    back = read_labels(path)
    assert back.dtype == np.int32
    assert (back == labels).all()


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 3, 3)), "2D"),
        (np.full((2, 2), 0.5), "fractions"),
        (np.full((2, 2), -1), "below 0"),
        (np.array([[np.nan, 1]]), "fractions"),
    ],
)
def test_masks_that_are_none(array, words):
    with pytest.raises(InputError, match=words):
        as_labels(array, "m.tif")


def test_broken_and_missing_files(tmp_path):
    good = tmp_path / "good.tif"
    tifffile.imwrite(good, RAMP.astype(np.uint16))
    cut = tmp_path / "cut.tif"
    cut.write_bytes(good.read_bytes()[:200])
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    for path in (cut, text, tmp_path / "gone.tif", tmp_path / "a.doc"):
        with pytest.raises(InputError, match=path.name):
            read_image(path)


def test_a_palette_is_colours_in_an_image_and_labels_in_a_mask(tmp_path):
    path = tmp_path / "a.png"
    indices = (RAMP % 3).astype(np.uint8)
    picture = Image.fromarray(indices)
    picture.putpalette([0, 0, 0, 250, 0, 0, 0, 250, 0])
    picture.save(path)
    assert read_image(path).shape == (20, 30, 3)
    assert (read_labels(path) == indices).all()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_is_read(tmp_path, version):
    path = tmp_path / "image.ome.zarr"
    group = zarr.open_group(
        str(path), mode="w", zarr_format=2 if version == "0.4" else 3
    )
    data = np.stack([RAMP, RAMP[::-1]])[None].astype(np.uint16)
    group.create_array("0", data=data)
    axes = [{"name": n} for n in "tcyx"]
    multiscales = [{"version": version, "axes": axes, "datasets": [{"path": "0"}]}]
    group.attrs.update(
        {"multiscales": multiscales}
        if version == "0.4"
        else {"ome": {"version": version, "multiscales": multiscales}}
    )
    assert is_ome_zarr(path)
    image, channel_axis = read_ome_zarr(path)
    assert channel_axis == 0
    assert (image == data[0]).all()


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_atomically(path, b"old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [f.name for f in tmp_path.iterdir()] == ["a.json"]
