"""What is measured of a Labels layer, and measuring it in a worker."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

from napari.layers import Image, Labels

from napari_samsp.data.image_files import as_labels
from napari_samsp.data.image_source import is_large
from napari_samsp.data.tables.object_files import depth_axis, slice_names
from napari_samsp.data.tables.object_table import (
    PIXELS,
    PixelSize,
    measure_planes,
)
from napari_samsp.data.training_sets.sample import size_text
from napari_samsp.ui.planes import (
    Channels,
    PlaneReader,
    first_scale,
    plane_axes,
    shown_plane,
)
from napari_samsp.ui.result_layers import source_of
from napari_samsp.ui.widgets.object_classes import pages_of
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from napari.components import Dims

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.data.tables.object_table import Columns

SPARE = "IRHVWKJMNO"
"""Letters for axes of a stack whose labels tell nothing."""


@dataclass(frozen=True)
class Part:
    """A slice, or the slices of a volume, and where they are.

    Attributes
    ----------
    where : dict
        Values of the columns ``time``, ``slice`` and the like.
    labels, image : tuple of PlaneIndex
        Planes of the layers; ``image`` is empty without one.
    """

    where: dict[str, int]
    labels: tuple[PlaneIndex, ...]
    image: tuple[PlaneIndex, ...]


@dataclass(frozen=True)
class MeasureRequest:
    """All that a worker needs to measure a layer; it holds no layer.

    Attributes
    ----------
    name : str
        What the table's column ``image`` says.
    labels : PlaneReader
        Reads planes of the labels.
    image : PlaneReader or None
        Of the image, for intensities.
    colours : int
        How many of an RGB image's values are colours; 0 for other images.
    parts : tuple of Part
        One per slice, or per volume.
    size : PixelSize
        Along the axes that are measured.
    volumes : bool
        Whether each part is one volume.
    classes : dict
        Names of the classes by slice (None: in all) and label; empty if there are none.
    """

    name: str
    labels: PlaneReader
    image: PlaneReader | None
    colours: int
    parts: tuple[Part, ...]
    size: PixelSize
    volumes: bool
    classes: dict[PlaneIndex | None, dict[int, str]] = field(default_factory=dict)


def request_of(
    labels: Labels,
    image: Image | None,
    dims: Dims,
    volumes: bool = False,
    channels: Channels | None = None,
) -> MeasureRequest:
    """Say what is to be measured; reads no pixels.

    Parameters
    ----------
    labels : Labels
        Whose objects; all its slices.
    image : Image or None
        What they belong to; left out if it is of another size and the labels do not
        tell that they belong to it.
    dims : Dims
        The viewer's: which axes are a plane's.
    volumes : bool
        Measure in three dimensions.
    channels : Channels, optional
        Of the image, for labels that are not ours: a result knows its own.

    Returns
    -------
    MeasureRequest
        For `measure_parts`.

    Raises
    ------
    InputError
        If the layers do not fit, or are too large to be measured here.
    """
    shape = first_scale(labels).shape
    plane = list(plane_axes(labels, dims))
    along = [n for n in range(labels.ndim) if n not in plane and shape[n] > 1]
    letters = _letters([labels.axis_labels[n] for n in along])
    deep = depth_axis(letters)
    depth = along[letters.index(deep)] if volumes and deep else None
    if volumes and depth is None:
        raise InputError(f"{labels.name} has no slices: it has no volumes.")
    measured = [depth, *plane] if depth is not None else plane
    if is_large([shape[n] for n in measured]):
        raise InputError(
            f"{labels.name} is {size_text([shape[n] for n in plane])} pixels, too many "
            "to be measured here: save it and use python -m napari_samsp.measure."
        )
    image, channels = _measured_image(labels, image, dims, channels)
    names = dict(zip(along, slice_names(letters), strict=True))
    parts = tuple(
        Part(
            {names[n]: value for n, value in place},
            tuple(indices),
            _planes_of_image(image, labels, indices, dims, channels),
        )
        for place, indices in _planes_by_part(shape, plane, along, depth).items()
    )
    return MeasureRequest(
        image.name if image is not None else labels.name,
        PlaneReader.of(labels),
        PlaneReader.of(image, channels) if image is not None else None,
        3 if image is not None and image.rgb else 0,
        parts,
        _pixel_size(labels, measured),
        depth is not None,
        {page: classes for page, classes in pages_of(labels) if classes},
    )


def _measured_image(
    labels: Labels, image: Image | None, dims: Dims, channels: Channels | None
) -> tuple[Image | None, Channels | None]:
    """The image whose intensities are measured, and all its channels.

    None for an image of another size than labels that are not ours.

    Raises
    ------
    InputError
        If the image got other pixels since the labels were made of it.
    """
    if image is None:
        return None, None
    source = source_of(labels)
    if source is not None:
        channels = source.channels
        source.check(labels, image)
    else:
        axes = plane_axes(image, dims, channels.axis if channels else None)
        sides = [first_scale(image).shape[n] for n in axes]
        if sides != [first_scale(labels).shape[n] for n in plane_axes(labels, dims)]:
            return None, None
    if channels is not None:
        count = first_scale(image).shape[channels.axis]
        channels = Channels(channels.axis, tuple(range(count)))
    return image, channels


def _planes_by_part(
    shape: Sequence[int],
    plane: Sequence[int],
    along: Sequence[int],
    depth: int | None,
) -> dict[tuple[tuple[int, int], ...], list[PlaneIndex]]:
    """The planes of labels that are measured together.

    Parameters
    ----------
    shape : sequence of int
        Of the labels.
    plane : sequence of int
        The two axes of a plane.
    along : sequence of int
        Axes of several planes.
    depth : int or None
        The one of them along which planes make up a volume.

    Returns
    -------
    dict
        Planes by where the part is: axes of ``along`` and indices on them.
    """
    parts: dict[tuple[tuple[int, int], ...], list[PlaneIndex]] = {}
    for place in product(*(range(shape[n]) for n in along)):
        at = dict(zip(along, place, strict=True))
        where = tuple((n, value) for n, value in at.items() if n != depth)
        index = tuple(None if n in plane else at.get(n, 0) for n in range(len(shape)))
        parts.setdefault(where, []).append(index)
    return parts


def measure_parts(request: MeasureRequest, stop: threading.Event) -> list[Columns]:
    """Measure in a worker's thread.

    Parameters
    ----------
    request : MeasureRequest
        What is measured.
    stop : threading.Event
        Ends it between two parts.

    Returns
    -------
    list of dict
        One table per part, as `napari_samsp.data.tables.object_table.measure` gives it,
        after the columns that say where.

    Raises
    ------
    InputError
        If a slice of the image is of another size than that of the labels.
    """
    tables = []
    for part in request.parts:
        if stop.is_set():
            break
        labels = [as_labels(request.labels(n), request.name) for n in part.labels]
        image = None
        if request.image is not None:
            planes = [request.image(index) for index in part.image]
            if request.colours:
                planes = [plane[..., : request.colours] for plane in planes]
            image = planes
        every = request.classes.get(None, {})
        classes = [request.classes.get(page, {}) | every for page in part.labels]
        table = measure_planes(
            labels, image, request.size, request.volumes, part.where,
            classes if request.classes else None,
        )  # fmt: skip
        tables.append(table)
    return tables


def _letters(labels: Sequence[str]) -> str:
    """A letter for each axis of a stack, by the axis labels that people use."""
    spare = iter(SPARE)
    found = ""
    for label in labels:
        first = {"time": "T", "t": "T", "z": "Z", "depth": "Z"}.get(label.lower(), "")
        found += first if first and first not in found else next(spare)
    return found


def _pixel_size(labels: Labels, axes: Sequence[int]) -> PixelSize:
    sides = tuple(abs(float(labels.scale[n])) for n in axes)
    units = {str(labels.units[n]) for n in axes}
    if len(units) > 1:
        return PixelSize((1.0,) * len(axes))
    unit = units.pop()
    if unit == PIXELS and set(sides) != {1.0}:
        unit = ""  # what a person typed in without a unit
    return PixelSize(sides, unit)


def _planes_of_image(
    image: Image | None,
    labels: Labels,
    indices: Sequence[PlaneIndex],
    dims: Dims,
    channels: Channels | None,
) -> tuple[PlaneIndex, ...]:
    """The planes of the image that planes of its labels lie on.

    Parameters
    ----------
    image : Image or None
        Without one there are no planes.
    labels : Labels
        Its labels.
    indices : sequence of PlaneIndex
        Planes of the labels.
    dims : Dims
        The viewer's: where the layers do not tell, the plane that is shown.
    channels : Channels or None
        Channels of the image that are read.
    """
    if image is None:
        return ()
    source = source_of(labels)
    if source is not None and source.plane is not None:
        return (source.plane,) * len(indices)
    sides, of_labels = first_scale(image).shape, first_scale(labels).shape
    # Axes are counted from the last, as napari places layers of fewer axes.
    extra = image.ndim - labels.ndim
    shown = shown_plane(image, dims, channels)
    planes = []
    for index in indices:
        found = list(shown)
        for axis in range(max(0, extra), image.ndim):
            ours = axis - extra
            if found[axis] is not None and of_labels[ours] == sides[axis]:
                found[axis] = index[ours]
        planes.append(tuple(found))
    return tuple(planes)
