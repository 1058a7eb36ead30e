"""One plane of an array of more axes."""

from __future__ import annotations

from typing import Any

PlaneIndex = tuple[int | None, ...]
"""One entry per axis: the index of an axis that is cut, None for the two of the plane.
An axis of channels is cut at the first channel that is read."""


class PlaneView:
    """One plane of an array, read and written window by window.

    Parameters
    ----------
    array : array_like
        numpy, zarr or the like.
    index : tuple
        One entry per axis: a number, or None or a full slice for an axis of the plane.
        Axes after the last entry are the plane's.

    Attributes
    ----------
    shape : tuple of int
        Sides of the plane.
    dtype : numpy.dtype
        That of the array.
    chunks : tuple of int or None
        Of the plane; None where the array has none.
    """

    def __init__(self, array: Any, index: tuple[Any, ...]) -> None:
        index = (*index, *[None] * (len(array.shape) - len(index)))
        self._array, self._index = array, index
        inside = [n for n, at in enumerate(index) if not isinstance(at, int)]
        self.shape = tuple(int(array.shape[n]) for n in inside)
        self.dtype = array.dtype
        chunks = getattr(array, "chunks", None)
        self.chunks = None if chunks is None else tuple(chunks[n] for n in inside)

    def __getitem__(self, window: Any) -> Any:
        return self._array[self._at(window)]

    def __setitem__(self, window: Any, values: Any) -> None:
        self._array[self._at(window)] = values

    def _at(self, window: Any) -> tuple[Any, ...]:
        parts = list(window) if isinstance(window, tuple) else [window]
        if parts == [...]:
            parts = []
        parts += [slice(None)] * (len(self.shape) - len(parts))
        inside = iter(parts)
        return tuple(at if isinstance(at, int) else next(inside) for at in self._index)
