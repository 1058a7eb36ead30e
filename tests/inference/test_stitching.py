"""What tiles say blends without a seam, and objects stay whole."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage import draw, measure

from napari_samsp.data.tiling import Grid
from napari_samsp.inference.stitching import Stitcher


def relabelled(labels):
    _, numbered = np.unique(labels, return_inverse=True)
    numbered = numbered.reshape(labels.shape).astype(np.int32)
    return numbered if (labels == 0).any() else numbered + 1


def put_together(grid, views, out=None):
    """The labels of a mosaic of what each tile shows."""
    out = np.full(grid.shape, -1, np.int32) if out is None else out
    mosaic = Stitcher(grid, out, instances=True)
    for tile, view in zip(grid.tiles, views, strict=True):
        mosaic.add(tile, np.where(view > 0, 5.0, -5.0).astype(np.float32), view)
    assert mosaic.finish() == np.asarray(out[:]).max()
    return np.asarray(out[:])


def assert_same_objects(joined, truth):
    assert ((joined > 0) == (truth > 0)).all()
    pairs = np.unique(np.stack([truth.ravel(), joined.ravel()]), axis=1)
    numbers = len(np.unique(truth))
    assert pairs.shape[1] == numbers  # each object has one label,
    assert len(np.unique(joined)) == numbers  # and no two share one
    assert set(np.unique(joined)) == set(
        range(int((truth > 0).all()), joined.max() + 1)
    )


@given(st.integers(40, 150), st.integers(40, 150), st.sampled_from([30, 64, None]))
def test_blending_what_agrees_changes_nothing(height, width, size):
    truth = np.add.outer(np.arange(height), 2 * np.arange(width)).astype(np.float32)
    truth -= truth.mean()
    grid = Grid((height, width), size)
    labels, logits = np.zeros(grid.shape, np.int32), np.zeros(grid.shape, np.float32)
    mosaic = Stitcher(grid, labels, instances=False, logits=logits)
    for tile in grid.tiles:
        mosaic.add(tile, truth[tile.window], None)
    assert mosaic.finish() == 1
    np.testing.assert_allclose(logits, truth, rtol=1e-4, atol=1e-4)
    assert (labels == (logits > 0)).all()
    assert mosaic.foreground == labels.sum()


@given(st.integers(0, 10**6), st.sampled_from([64, 90]))
def test_objects_are_joined_exactly(seed, size):
    """Cutting labels into tiles that number their objects anew loses nothing.

    Discs smaller than the overlap, and bars that reach over many tiles.
    """
    rng = np.random.default_rng(seed)
    truth = np.zeros((190, 220), np.int32)
    for n in range(12):
        top = 4 + 36 * (n // 4) + rng.integers(8)
        left = 4 + 52 * (n % 4) + rng.integers(8)
        truth[top : top + 14, left : left + 12] = n + 1
    truth[120 + rng.integers(20) :, 3:] = 13
    truth[152:160, 20:200] = 0  # makes it a frame
    grid = Grid(truth.shape, size)
    joined = put_together(grid, [relabelled(truth[t.window]) for t in grid.tiles])
    assert_same_objects(joined, truth)


@given(st.integers(0, 10**6))
def test_objects_of_any_form_that_touch_stay_apart_and_whole(seed):
    """A map of countries, some of them larger than a tile, some with bays."""
    rng = np.random.default_rng(seed)
    seeds = rng.uniform(0, 1, (8, 2)) * (160, 230)
    y, x = np.mgrid[:160, :230]
    distance = [np.hypot(y - a, x - b) for a, b in seeds]
    truth = measure.label(np.argmin(distance, axis=0) + 1)
    grid = Grid(truth.shape, 100)
    views = []
    for tile in grid.tiles:
        # A tile that sees two ends of a country takes them for two.
        views.append(measure.label(truth[tile.window], connectivity=1))
    joined = put_together(grid, views)
    # What a tile shows only a corner of may stay a crumb: none larger than that.
    for label in np.unique(truth):
        inside = np.bincount(joined[truth == label])
        if inside.sum() > 400:
            assert inside.max() > 0.95 * inside.sum()
    for label in range(1, joined.max() + 1):
        inside = np.bincount(truth[joined == label])
        assert inside.max() > 0.9 * inside.sum()


def test_an_object_cut_by_one_tile_and_whole_in_another_is_the_whole_one():
    truth = np.zeros((60, 105), np.int32)
    truth[draw.disk((30, 58), 9)] = 1  # beyond the border at 60 of the first tile
    grid = Grid(truth.shape, 60)
    views = [relabelled(truth[tile.window]) for tile in grid.tiles]
    assert_same_objects(put_together(grid, views), truth)


def test_neighbours_that_one_tile_takes_for_one_draw_in_nobody_else():
    """Where tiles disagree two objects may become one, but not three."""
    truth = np.zeros((60, 100), np.int32)
    truth[10:18, 46:54], truth[20:30, 46:54], truth[40:48, 46:54] = 1, 2, 3
    grid = Grid(truth.shape, 60)
    views = [relabelled(truth[tile.window]) for tile in grid.tiles]
    views[1] = np.where(views[1] == 2, 1, views[1])
    joined = put_together(grid, views)
    assert_same_objects(joined, truth)  # as the first tile has them


def test_what_a_tile_shows_whole_and_apart_is_not_joined_by_corners_of_others():
    """The tile above takes two for one, and a corner of the next links it to both."""
    truth = np.zeros((100, 102), np.int32)
    truth[45:70, 8:31], truth[50:75, 31:56] = 1, 2
    grid = Grid(truth.shape, 60)
    views = [relabelled(truth[tile.window]) for tile in grid.tiles]
    views[0] = np.where(views[0] == 2, 1, views[0])
    assert_same_objects(put_together(grid, views), truth)  # as the tile below has them


def test_components_of_a_region_go_through_all_strips():
    """Without objects of their own the whole image's components are numbered."""
    truth = np.zeros((230, 90), np.int32)
    truth[5:225, 10:14], truth[5:225, 40:44] = 1, 1
    truth[220:225, 10:44] = 1  # a U, whose arms meet in the last strip
    truth[100:150, 60:80] = 2
    grid = Grid(truth.shape, 50)
    labels = np.zeros(truth.shape, np.int32)
    mosaic = Stitcher(grid, labels, instances=True)
    for tile in grid.tiles:
        view = truth[tile.window]
        mosaic.add(tile, np.where(view > 0, 5.0, -5.0).astype(np.float32), None)
    assert mosaic.finish() == 2
    assert_same_objects(labels, truth)


