"""Large arrays are read a block at a time, each of their chunks once."""

from __future__ import annotations

from typing import Any

BLOCK_BYTES = 8 * 2**20
"""Bytes that are read at a time; a larger chunk is read as a whole."""


def chunk_sides(array: Any) -> tuple[int, ...] | None:
    """Shape of the pieces in which an array is stored.

    Parameters
    ----------
    array : array_like
        Zarr (of which shards count before chunks), dask, or an array without chunks.

    Returns
    -------
    tuple of int or None
        One side per axis; None without chunks.
    """
    chunks = getattr(array, "shards", None) or getattr(array, "chunks", None)
    if not isinstance(chunks, tuple) or not chunks:
        return None
    # Dask gives the sizes of all chunks along each axis.
    return tuple(int(max(n) if isinstance(n, tuple) else n) for n in chunks)


def blocks(
    shape: tuple[int, int], pixel_bytes: int, chunks: tuple[int, int] = (1, 1)
) -> list[tuple[slice, slice]]:
    """Cut an image into windows of about `BLOCK_BYTES`.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the image.
    pixel_bytes : int
        Bytes that a pixel takes.
    chunks : tuple of int
        Height and width of what is stored together: every window begins where a
        chunk does.

    Returns
    -------
    list of tuple of slice
        Row by row; together they cover the image.
    """
    height, width = (min(n, side) for n, side in zip(chunks, shape, strict=True))
    down = max(1, BLOCK_BYTES // (height * shape[1] * pixel_bytes)) * height
    across = shape[1]
    if height * shape[1] * pixel_bytes > BLOCK_BYTES:
        across = max(1, BLOCK_BYTES // (height * width * pixel_bytes)) * width
    return [
        (
            slice(top, min(top + down, shape[0])),
            slice(left, min(left + across, shape[1])),
        )
        for top in range(0, shape[0], down)
        for left in range(0, shape[1], across)
    ]
