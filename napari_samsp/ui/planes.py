"""The 2D planes of a layer, and how to put labels back onto them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.ui.plane_sizes import checked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari.components import Dims
    from napari.layers import Image, Labels

    from napari_samsp.data.plane_view import PlaneIndex


@dataclass(frozen=True)
class Channels:
    """An axis of a layer that holds channels, and which of them are read.

    Attributes
    ----------
    axis : int
        Data axis; never that of an RGB layer's colours, which napari does not count.
    picked : tuple of int
        One channel, read as gray; or two or three, read as red, green and blue.
    """

    axis: int
    picked: tuple[int, ...]


@dataclass(frozen=True)
class PlaneReader:
    """Cuts planes out of data at full resolution; in any thread.

    Attributes
    ----------
    data : array_like
        numpy, dask, zarr, xarray, ...: read when a plane is, and not before.
    channels : Channels or None
        Of data with an axis of channels.
    """

    data: Any
    channels: Channels | None = None

    @classmethod
    def of(cls, layer: Image | Labels, channels: Channels | None = None) -> PlaneReader:
        """Read a layer; of a multiscale one the first scale."""
        return cls(first_scale(layer), channels)

    def __call__(self, plane: PlaneIndex) -> np.ndarray:
        """Read the pixels of a plane.

        Parameters
        ----------
        plane : PlaneIndex
            Index of the plane.

        Returns
        -------
        numpy.ndarray
            ``(Y, X)``, or ``(Y, X, C)`` of an RGB(A) layer or of several channels.

        Raises
        ------
        InputError
            If a lazy plane turns out to be of another size than the data say.
        """
        shape = self.data.shape
        sides = [shape[n] for n, index in enumerate(plane) if index is None]
        if self.channels is None:
            found = np.asarray(self.data[_cut(plane)])
            return checked(found, plane, sides, sides)
        planes = []
        for channel in self.channels.picked:
            index = list(plane)
            index[self.channels.axis] = channel
            found = np.asarray(self.data[_cut(tuple(index))])
            planes.append(checked(found, plane, sides, sides))
        return planes[0] if len(planes) == 1 else np.stack(planes, axis=-1)


def plane_axes(
    layer: Image | Labels, dims: Dims, channel_axis: int | None = None
) -> tuple[int, int]:
    """Say which two axes of a layer the viewer shows.

    Parameters
    ----------
    layer : Image or Labels
        With any number of dimensions.
    dims : Dims
        Dims of the viewer.
    channel_axis : int, optional
        Of the layer; is never one of the two, whatever the viewer shows.

    Returns
    -------
    tuple of int
        In the data's order.
    """
    extra = dims.ndim - layer.ndim
    order = [axis - extra for axis in dims.order if axis >= extra]
    first, second = sorted([axis for axis in order if axis != channel_axis][-2:])
    return first, second


def shown_plane(
    layer: Image | Labels, dims: Dims, channels: Channels | None = None
) -> PlaneIndex:
    """Say which plane of a layer the viewer shows.

    Parameters
    ----------
    layer : Image or Labels
        With any number of dimensions.
    dims : Dims
        Dims of the viewer.
    channels : Channels, optional
        Channels of the layer that are read.

    Returns
    -------
    PlaneIndex
        With exactly two None; positions beyond the layer are moved to its edge.
    """
    channel_axis = channels.axis if channels else None
    shown = plane_axes(layer, dims, channel_axis)
    position = layer.world_to_data(dims.point)
    shape = first_scale(layer).shape
    index: list[int | None] = [
        None
        if axis in shown
        else int(np.clip(round(position[axis]), 0, shape[axis] - 1))
        for axis in range(layer.ndim)
    ]
    if channels is not None:
        index[channels.axis] = min(channels.picked[0], shape[channels.axis] - 1)
    return tuple(index)


def planes_along(
    layer: Image, shown: PlaneIndex, axes: tuple[int, ...], outward: bool = False
) -> tuple[PlaneIndex, ...]:
    """The planes that are parallel to one, the one itself first.

    Parameters
    ----------
    layer : Image
        The layer whose planes are meant.
    shown : PlaneIndex
        The plane that is shown.
    axes : tuple of int
        Along which the others lie; other axes stay where they are.
    outward : bool
        Along the last of the axes go from the shown plane to the end, and then to
        the start.

    Returns
    -------
    tuple of PlaneIndex
        The others in order.
    """
    shape = first_scale(layer).shape
    ranges: list[Sequence[int | None]] = [
        range(shape[axis]) if axis in axes else (at,) for axis, at in enumerate(shown)
    ]
    if outward:
        at = shown[axes[-1]]
        assert at is not None
        ranges[axes[-1]] = [*range(at, shape[axes[-1]]), *range(at - 1, -1, -1)]
    return (shown, *(plane for plane in product(*ranges) if plane != shown))


def next_plane(
    layer: Image, plane: PlaneIndex, axis: int, direction: int
) -> PlaneIndex | None:
    """The plane beside another one.

    Parameters
    ----------
    layer : Image
        The layer whose planes are meant.
    plane : PlaneIndex
        The plane to go on from.
    axis : int
        Axis along which planes follow each other.
    direction : int
        1 or -1 as the viewer counts; 0 if there is none: the one after, or else the
        one before.

    Returns
    -------
    PlaneIndex or None
        None if the layer ends there, or shows that axis in the plane.
    """
    at = plane[axis]
    if at is None:
        return None
    # A layer that is drawn mirrored is counted from its end.
    step = direction if layer.scale[axis] > 0 else -direction
    steps = (step,) if step else (1, -1)
    length = first_scale(layer).shape[axis]
    found = next((at + step for step in steps if 0 <= at + step < length), None)
    if found is None:
        return None
    return (*plane[:axis], found, *plane[axis + 1 :])


def plane_within(plane: PlaneIndex, labels: Labels) -> PlaneIndex:
    """Where a plane of an image is in labels that lie on it.

    Parameters
    ----------
    plane : PlaneIndex
        Index of a plane of the image.
    labels : Labels
        Of as many axes, placed by `napari_samsp.ui.placement.labels_placement`.

    Returns
    -------
    PlaneIndex
        Of the labels, which are of length 1 along axes that were cut.
    """
    shape = first_scale(labels).shape
    return tuple(
        None if index is None else min(index, side - 1)
        for index, side in zip(plane, shape, strict=True)
    )


def disagreement(iterations: Iterable[Any]) -> Any:
    """Count, pixel by pixel, the iterations that say other than the last.

    Parameters
    ----------
    iterations : iterable of numpy.ndarray or dask.array.Array
        Labels of equal shape, first iteration first, at least two.

    Returns
    -------
    numpy.ndarray or dask.array.Array
        As given, uint8; foreground or not is what counts.
    """
    *earlier, last = (labels > 0 for labels in iterations)
    return sum((labels != last).astype(np.uint8) for labels in earlier)


def first_scale(layer: Image | Labels) -> Any:
    """The data of a layer at full resolution.

    Parameters
    ----------
    layer : Image or Labels
        Multiscale or not.

    Returns
    -------
    array_like
        As the layer holds it.
    """
    return layer.data[0] if layer.multiscale else layer.data


def _cut(plane: PlaneIndex) -> tuple[Any, ...]:
    return tuple(slice(None) if index is None else index for index in plane)
