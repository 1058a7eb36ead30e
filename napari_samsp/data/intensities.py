"""The intensities of an image of any size: read once, in blocks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

SAMPLE = 2**22
"""Values in the sample that percentiles are taken from, where counting all of them
is not possible."""
COUNTED_AT_ONCE = 2**20
EXACT = 2**53
"""Whole numbers beyond are not all float64 numbers."""
ORDINARY = 100
"""Powers of two around 1 between which no difference or quotient of single or double
precision overflows or loses digits."""


def power(low: float, high: float) -> int:
    """The power of two that brings values far from 1 near it, else 0.

    Parameters
    ----------
    low, high : float
        The smallest and the largest value.

    Returns
    -------
    int
        For `numpy.ldexp`, which is exact.
    """
    found = -math.frexp(max(abs(low), abs(high)))[1]
    return found if abs(found) > ORDINARY else 0


def distances(values: np.ndarray, low: int) -> np.ndarray:
    """Differences of 64-bit integers to a lower bound, as float64.

    Parameters
    ----------
    values : numpy.ndarray
        int64 or uint64.
    low : int
        The bound: at most the smallest of them.

    Returns
    -------
    numpy.ndarray
        Differences, which are exact until they become float64: uint64 is arithmetic
        modulo 2**64.
    """
    return (values.astype(np.uint64) - np.uint64(low % 2**64)).astype(np.float64)


class Intensities:
    """Extremes and percentiles of all values of an image.

    Integers of up to 16 bits are counted, and their percentiles are exact. Of others
    they are those of a sample of `SAMPLE` values, spread evenly over the image, and
    exact if it has no more: the percentiles' ranks are then off by some 0.002 %.

    Attributes
    ----------
    low, high : float
        The extremes of what is finite; int where float64 would be another number.
    bad : int
        How many values are NaN or infinite.
    """

    def __init__(self, dtype: np.dtype, size: int) -> None:
        self.low: float = np.inf
        self.high: float = -np.inf
        self.bad = 0
        self._counts: np.ndarray | None = None
        self._first = 0
        if dtype.kind in "biu" and dtype.itemsize <= 2:
            self._first = 0 if dtype.kind == "b" else int(np.iinfo(dtype).min)
            self._counts = np.zeros(2 ** (8 * dtype.itemsize), np.int64)
        self._share = min(1.0, SAMPLE / max(1, size))
        self._sample: list[np.ndarray] = []
        self._rng = np.random.default_rng(0)

    @classmethod
    def of(cls, parts: Iterable[np.ndarray], dtype: np.dtype, size: int) -> Intensities:
        """Take the intensities of an image that comes in parts.

        Parameters
        ----------
        parts : iterable of numpy.ndarray
            Any shapes.
        dtype : numpy.dtype
            Of all of them, real.
        size : int
            How many values there are in all.
        """
        found = cls(dtype, size)
        for part in parts:
            found.add(part)
        return found

    def add(self, values: np.ndarray) -> None:
        """Take the intensities of a part.

        Parameters
        ----------
        values : numpy.ndarray
            Any shape.
        """
        values = values.ravel()
        if values.dtype.kind == "f":
            finite = np.isfinite(values)
            self.bad += values.size - int(np.count_nonzero(finite))
            values = values[finite]
        if not values.size:
            return
        self.low = min(self.low, _number(values.min()))
        self.high = max(self.high, _number(values.max()))
        if self._counts is not None:
            for some in np.array_split(values, -(-values.size // COUNTED_AT_ONCE)):
                places = some.astype(np.int64) - self._first
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
            One each; whole numbers where float64 would lose digits.
        """
        if self._counts is None:
            return self._of_sample(percent)
        below = self._counts.cumsum()
        rank = np.array(percent) / 100 * (below[-1] - 1)
        lower = np.searchsorted(below, np.floor(rank), side="right")
        upper = np.searchsorted(below, np.ceil(rank), side="right")
        found = self._first + lower + (upper - lower) * (rank - np.floor(rank))
        return tuple(float(value) for value in found)

    def _of_sample(self, percent: tuple[float, ...]) -> tuple[float, ...]:
        sample = np.concatenate(self._sample)
        if isinstance(self.low, int) or isinstance(self.high, int):
            low = int(self.low)
            found = np.percentile(distances(sample, low), percent)
            return tuple(low + round(value) for value in found)
        by = power(self.low, self.high)
        if by:
            sample = np.ldexp(sample.astype(np.float64), by)
        elif sample.dtype == np.float16:
            sample = sample.astype(np.float32)  # in which differences do not overflow
        found = np.percentile(sample, percent)
        return tuple(float(value) for value in np.ldexp(found, -by))


def _number(value: np.generic) -> float:
    if value.dtype.kind in "iu" and abs(int(value)) > EXACT:
        return int(value)
    return float(value)
