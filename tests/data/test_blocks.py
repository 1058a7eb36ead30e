"""Blocks cover an image, and hold every chunk once."""

from __future__ import annotations

import dask.array
import numpy as np
import zarr
from hypothesis import given
from hypothesis import strategies as st

from napari_samsp.data.blocks import BLOCK_BYTES, blocks, chunk_sides


@given(
    st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    st.sampled_from([1, 8, 400]),
    st.tuples(st.integers(1, 1200), st.integers(1, 1200)),
)
def test_blocks_cover_and_begin_where_chunks_do(shape, pixel_bytes, chunks):
    seen = np.zeros(shape, np.uint8)
    for rows, columns in blocks(shape, pixel_bytes, chunks):
        seen[rows, columns] += 1
        assert rows.start % chunks[0] == 0
        assert columns.start % chunks[1] == 0
        size = (rows.stop - rows.start) * (columns.stop - columns.start)
        assert size * pixel_bytes <= BLOCK_BYTES or (
            rows.stop - rows.start <= chunks[0]
            and columns.stop - columns.start <= chunks[1]
        )
    assert (seen == 1).all()


def test_chunks_of_the_usual_arrays(tmp_path):
    assert chunk_sides(np.zeros((3, 4))) is None
    assert chunk_sides(dask.array.zeros((30, 40), chunks=(20, 15))) == (20, 15)
    stored = zarr.create_array(
        str(tmp_path / "a.zarr"),
        shape=(64, 64), dtype="int32", chunks=(16, 16), shards=(32, 64),
    )  # fmt: skip
    assert chunk_sides(stored) == (32, 64)
