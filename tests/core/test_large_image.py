"""Images of any size are read by windows and give what they give in memory."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
import zarr

from napari_samsp.core.errors import InputError
from napari_samsp.core.images import Scaling, to_rgb8
from napari_samsp.core.metrics import average_precision, dice
from napari_samsp.core.picture import Picture
from napari_samsp.core.segmenter import Segmenter


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter(device="cpu")


@pytest.fixture
def mosaic(nuclei):
    return np.tile(nuclei[0], (3, 2)), np.tile(nuclei[1], (3, 2))


class Windows:
    """An image that remembers how much of it was read at once."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.most = 0

    def __getitem__(self, window):
        part = self.array[window]
        self.most = max(self.most, part.size)
        return part


@pytest.mark.parametrize("objects", [False, True])
@pytest.mark.parametrize("iterations", [1, 2])
def test_the_labels_are_those_in_memory(
    segmenter, mosaic, tmp_path, objects, iterations
):
    image, _ = mosaic
    source = zarr.create_array(
        str(tmp_path / "image.zarr"), data=image.astype(np.uint16) * 9, chunks=(64, 50)
    )
    out = zarr.create_array(
        str(tmp_path / "out.zarr"), shape=image.shape, dtype="int32", chunks=(50, 64)
    )
    expected = segmenter.segment(image, iterations, objects, tile=128)[-1]
    said = segmenter.segment_into(source, out, iterations, objects, tile=128)
    assert np.array_equal(out[:], expected.labels)
    assert said.objects == expected.labels.max()
    assert said.area_fraction == pytest.approx(expected.area_fraction)
    assert said.score == pytest.approx(expected.score, abs=1e-4)
    assert (said.tile, said.tiles) == (128, 3 * 3)


def test_the_first_look_finds_the_same_field(segmenter, mosaic):
    image, _ = mosaic
    out = np.zeros(image.shape, np.int32)
    said = segmenter.segment_into(dask.array.from_array(image, (50, 70)), out, 1)
    assert np.array_equal(out, segmenter.segment(image, 1)[0].labels)
    assert said.tiles > 1


def test_channels_are_read_from_where_they_are(segmenter, nuclei):
    image = np.stack([nuclei[0], nuclei[0] // 2, 255 - nuclei[0]])
    out = np.zeros(image.shape[1:], np.int32)
    segmenter.segment_into(image, out, 1, channel_axis=0)
    assert np.array_equal(out, segmenter.segment(image, 1, channel_axis=0)[0].labels)


def test_tiles_say_what_the_whole_image_says(segmenter, nuclei):
    """At the same magnification, here 1: one tile that sees it all, and four."""
    image = np.tile(nuclei[0], (2, 1))[:, :160]
    image = np.pad(image, ((32, 32), (48, 48)), mode="reflect")
    assert image.shape == (256, 256)
    for objects in (False, True):
        whole = segmenter.segment(image, 2, objects, tile="off")[-1].labels
        wide = np.pad(image, ((0, 128), (0, 160)), mode="reflect")
        out = np.zeros(wide.shape, np.int32)
        segmenter.segment_into(wide, out, 2, objects, tile=256)
        inner = np.s_[16:224, 16:224]
        assert dice(out[inner], whole[inner]) >= 0.97
        if objects:
            assert average_precision(out[inner], whole[inner])[0] >= 0.8


def test_a_window_is_read_at_a_time(segmenter, mosaic):
    image = Windows(np.tile(mosaic[0], (10, 10)))
    picture = Picture(image, None, Scaling())
    image.most = 0
    picture[100:228, 200:328]
    assert image.most == 128 * 128


@pytest.mark.parametrize("when", [0, 1, 5])
def test_it_can_be_stopped(segmenter, mosaic, when):
    image, _ = mosaic
    out = np.zeros(image.shape, np.int32)
    told = []

    class Stopped(Exception):
        pass

    def progress(part):
        told.append(part)
        if len(told) > when:
            raise Stopped

    with pytest.raises(Stopped):
        segmenter.segment_into(image, out, 2, tile=128, progress=progress)
    assert told == sorted(told)


def test_what_cannot_take_the_labels(segmenter, nuclei):
    for out in (
        np.zeros((5, 5), np.int32),
        np.zeros(nuclei[0].shape, np.uint8),
        np.zeros(nuclei[0].shape, np.float32),
    ):
        with pytest.raises(InputError, match="array to write"):
            segmenter.segment_into(nuclei[0], out)


def test_a_picture_s_windows_are_those_of_the_whole(nuclei):
    image = nuclei[0].astype(np.float32) / 255
    picture = Picture(dask.array.from_array(image, (30, 40)), None, Scaling())
    whole = to_rgb8(image)
    assert (picture[10:50, 20:90] == whole[10:50, 20:90]).all()
    assert picture.shape == whole.shape
