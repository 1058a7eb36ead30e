"""Planes that are too large to hold; here "large" is made small."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_samsp.core.segmenter import Segmenter
from napari_samsp.ui import large_plane
from napari_samsp.ui.large_plane import LazyPlane, pyramid
from napari_samsp.ui.planes import Channels, PlaneReader


@pytest.fixture
def everything_is_large(monkeypatch):
    monkeypatch.setattr(large_plane, "LARGE", 1000)
    monkeypatch.setattr(large_plane, "OVERVIEW", 50)


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr"])
def test_the_last_iteration_becomes_a_pyramid(
    viewer, widget, segment, nuclei, everything_is_large, kind
):
    data = np.stack([nuclei[0][::-1], nuclei[0]])
    make = {"numpy": np.asarray, "dask": da.from_array, "zarr": zarr.array}[kind]
    image = viewer.add_image(make(data), name="slide", scale=(2, 1, 1))
    viewer.dims.set_current_step(0, 1)
    segment()
    (layer,) = [la for la in viewer.layers if la.name.startswith("SAM-SP")]
    assert layer.name == "SAM-SP 2 · slide"
    assert layer.multiscale
    assert [level.shape for level in layer.data] == [(1, 96, 160), (1, 24, 40)]
    expected = np.zeros(nuclei[0].shape, np.int32)
    Segmenter().segment_into(nuclei[0], expected)
    assert expected.any()
    assert np.array_equal(layer.data[0][0], expected)
    assert np.array_equal(layer.data[1][0], expected[::4, ::4])
    np.testing.assert_allclose(
        layer.data_to_world((0, 3, 5)), image.data_to_world((1, 3, 5))
    )
    about = layer.metadata["samsp"]
    assert (about["iteration"], about["iterations"]) == (2, 3)
    assert widget.segmenting.table.item(0, 0).text() == "2"
    widget.segmenting.table.cellClicked.emit(0, 0)
    assert viewer.layers.selection.active is layer


def test_a_region_of_it_is_kept_opened_and_corrected(
    viewer, widget, segment, click, nuclei, everything_is_large
):
    viewer.add_image(nuclei[0], name="slide")
    segment()
    labels = viewer.layers[-1]
    click("samsp_keep")
    assert "draw a rectangle" in widget.correcting.message.text()
    corners = np.array([[5, 10], [5, 50], [45, 50], [45, 10]])
    viewer.add_shapes([corners], shape_type="rectangle")
    widget.correcting.labels.choose(labels)
    click("samsp_keep")
    (sample,) = widget.correcting.training_set.samples()
    assert np.array_equal(sample.read()[0], nuclei[0][5:45, 10:50])
    assert np.array_equal(sample.read()[1], labels.data[0][5:45, 10:50])


def test_many_large_slices_are_refused(viewer, widget, click, monkeypatch, nuclei):
    monkeypatch.setattr(large_plane, "LARGE", 1000)
    viewer.add_image(np.stack([nuclei[0]] * 3), name="slides")
    widget.segmenting.slices.combo.setCurrentIndex(1)
    click("samsp_segment")
    assert "one at a time" in widget.status.text()
    assert not widget.segmenting.run.running


@pytest.mark.parametrize("picked", [None, (1,), (1, 0), (2, 0, 1)])
@pytest.mark.parametrize("make", [np.asarray, zarr.array, da.from_array])
def test_windows_are_those_of_the_plane(make, picked):
    data = np.arange(2 * 3 * 7 * 9).reshape(2, 3, 7, 9)
    read = PlaneReader(make(data), Channels(1, picked) if picked else None)
    plane = (1, picked[0] if picked else 2, None, None)
    whole, lazy = read(plane), LazyPlane(read, plane)
    assert lazy.shape == whole.shape
    assert lazy.dtype == whole.dtype
    for window in (np.s_[2:5, 3:8], np.s_[2:5], np.s_[:, :], np.s_[1:2, :, 0:1]):
        if whole.ndim == 3 or not isinstance(window, tuple) or len(window) < 3:
            assert np.array_equal(lazy[window], whole[window])


def test_a_pyramid_can_be_stopped():
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pyramid(np.zeros((3000, 10), np.int32), stop)
