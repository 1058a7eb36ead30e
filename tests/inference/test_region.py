"""A drawn part of an image is segmented alone, and lands where it belongs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from skimage.draw import polygon2mask

import napari_samsp.data.image_source as image_source
from napari_samsp.data.rgb import Scaling
from napari_samsp.inference.cleanup import Cleanup
from napari_samsp.inference.planes import PlaneResult, SegmentOptions
from napari_samsp.inference.region import Region, Window
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.inference.stack import segment_stack
from napari_samsp.utils.errors import InputError

SHAPE = (96, 160)
LEFT = np.array([[-5, -5], [-5, 95.0], [110, 60], [110, -5]])
"""The four nuclei on the left of six."""


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(device="cpu")


class Planes:
    """One plane, which counts what is read of it."""

    planes = ((None, None),)

    def __init__(self, image):
        self._image = image

    def open(self, _plane):
        return self._image


class Sink:
    def __init__(self, shape):
        self.array = np.zeros(shape, np.int32)
        self.said = []

    def target(self, _iteration, _plane):
        return self.array

    def complete(self, _plane, iteration, _tick):
        self.said.append(iteration)


def run(segmenter, image, sink=None, **settings) -> list[PlaneResult]:
    options = SegmentOptions(iterations=2, objects=True, **settings)
    return list(segment_stack(segmenter, Planes(image), options, sink))


corner = st.tuples(st.floats(-20, 120), st.floats(-20, 180))


@given(st.lists(st.lists(corner, min_size=3, max_size=6), min_size=1, max_size=3))
def test_a_region_is_the_pixels_in_its_polygons(drawn):
    polygons = [np.array(one) for one in drawn]
    whole = np.zeros(SHAPE, bool)
    for one in polygons:
        whole |= polygon2mask(SHAPE, one)
    if not whole.any():
        with pytest.raises(InputError):
            Region.of(polygons, SHAPE)
        return
    region = Region.of(polygons, SHAPE)
    assume(min(region.shape) > 0)
    placed = np.zeros(SHAPE, bool)
    placed[region.window] = region.mask
    assert np.array_equal(placed, whole)


@given(st.data())
def test_a_window_gives_what_the_plane_has_there(data):
    plane = np.arange(12 * 17 * 3).reshape(12, 17, 3)
    top, left = data.draw(st.integers(0, 11)), data.draw(st.integers(0, 16))
    part = (
        slice(top, data.draw(st.integers(top + 1, 12))),
        slice(left, data.draw(st.integers(left + 1, 17))),
    )
    window = Window(plane, part)
    truth = plane[part]
    assert window.shape == truth.shape
    first = data.draw(st.integers(0, 12))
    for asked in (np.s_[:, :], np.s_[first:, ::2], np.s_[:first, :, :2], np.s_[first:]):
        assert np.array_equal(window[asked], truth[asked])


def test_only_what_is_inside_is_labelled_and_it_is_where_the_objects_are(
    segmenter, nuclei
):
    image, truth = nuclei
    region = Region.of([LEFT], SHAPE)
    last = run(segmenter, image, region=region)[-1]
    inside = polygon2mask(SHAPE, LEFT)
    assert last.labels.shape == SHAPE
    assert not last.labels[~inside].any()
    for number in range(1, 7):
        whole = truth == number
        if (whole & inside).sum() == whole.sum():
            assert (last.labels[whole] > 0).mean() > 0.8
    assert last.iteration.area_fraction == np.count_nonzero(last.labels) / image.size
    # The whole plane's limits, whatever is in the region.
    assert last.scaling == run(segmenter, image)[-1].scaling


def test_nothing_grows_out_of_a_region(segmenter, nuclei):
    image, _ = nuclei
    region = Region.of([LEFT], SHAPE)
    low = Cleanup(threshold=0.01, fill_holes=True)
    last = run(segmenter, image, region=region, cleanup=low)[-1]
    inside = polygon2mask(SHAPE, LEFT)
    assert last.labels[inside].any() and not last.labels[~inside].any()


def test_a_part_of_a_large_plane_is_written_where_it_belongs(
    segmenter, nuclei, monkeypatch
):
    image, _ = nuclei
    region = Region.of([np.array([[0, 0], [0, 99], [95, 99], [95, 0.0]])], SHAPE)
    plain = run(segmenter, image, region=region, scaling=Scaling("limits", 0, 255))
    monkeypatch.setattr(image_source, "LARGE_PIXELS", 96 * 120)
    sink = Sink(SHAPE)
    found = run(
        segmenter, image, sink, region=region, scaling=Scaling("limits", 0, 255)
    )
    assert np.array_equal(found[-1].labels, plain[-1].labels)
    assert found[-1].found is None
    written, whole = sink.said[-1], plain[-1].iteration
    assert written.area_fraction == whole.area_fraction
    assert written.objects == len(np.unique(whole.labels)) - 1


@pytest.mark.parametrize("settings", [{"cleanup": Cleanup(0.6)}, {"link_axis": 0}])
def test_what_a_large_plane_cannot_do_is_said(segmenter, nuclei, monkeypatch, settings):
    monkeypatch.setattr(image_source, "LARGE_PIXELS", 96 * 120)
    with pytest.raises(InputError, match="strip by strip"):
        run(segmenter, nuclei[0], Sink(SHAPE), **settings)
