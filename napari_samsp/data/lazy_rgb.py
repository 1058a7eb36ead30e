"""Any image, however large, as the 8-bit RGB that SAM reads."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.data.blocks import blocks, chunk_sides
from napari_samsp.data.intensities import Intensities, distances, power
from napari_samsp.data.tiling import Tile
from napari_samsp.utils.errors import ConstantImageError, InputError
from napari_samsp.utils.notes import tell
from napari_samsp.utils.numbers import is_integer

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_samsp.data.rgb import Scaling

LONGEST = 500
"""An image may be so many times longer than wide. Tiles of a narrower one would be
thousands, with next to nothing to see in them."""
ALPHA = 3
"""Index of alpha among four channels."""


class LazyRGB:
    """An image of which a window at a time is read and brought to 8-bit RGB.

    ``picture[rows, columns]`` gives ``(h, w, 3)`` uint8, contiguous. Gray fills all
    three, two channels leave blue empty. The intensity limits are the whole image's:
    it is read once for them, in blocks, unless the scaling tells them.

    Parameters
    ----------
    image : array_like
        ``(Y, X)``, or ``(Y, X, C)`` with one to four channels, or with
        ``channel_axis`` any order of three axes. Any real dtype; numpy, dask, zarr or
        the like, of which a window at a time is read. A fourth channel of an image
        without ``channel_axis`` is alpha: where it is 0 there is no data, and
        where it is 0 everywhere it is left out.
    channel_axis : int or None
        Where the channels are; up to three.
    scaling : Scaling
        How intensities become 0 to 255.
    tick : callable, optional
        Called whenever the image is read. An exception raised by it aborts the run.

    Attributes
    ----------
    shape : tuple of int
        ``(Y, X, 3)``.

    Raises
    ------
    InputError
        If the image is empty, constant, not real, too narrow, or of other
        shape.
    """

    def __init__(
        self,
        image: Any,
        channel_axis: int | None,
        scaling: Scaling,
        tick: Callable[[], None] | None = None,
    ) -> None:
        if not all(hasattr(image, name) for name in ("shape", "dtype", "__getitem__")):
            image = np.asarray(image)
        self._image, self._dtype = image, np.dtype(image.dtype)
        shape = tuple(int(side) for side in image.shape)
        if 0 in shape:
            raise InputError("The image is empty: it has no pixels.")
        if self._dtype.kind not in "biuf":
            raise InputError(
                f"The image holds {self._dtype} values; convert it to real numbers "
                "first."
            )
        self._channel_axis, self._channels = _channels(shape, channel_axis)
        sides = [n for axis, n in enumerate(shape) if axis != self._channel_axis]
        self.shape = (sides[0], sides[1], 3)
        if sides[0] * sides[1] == 1:
            raise InputError(
                "The image is a single pixel: there is nothing to segment."
            )
        if max(sides) > LONGEST * min(sides):
            raise InputError(
                f"The image is {sides[0]} x {sides[1]} pixels, more than {LONGEST} "
                "times as long as it is wide: cut it into pieces, or check its axes."
            )
        if scaling.kind == "none" and self._dtype not in (np.uint8, np.bool_):
            raise InputError(
                f"Unscaled input must be 8-bit, not {self._dtype}; choose a scaling."
            )
        self._tick = tick
        self._has_alpha = self._channel_axis == 2 and shape[2] == ALPHA + 1
        found = self._look(sides[0], sides[1])
        if found.low > found.high:
            raise ConstantImageError(
                "The image has no value that is a number: there is nothing to segment."
            )
        if found.low == found.high:
            value = found.low if self._dtype.kind == "f" else int(found.low)
            raise ConstantImageError(
                f"The image is constant (every value is {value}): "
                "there is nothing to segment."
            )
        self._scaled = scaling.kind != "none"
        self._limits = scaling.limits_from(found)
        self._scaling = scaling

    @property
    def scaling(self) -> Scaling:
        """How intensities are scaled, with limits in place of percentiles."""
        if self._scaling.kind != "percentile":
            return self._scaling
        low, high = self._limits
        return replace(self._scaling, kind="limits", low=low, high=high)

    def _look(self, height: int, width: int) -> Intensities:
        """Read it once: its intensities, and which blocks have pixels without data."""
        self._gaps: list[tuple[slice, slice]] = []
        found = Intensities(self._dtype, height * width * self._channels)
        clear = 0
        for window in self.blocks(Tile(0, height, 0, width)):
            values, bad, seen = self._read(window), found.bad, None
            if self._has_alpha:
                seen = self._read(window, ALPHA)[..., 0] != 0
                clear += seen.size - int(np.count_nonzero(seen))
            found.add(values if seen is None else values[seen])
            if found.bad > bad or not (seen is None or seen.all()):
                self._gaps.append(window)
        if clear == height * width:
            self._has_alpha = False
            return self._look(height, width)
        if found.bad:
            tell(
                f"The image has {found.bad:,} values that are not a number (NaN or "
                "infinite): they are no data and never foreground."
            )
        if clear:
            tell(
                f"The image has {clear:,} transparent pixels: they are no data and "
                "never foreground."
            )
        return found

    def missing(self, window: tuple[slice, slice]) -> np.ndarray | None:
        """Where a window has no data.

        Parameters
        ----------
        window : tuple of slice
            Rows and columns, with steps of 1.

        Returns
        -------
        numpy.ndarray or None
            ``(h, w)`` bool; None if every pixel has a value. Only blocks with such
            pixels are read again.
        """
        ranges = [
            range(*part.indices(side))
            for part, side in zip(window, self.shape[:2], strict=True)
        ]
        nothing: np.ndarray | None = None
        for gap in self._gaps:
            rows, columns = (
                slice(max(r.start, g.start), min(r.stop, g.stop))
                for r, g in zip(ranges, gap, strict=True)
            )
            if rows.start >= rows.stop or columns.start >= columns.stop:
                continue
            if nothing is None:
                nothing = np.zeros([len(r) for r in ranges], bool)
            top, left = (r.start for r in ranges)
            part = nothing[
                rows.start - top : rows.stop - top,
                columns.start - left : columns.stop - left,
            ]
            part |= ~np.isfinite(self._read((rows, columns))).all(axis=-1)
            if self._has_alpha:
                part |= self._read((rows, columns), ALPHA)[..., 0] == 0
        return nothing if nothing is not None and nothing.any() else None

    def __getitem__(self, window: tuple[slice, slice]) -> np.ndarray:
        """``(h, w, 3)`` uint8 of ``(slice, slice)``, steps of 1."""
        ranges = [
            range(*part.indices(side))
            for part, side in zip(window, self.shape[:2], strict=True)
        ]
        rows, columns = ranges
        out = np.zeros((len(rows), len(columns), 3), np.uint8)
        used = 3 if self._channels == 1 else self._channels
        for part in blocks((len(rows), len(columns)), 8 * self._channels):
            where = tuple(
                slice(r.start + p.start, r.start + p.stop)
                for r, p in zip(ranges, part, strict=True)
            )
            out[*part, :used] = self._to_8_bit(self._read((where[0], where[1])))
        if self._has_alpha and (nothing := self.missing(window)) is not None:
            out[nothing] = 0
        return out

    def blocks(self, place: Tile) -> list[tuple[slice, slice]]:
        """Windows that cover a place, in which every chunk is read once."""
        chunks = chunk_sides(self._image)
        sides = (1, 1)
        if chunks and len(chunks) == len(self._image.shape):
            here = [n for axis, n in enumerate(chunks) if axis != self._channel_axis]
            sides = (here[0], here[1])
        # From where the place's first chunks begin.
        top, left = place.top - place.top % sides[0], place.left - place.left % sides[1]
        shape = (place.bottom - top, place.right - left)
        return [
            (
                slice(max(rows.start + top, place.top), rows.stop + top),
                slice(max(columns.start + left, place.left), columns.stop + left),
            )
            for rows, columns in blocks(
                shape, self._dtype.itemsize * self._channels, sides
            )
        ]

    def _to_8_bit(self, values: np.ndarray) -> np.ndarray:
        if not self._scaled:
            return values.astype(np.uint8)
        low, high = self._limits
        scaled: np.ndarray[Any, np.dtype[np.floating]]
        if values.dtype.itemsize <= 2:
            # In single precision, which holds every value.
            scaled = values.astype(np.float32)
            np.copyto(scaled, low, where=~np.isfinite(scaled))  # no data
        elif isinstance(low, int) or isinstance(high, int):
            # In whole numbers until they are small: double precision loses some.
            low, high = int(low), int(high)
            scaled = distances(np.clip(values, low, high), low)
            low, high = 0, high - low
        else:
            by = power(low, high)
            scaled = values.astype(np.float64)
            np.copyto(scaled, low, where=~np.isfinite(scaled))  # no data
            # Clipped before, so that nothing overflows.
            scaled = np.ldexp(np.clip(scaled, low, high), by)
            low, high = math.ldexp(low, by), math.ldexp(high, by)
        scaled -= low
        scaled *= 255.0 / (high - low)
        np.clip(scaled, 0, 255, out=scaled)
        scaled += 0.5
        return scaled.astype(np.uint8)

    def _read(self, window: tuple[slice, slice], first: int = 0) -> np.ndarray:
        """``(h, w, C)`` of the image's own dtype: the colours, or from one on."""
        if self._tick is not None:
            self._tick()
        axis = self._channel_axis
        if axis is None:
            return np.asarray(self._image[window])[..., None]
        index: list[slice] = list(window)
        index.insert(axis, slice(first, first + self._channels))
        return np.moveaxis(np.asarray(self._image[tuple(index)]), axis, -1)


def _channels(
    shape: tuple[int, ...], channel_axis: int | None
) -> tuple[int | None, int]:
    """Where the channels are, and how many are read."""
    if len(shape) == 2:
        return None, 1
    if len(shape) != 3:
        raise InputError(
            f"The image has {len(shape)} axes (shape {shape}); "
            "give one 2D image, gray or with channels."
        )
    if channel_axis is not None and not (
        is_integer(channel_axis) and -3 <= channel_axis < 3
    ):
        raise InputError(f"The image has no axis {channel_axis!r}.")
    most = 4 if channel_axis is None else 3
    axis = 2 if channel_axis is None else channel_axis % 3
    if not 1 <= shape[axis] <= most:
        raise InputError(
            f"The image has {shape[axis]} channels (shape {shape}); choose "
            "up to three of them, or say which axis holds them."
        )
    return axis, min(shape[axis], 3)
