"""Pixels that are not a number, or transparent, are no data and never foreground."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_samsp.data import blocks
from napari_samsp.data.lazy_rgb import LazyRGB
from napari_samsp.data.rgb import Scaling, as_lazy_rgb, to_rgb8
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.utils.errors import ConstantImageError
from napari_samsp.utils.notes import FileNote

ALL = (slice(None), slice(None))


class Counting:
    """An array that counts the pixels that are read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.read = 0

    def __getitem__(self, window):
        found = self.array[window]
        self.read += found.size
        return found


@pytest.mark.filterwarnings("ignore::napari_samsp.utils.notes.FileNote")
@given(st.integers(0, 2**32 - 1), st.integers(0, 39), st.integers(0, 55), st.booleans())
def test_where_there_is_no_data(seed, row, column, alpha):
    rng = np.random.default_rng(seed)
    image = rng.uniform(1, 9, (40, 56, 4 if alpha else 2)).astype(np.float32)
    nothing = rng.random((40, 56)) < rng.choice([0.0, 0.01])
    if alpha:
        image[nothing, 3] = 0
    else:
        image[nothing, rng.integers(2)] = rng.choice([np.nan, np.inf])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", 1500)
        picture = LazyRGB(image, None, Scaling())
    window = slice(row, None), slice(column, column + 20)
    found = picture.missing(window)
    want = nothing[window]
    assert found is None if not want.any() else np.array_equal(found, want)


def test_only_what_has_no_data_is_read_again(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 56 * 4 * 4)
    image = np.random.default_rng(0).random((40, 56)).astype(np.float32)
    whole = Counting(image)
    picture = LazyRGB(whole, None, Scaling())
    assert whole.read == image.size
    assert picture.missing(ALL) is None
    assert whole.read == image.size
    image[17, 3] = np.nan
    with pytest.warns(FileNote, match="1 values that are not a number"):
        picture = LazyRGB(whole, None, Scaling())
    whole.read = 0
    assert np.argwhere(picture.missing(ALL)).tolist() == [[17, 3]]
    assert whole.read == 56 * 4


def test_what_is_transparent_is_left_out_of_scaling():
    image = np.random.default_rng(0).integers(90, 110, (40, 56, 4)).astype(np.uint8)
    opaque = to_rgb8(image[10:, :, :3])
    image[:10] = 250, 0, 3, 0
    with pytest.warns(FileNote, match="560 transparent pixels"):
        picture = as_lazy_rgb(image)
    assert np.array_equal(picture[10:, :], opaque)
    assert not picture[:10, :].any()
    image[..., 3] = 0
    assert np.array_equal(to_rgb8(image), to_rgb8(image[..., :3]))
    image[..., 3], image[:10, :, 3] = 255, 0
    image[10:, :, :3] = 7
    with pytest.raises(ConstantImageError), pytest.warns(FileNote):
        to_rgb8(image)


@pytest.mark.parametrize("objects", [False, True])
@pytest.mark.parametrize("kind", ["nan", "alpha"])
def test_no_foreground_however_it_is_segmented(nuclei, objects, kind):
    image = nuclei[0].astype(np.float32)
    if kind == "nan":
        image[:40] = np.nan
    else:
        image = np.stack([image, image, image, np.full_like(image, 255)], -1)
        image[:40, :, 3] = 0
    segmenter = Segmenter()
    with pytest.warns(FileNote, match="never foreground"):
        steps = segmenter.segment(image, 2, objects, tile="off")
    outs = [np.zeros((96, 160), np.int32) for _ in steps]
    lazy = dask.array.from_array(image, (32, 32, 4)[: image.ndim])
    with pytest.warns(FileNote, match="never foreground"):
        written = segmenter.segment_each_into(lazy, outs, objects, tile="off")
    for step, out, said in zip(steps, outs, written, strict=True):
        assert not step.labels[:40].any()
        assert (step.logits[:40] <= 0).all()
        assert step.labels[40:].any()
        assert np.array_equal(out, step.labels)
        assert said.objects == step.labels.max()
        assert said.area_fraction == pytest.approx(step.area_fraction)
