"""Tiles cover an image and divide it among them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_samsp.data.tiling import OVERLAP, Grid

sides = st.integers(1, 500)


@given(sides, sides, st.integers(16, 200))
def test_tiles_cover_and_overlap(height, width, size):
    tiles = Grid((height, width), size).tiles
    seen = np.zeros((height, width), int)
    for tile in tiles:
        assert tile.shape == (min(size, height), min(size, width))
        seen[tile.window] += 1
    assert seen.min() == 1 if len(tiles) == 1 else seen.min() >= 1
    lefts = sorted({tile.left for tile in tiles})
    steps = np.diff(lefts)
    assert (steps <= np.ceil(size * (1 - OVERLAP)) + 1).all()


@given(sides, sides, st.integers(16, 200))
def test_weights_add_up_to_one_and_cores_divide_the_image(height, width, size):
    grid = Grid((height, width), size)
    weights, cores = np.zeros((height, width)), np.zeros((height, width), int)
    covered = np.zeros((height, width), bool)
    for tile in grid.tiles:
        before = np.zeros(tile.shape, bool)
        for part in grid.covered_before(tile):
            before[part] = True
        assert (covered[tile.window] == before).all()
        covered[tile.window] = True
        weights[tile.window] += grid.weight(tile)
        cores[tile.window][grid.core(tile)] += 1
    np.testing.assert_allclose(weights, 1, rtol=1e-5)
    assert (cores == 1).all()


def test_the_image_s_own_borders_cut_nothing():
    grid = Grid((100, 250), 100)
    first, *_, last = grid.tiles
    assert grid.inner_borders(first) == [(slice(None), -1)]
    assert grid.inner_borders(last) == [(slice(None), 0)]
    assert Grid((100, 250), None).inner_borders(Grid((100, 250), None).tiles[0]) == []
