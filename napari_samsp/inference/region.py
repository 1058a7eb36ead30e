"""Part of a plane: what is segmented of it, and where the result belongs.

Needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.data.image_source import is_large
from napari_samsp.data.lazy_rgb import LazyRGB
from napari_samsp.data.rgb import as_lazy_rgb
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_samsp.data.rgb import Scaling
    from napari_samsp.inference.results import Iteration


@dataclass(frozen=True, eq=False)
class Region:
    """Polygons on a plane, and the window around them, which alone is computed.

    Attributes
    ----------
    window : tuple of slice
        Rows and columns, within the plane.
    mask : numpy.ndarray
        ``(h, w)`` bool: the window's pixels whose centres are in a polygon.
    """

    window: tuple[slice, slice]
    mask: np.ndarray

    @classmethod
    def of(cls, polygons: Sequence[np.ndarray], shape: tuple[int, int]) -> Region:
        """Find the pixels of polygons.

        Parameters
        ----------
        polygons : sequence of numpy.ndarray
            Each ``(N, 2)`` row and column of its vertices; pixel n covers n - 0.5 to
            n + 0.5.
        shape : tuple of int
            The plane's height and width.

        Raises
        ------
        InputError
            If no pixel of the plane is in any of them.
        """
        from skimage.draw import polygon2mask

        corners = np.concatenate(polygons)
        low, high = np.floor(corners.min(0) + 0.5), np.floor(corners.max(0) + 0.5) + 1
        top, left = low.clip(0, shape).astype(int)
        bottom, right = high.clip(0, shape).astype(int)
        sides = max(bottom - top, 0), max(right - left, 0)
        mask = np.zeros(sides, bool)
        if mask.size:
            for polygon in polygons:
                mask |= polygon2mask(sides, polygon - (top, left))
        if not mask.any():
            raise InputError("The region is outside the image: draw it on the image.")
        return cls((slice(top, bottom), slice(left, right)), mask)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the window."""
        return self.mask.shape[0], self.mask.shape[1]

    def place(self, iteration: Iteration, shape: tuple[int, int]) -> Iteration:
        """An iteration of the window, without what is outside the polygons.

        Parameters
        ----------
        iteration : Iteration
            Result of the window.
        shape : tuple of int
            Height and width of the plane.

        Returns
        -------
        Iteration
            Of the whole plane, or of the window if that is too large to hold. Logits
            are minus infinity outside the polygons.
        """
        iteration = self._cut(iteration)
        return iteration if is_large(shape) else self._put(iteration, shape)

    def _cut(self, iteration: Iteration) -> Iteration:
        return replace(
            iteration,
            labels=np.where(self.mask, iteration.labels, 0),
            logits=np.where(self.mask, iteration.logits, -np.inf),
        )

    def _put(self, iteration: Iteration, shape: tuple[int, int]) -> Iteration:
        labels = np.zeros(shape, iteration.labels.dtype)
        logits = np.full(shape, -np.inf, iteration.logits.dtype)
        labels[self.window], logits[self.window] = iteration.labels, iteration.logits
        return replace(iteration, labels=labels, logits=logits)


class Window:
    """Part of a plane, read and written window by window.

    Parameters
    ----------
    plane : array_like
        ``(Y, X)`` or ``(Y, X, C)``: what takes ``[rows, columns]``.
    window : tuple of slice
        Rows and columns, with their ends.

    Attributes
    ----------
    shape : tuple of int
        Height and width of the part.
    dtype : numpy.dtype
        dtype of the plane.
    """

    def __init__(self, plane: Any, window: tuple[slice, slice]) -> None:
        self._plane, self._window = plane, window
        sides = tuple(part.stop - part.start for part in window)
        self.shape = (*sides, *plane.shape[2:])
        self.dtype = plane.dtype

    def __getitem__(self, window: Any) -> np.ndarray:
        parts = list(window) if isinstance(window, tuple) else [window]
        parts += [slice(None)] * (2 - len(parts))
        index = [
            self._within(part, whole)
            for part, whole in zip(parts, self._window, strict=False)
        ]
        return np.asarray(self._plane[(*index, *parts[2:])])

    @staticmethod
    def _within(part: slice, whole: slice) -> slice:
        first, last, step = part.indices(whole.stop - whole.start)
        return slice(first + whole.start, last + whole.start, step)


def read_part(
    pixels: Any,
    region: Region | None,
    scaling: Scaling,
    tick: Callable[[], None] | None = None,
) -> LazyRGB:
    """Read a plane, or its part within a region, into memory.

    Parameters
    ----------
    pixels : array_like
        ``(Y, X)`` or ``(Y, X, C)``, of which windows are read.
    region : Region or None
        The part to read; None reads all.
    scaling : Scaling
        Its percentiles are those of the whole plane.
    tick : callable, optional
        Called often; what it raises ends the work.

    Returns
    -------
    LazyRGB
        ``(Y, X, 3)``, or ``(h, w, 3)`` of the region's window.

    Raises
    ------
    InputError
        If there is nothing to see, for instance since all pixels are the same.
    """
    if region is None:
        return as_lazy_rgb(pixels[:, :], scaling=scaling)
    if scaling.kind == "percentile":
        scaling = LazyRGB(pixels, None, scaling, tick).scaling
    return as_lazy_rgb(Window(pixels, region.window)[:, :], scaling=scaling)
