"""Planes that are too large to hold; here "large" is made small."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_samsp.data import image_source
from napari_samsp.data.rgb import Scaling
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.ui.planes import Channels, PlaneReader
from napari_samsp.ui.segment import large_plane
from napari_samsp.ui.segment.large_plane import LargeResult, LazyPlane
from napari_samsp.ui.segment.summary import Summary


@pytest.fixture
def everything_is_large(monkeypatch):
    monkeypatch.setattr(image_source, "LARGE_PIXELS", 1000)
    monkeypatch.setattr(large_plane, "OVERVIEW", 50)


def expected_labels(image):
    """Of each of three iterations."""
    found = [np.zeros(image.shape, np.int32) for _ in range(3)]
    Segmenter().segment_each_into(image, found)
    assert all(labels.any() for labels in found)
    return found


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr"])
def test_every_iteration_becomes_a_pyramid(
    viewer, widget, segment, nuclei, everything_is_large, kind
):
    data = np.stack([nuclei[0][::-1], nuclei[0]])
    make = {"numpy": np.asarray, "dask": da.from_array, "zarr": zarr.array}[kind]
    image = viewer.add_image(make(data), name="slide", scale=(2, 1, 1))
    viewer.dims.set_current_step(0, 1)
    segment()
    layers = [la for la in viewer.layers if la.name.startswith("SAM-SP")]
    assert [la.name for la in layers] == [f"SAM-SP {t} · slide" for t in range(3)]
    assert [la.visible for la in layers] == [False, False, True]
    expected = expected_labels(nuclei[0])
    for t, (layer, labels) in enumerate(zip(layers, expected, strict=True)):
        assert layer.multiscale
        assert [level.shape for level in layer.data] == [(1, 96, 160), (1, 24, 40)]
        assert np.array_equal(layer.data[0][0], labels)
        assert np.array_equal(layer.data[1][0], labels[::4, ::4])
        np.testing.assert_allclose(
            layer.data_to_world((0, 3, 5)), image.data_to_world((1, 3, 5))
        )
        about = layer.metadata["samsp"]
        assert (about["iteration"], about["iterations"]) == (t, 3)
        assert (about["slice"], "slices" in about) == ([1, None, None], False)
    one, other = (labels > 0 for labels in expected[:2])
    agreement = (one & other).sum() / (one | other).sum()
    assert layers[0].metadata["samsp"]["iou_to_previous"] is None
    assert layers[1].metadata["samsp"]["iou_to_previous"] == pytest.approx(agreement)
    widget.segmenting.table.cellClicked.emit(1, 0)
    assert viewer.layers.selection.active is layers[1]
    assert not widget.segmenting.next_button.isVisibleTo(widget)


def test_where_iterations_of_it_disagree(
    viewer, widget, segment, click, nuclei, everything_is_large
):
    viewer.add_image(nuclei[0], name="slide")
    segment()
    click("samsp_disagreement")
    shown = viewer.layers[-1]
    assert shown.name == "SAM-SP disagreement · slide"
    first, second, last = (labels > 0 for labels in expected_labels(nuclei[0]))
    counts = (first != last).astype(int) + (second != last)
    assert shown.multiscale
    assert np.array_equal(np.asarray(shown.data[0]), counts)
    assert np.array_equal(np.asarray(shown.data[1]), counts[::4, ::4])


def test_many_large_slices(viewer, widget, segment, click, nuclei, everything_is_large):
    picture = nuclei[0]
    blank = np.full_like(picture, 7)
    data = np.stack([picture, blank, np.roll(picture, 9, 1)])
    viewer.add_image(da.from_array(data), name="slides")
    widget.segmenting.slices.combo.setCurrentIndex(1)
    widget.segmenting.scaling.same.setChecked(False)
    segment()
    layer = viewer.layers["SAM-SP 2 · slides"]
    assert [level.shape for level in layer.data] == [(3, 96, 160), (3, 24, 40)]
    for n in (0, 2):
        labels = expected_labels(data[n])[2]
        assert np.array_equal(layer.data[0][n], labels)
        assert np.array_equal(layer.data[1][n], labels[::4, ::4])
    assert not layer.data[0][1].any()
    assert layer.metadata["samsp"]["slices"] == 2
    assert "1 was left out: The image is constant" in widget.status.text()
    click("samsp_next_slice")
    assert "number 1 of 2: unsure ones" in widget.status.text()
    corners = np.array([[0, 5, 10], [0, 5, 50], [0, 45, 50], [0, 45, 10]])
    viewer.add_shapes([corners], shape_type="rectangle")
    viewer.dims.set_current_step(0, 2)
    widget.correcting.labels.choose(layer)
    click("samsp_keep")
    (sample,) = widget.correcting.training_set.samples()
    assert np.array_equal(sample.read()[0], data[2][5:45, 10:50])
    assert sample.prediction is not None
    assert sample.info["slice"] == [2, None, None]


def test_large_slices_share_their_limits(
    viewer, widget, segment, nuclei, everything_is_large
):
    bright = nuclei[0].astype(np.uint16) * 3
    data = np.stack([nuclei[0].astype(np.uint16), bright])
    viewer.add_image(data, name="slides")
    widget.segmenting.slices.combo.setCurrentIndex(1)
    segment()
    layer = viewer.layers["SAM-SP 0 · slides"]
    scaling = Scaling("limits", *np.percentile(data, [0.5, 99.8]))
    expected = np.zeros(nuclei[0].shape, np.int32)
    Segmenter(scaling=scaling).segment_into(data[0], expected, 1)
    assert np.array_equal(layer.data[0][0], expected)


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


def test_large_slices_are_not_followed(viewer, widget, click, monkeypatch, nuclei):
    monkeypatch.setattr(image_source, "LARGE_PIXELS", 1000)
    viewer.add_image(np.stack([nuclei[0]] * 3), name="slides")
    widget.segmenting.slices.combo.setCurrentIndex(1)
    widget.segmenting.slices.follow.setChecked(True)
    click("samsp_segment")
    assert "too many for Follow slices" in widget.status.text()
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


def test_making_a_pyramid_can_be_stopped():
    def stop():
        raise KeyboardInterrupt

    result = LargeResult((3000, 10), (0, 1), 1)
    result.allocate()
    with pytest.raises(KeyboardInterrupt):
        result.complete((None, None), Summary(0, 1, "none", 0.5, None, 0.1, 1), stop)
