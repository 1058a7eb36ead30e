"""Images of any size are read by windows and give what they give in memory."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
import torch
import zarr
from PIL import Image

from napari_samsp.data.lazy_rgb import LazyRGB
from napari_samsp.data.rgb import Scaling, to_rgb8
from napari_samsp.data.tiling import Tile
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.metrics import average_precision, dice
from napari_samsp.sam.architecture import PIXEL_MEAN, PIXEL_STD
from napari_samsp.self_prompting.letterbox import to_model_input
from napari_samsp.utils.errors import InputError


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


@pytest.mark.parametrize("objects", [False, True])
def test_each_iteration_that_is_wanted_is_written(segmenter, mosaic, objects):
    image, _ = mosaic
    outs = [np.zeros(image.shape, np.int32) for _ in range(3)]
    expected = segmenter.segment(image, 3, objects, tile=128)
    said = segmenter.segment_each_into(image, outs, objects, tile=128)
    assert [written.iteration for written in said] == [0, 1, 2]
    for written, labels, step in zip(said, outs, expected, strict=True):
        assert np.array_equal(labels, step.labels)
        assert written.objects == step.labels.max()
        assert written.area_fraction == pytest.approx(step.area_fraction)
        assert written.score == pytest.approx(step.score, abs=1e-4)
        assert written.iou_to_previous == pytest.approx(step.iou_to_previous)
    some = np.zeros(image.shape, np.int32)
    (one,) = segmenter.segment_each_into(image, [None, some, None], objects, tile=128)
    assert np.array_equal(some, expected[1].labels)
    assert (one.iteration, one.iou_to_previous) == (1, None)


@pytest.mark.parametrize("iterations", [0, -1, 101])
def test_how_often_it_can_iterate(segmenter, nuclei, iterations):
    out = np.zeros(nuclei[0].shape, np.int32)
    with pytest.raises(InputError, match="from 1 to 100"):
        segmenter.segment_into(nuclei[0], out, iterations)


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


@pytest.mark.parametrize("objects", [False, True])
def test_tiles_say_what_the_whole_image_says(nuclei, objects):
    """At the same magnification: what one tile sees alone is what it says."""
    segmenter = Segmenter(device="cpu", scaling=Scaling("limits", 0, 255))
    image = np.tile(nuclei[0], (4, 3))[:384, :416]
    whole = segmenter.segment(image[:256, :256], 2, objects, tile="off")[-1].labels
    out = np.zeros(image.shape, np.int32)
    segmenter.segment_into(image, out, 2, objects, tile=256)
    alone, overlap = np.s_[:128, :160], np.s_[128:224, 160:224]
    assert dice(out[alone], whole[alone]) >= 0.99
    assert dice(out[overlap], whole[overlap]) >= 0.9
    if objects:
        assert average_precision(out[alone], whole[alone])[1] >= 0.9


@pytest.mark.parametrize("place", [Tile(0, 700, 0, 900), Tile(90, 650, 30, 891)])
def test_a_first_look_at_a_large_image_reads_its_chunks(place):
    """And sees what it sees of one that is in memory."""
    rng = np.random.default_rng(2)
    image = rng.integers(0, 4000, (700, 900)).astype(np.uint16)
    chunked = dask.array.from_array(image, (128, 200))
    expected, _ = to_model_input(to_rgb8(image), 64, place)
    got, valid = to_model_input(LazyRGB(chunked, None, Scaling()), 64, place)
    assert torch.equal(got, expected)
    whole = Image.fromarray(to_rgb8(image)[place.window])
    other = whole.resize(valid.tolist()[::-1], Image.Resampling.BILINEAR)
    back = got * torch.tensor(PIXEL_STD)[:, None, None]
    back = (back + torch.tensor(PIXEL_MEAN)[:, None, None]).permute(1, 2, 0).numpy()
    inside = np.s_[: valid[0], : valid[1]]
    assert np.abs(back[inside] - np.asarray(other)).mean() < 3


def test_a_window_is_read_at_a_time(segmenter, mosaic):
    image = Windows(np.tile(mosaic[0], (10, 10)))
    picture = LazyRGB(image, None, Scaling())
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
    picture = LazyRGB(dask.array.from_array(image, (30, 40)), None, Scaling())
    whole = to_rgb8(image)
    assert (picture[10:50, 20:90] == whole[10:50, 20:90]).all()
    assert picture.shape == whole.shape
