"""The intensities of an image of any size: read once, in blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BLOCK_BYTES = 32 * 2**20
"""So much of an image is read at once."""
SAMPLE = 2**22
"""Values that percentiles are taken from where they cannot be counted."""


def row_blocks(shape: tuple[int, ...], itemsize: int, step: int = 1) -> list[slice]:
    """Cut the rows of an array into blocks of about `BLOCK_BYTES`.

    Parameters
    ----------
    shape : tuple of int
        Of the array, rows first.
    itemsize : int
        Bytes of an element.
    step : int
        The blocks are multiples of so many rows, the last one excepted.

    Returns
    -------
    list of slice
        In order.
    """
    row = max(1, int(np.prod(shape[1:])) * itemsize)
    rows = max(1, BLOCK_BYTES // row // step) * step
    return [slice(a, min(a + rows, shape[0])) for a in range(0, shape[0], rows)]


class Intensities:
    """Extremes and percentiles of all values of an image.

    Integers of up to 16 bits are counted, and their percentiles are exact. Of others
    they are those of a sample of `SAMPLE` values, spread evenly over the image, and
    exact if it has no more: the percentiles' ranks are then off by some 0.002 %.

    Attributes
    ----------
    low, high : float
        The extremes of what is finite.
    bad : int
        How many values are NaN or infinite.
    """

    def __init__(self, dtype: np.dtype, size: int) -> None:
        self.low, self.high, self.bad = np.inf, -np.inf, 0
        self._counts: np.ndarray | None = None
        self._first = 0
        if dtype.kind in "biu" and dtype.itemsize <= 2:
            self._first = 0 if dtype.kind == "b" else int(np.iinfo(dtype).min)
            self._counts = np.zeros(2 ** (8 * dtype.itemsize), np.int64)
        self._share = min(1.0, SAMPLE / max(1, size))
        self._sample: list[np.ndarray] = []
        self._rng = np.random.default_rng(0)

    @classmethod
    def of(
        cls,
        read: Callable[[slice], np.ndarray],
        shape: Sequence[int],
        dtype: np.dtype,
        tick: Callable[[], None] | None = None,
    ) -> Intensities:
        """Read an image and take its intensities.

        Parameters
        ----------
        read : callable
            Gives the rows of a slice.
        shape : sequence of int
            Of the image, rows first.
        dtype : numpy.dtype
            Real.
        tick : callable, optional
            Called before every block; what it raises ends the work.
        """
        found = cls(dtype, int(np.prod(shape)))
        for rows in row_blocks(tuple(shape), dtype.itemsize):
            if tick is not None:
                tick()
            found._add(read(rows))
        return found

    def _add(self, values: np.ndarray) -> None:
        values = values.ravel()
        if values.dtype.kind == "f":
            finite = np.isfinite(values)
            self.bad += values.size - int(np.count_nonzero(finite))
            values = values[finite]
        if not values.size:
            return
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))
        if self._counts is not None:
            places = values.astype(np.int32) - self._first
            self._counts += np.bincount(places, minlength=len(self._counts))
        elif self._share < 1:
            # One value at random out of each of so many equal parts.
            parts = max(1, round(values.size * self._share))
            edges = np.arange(parts) * (values.size / parts)
            inside = self._rng.uniform(0, values.size / parts, parts)
            places = (edges + inside).astype(np.int64).clip(0, values.size - 1)
            self._sample.append(values[places])
        else:
            self._sample.append(values.copy())

    def percentiles(self, *percent: float) -> tuple[float, ...]:
        """Percentiles as `numpy.percentile` gives them, interpolated linearly.

        Parameters
        ----------
        *percent : float
            0 to 100.

        Returns
        -------
        tuple of float
            One each.
        """
        if self._counts is None:
            found = np.percentile(np.concatenate(self._sample), percent)
            return tuple(float(value) for value in found)
        below = self._counts.cumsum()
        rank = np.array(percent) / 100 * (below[-1] - 1)
        lower = np.searchsorted(below, np.floor(rank), side="right")
        upper = np.searchsorted(below, np.ceil(rank), side="right")
        found = self._first + lower + (upper - lower) * (rank - np.floor(rank))
        return tuple(float(value) for value in found)