@pytest.mark.parametrize("chunks", [(32, 32), (7, 100), (400, 50)])
def test_a_zarr_array_gets_the_same_labels(tmp_path, chunks):
    rng = np.random.default_rng(1)
    truth = measure.label(rng.uniform(size=(130, 170)) > 0.7, connectivity=1)
    grid = Grid(truth.shape, 64)
    views = [measure.label(truth[t.window], connectivity=1) for t in grid.tiles]
    out = zarr.create_array(
        str(tmp_path / "labels.zarr"), shape=truth.shape, dtype="int32", chunks=chunks
    )
    assert (put_together(grid, views, out) == put_together(grid, views)).all()


@pytest.mark.parametrize("size", [30, 64, None])
@pytest.mark.parametrize("instances", [False, True])
def test_each_pixel_is_of_the_surest_class_of_what_tiles_say_together(size, instances):
    rng = np.random.default_rng(0)
    shape = (70, 110)
    truth = rng.normal(size=(3, *shape)).astype(np.float32)
    truth = np.stack([ndimage.gaussian_filter(one, 4) for one in truth])
    grid = Grid(shape, size)
    labels, logits = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    mosaic = Stitcher(grid, labels, instances, logits, classes=(2, 5, 9))
    for tile in grid.tiles:
        mosaic.add(tile, truth[:, *tile.window], None)
    found = mosaic.finish()
    best = truth.max(0)
    expected = np.where(best > 0, np.array([2, 5, 9])[truth.argmax(0)], 0)
    np.testing.assert_allclose(logits, best, atol=1e-5)
    kinds = labels if not instances else mosaic.object_classes[labels]
    sure = np.abs(np.diff(np.sort(truth, axis=0)[1:], axis=0))[0] > 1e-5
    assert (kinds == expected)[sure & (np.abs(best) > 1e-5)].all()
    if instances:  # the connected parts of each class, also across strips
        parts = [ndimage.label(expected == n)[1] for n in (2, 5, 9)]
        assert found == sum(parts) == len(mosaic.object_classes) - 1


def test_an_object_has_the_class_of_most_of_its_pixels():
    grid = Grid((40, 100), 40)
    labels = np.zeros(grid.shape, np.int32)
    mosaic = Stitcher(grid, labels, instances=True, classes=(4, 7))
    whole = np.zeros(grid.shape, np.int32)
    whole[10:30, 5:95], whole[2:6, 2:9] = 1, 2
    maps = np.full((2, *grid.shape), -3, np.float32)
    maps[0][whole == 1], maps[1][whole == 2] = 2, 2
    maps[1][:, 70:][whole[:, 70:] == 1] = 5  # an end of it looks like the other class
    for tile in grid.tiles:
        mosaic.add(tile, maps[:, *tile.window], relabelled(whole[tile.window]))
    assert mosaic.finish() == 2
    assert mosaic.object_classes[labels[20, 50]] == 4
    assert labels[20, 90] == labels[20, 10]
    assert mosaic.object_classes[labels[4, 4]] == 7
