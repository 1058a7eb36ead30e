"""Tiles cover an image, blend without a seam, and keep objects whole."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_samsp.core.tiles import OVERLAP, blend, join_objects, tile_image

sides = st.integers(1, 500)


@given(sides, sides, st.integers(16, 200))
def test_tiles_cover_and_overlap(height, width, size):
    tiles = tile_image((height, width), size)
    seen = np.zeros((height, width), int)
    for tile in tiles:
        assert tile.shape == (min(size, height), min(size, width))
        seen[tile.window] += 1
    assert seen.min() == 1 if len(tiles) == 1 else seen.min() >= 1
    lefts = sorted({tile.left for tile in tiles})
    steps = np.diff(lefts)
    assert (steps <= np.ceil(size * (1 - OVERLAP)) + 1).all()


@given(st.integers(40, 150), st.integers(40, 150))
def test_blending_what_agrees_changes_nothing(height, width):
    truth = np.add.outer(np.arange(height), 2 * np.arange(width)).astype(np.float32)
    tiles = tile_image((height, width), 64)
    joined = blend(tiles, [truth[tile.window] for tile in tiles], (height, width))
    np.testing.assert_allclose(joined, truth, rtol=1e-5)


@given(st.integers(0, 10**6))
def test_objects_smaller_than_the_overlap_are_joined_exactly(seed):
    """Cutting labels into tiles that number their objects anew loses nothing."""
    rng = np.random.default_rng(seed)
    shape = (150, 220)
    truth = np.zeros(shape, np.int32)
    for n in range(12):
        top, left = (
            4 + 36 * (n // 4) + rng.integers(8),
            4 + 52 * (n % 4) + rng.integers(8),
        )
        truth[top : top + 14, left : left + 12] = n + 1
    tiles = tile_image(shape, 64)
    parts = []
    for tile in tiles:
        part = truth[tile.window]
        _, numbered = np.unique(part, return_inverse=True)
        numbered = numbered.reshape(part.shape)
        parts.append(numbered if (part == 0).any() else numbered + 1)
    joined = join_objects(tiles, parts, shape)
    assert ((joined > 0) == (truth > 0)).all()
    pairs = np.unique(np.stack([truth.ravel(), joined.ravel()]), axis=1)
    assert pairs.shape[1] == 13  # each object has one label, and no two share one
    assert len(np.unique(pairs[1])) == 13
