"""Image and mask files: what can be read is read, the rest gets a sentence."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from napari_samsp.data.image_files import (
    as_labels,
    read_image,
    read_labels,
    write_labels,
)
from napari_samsp.utils.errors import InputError

RAMP = np.arange(20 * 30).reshape(20, 30)


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


def test_a_header_that_claims_too_much_is_not_believed(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SAMSP_MAX_PIXELS", "600")
    picture, tiff, stack = (tmp_path / name for name in ("a.png", "a.tif", "b.tif"))
    ramp = np.arange(20 * 30).reshape(20, 30).astype(np.uint8)
    Image.fromarray(ramp).save(picture)
    tifffile.imwrite(tiff, np.stack([ramp] * 3, axis=-1))
    tifffile.imwrite(stack, np.stack([ramp] * 5))
    assert read_image(picture).shape == (20, 30)
    assert read_image(tiff).shape == (20, 30, 3)
    with pytest.raises(InputError, match=r"5 x 20 x 30 pixels.*MAX_PIXELS"):
        read_image(stack)
    monkeypatch.setenv("NAPARI_SAMSP_MAX_PIXELS", "599")
    for path in (picture, tiff):
        with pytest.raises(InputError, match="20 x 30 pixels, more than the limit"):
            read_image(path)
    monkeypatch.setenv("NAPARI_SAMSP_MAX_PIXELS", "many")
    with pytest.raises(InputError, match="must be a number of pixels"):
        read_image(tiff)
