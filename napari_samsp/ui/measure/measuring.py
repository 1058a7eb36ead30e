"""What is measured of a Labels layer, and how the layer gets to know it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from napari.layers import Image, Labels

from napari_samsp.data.image_files import as_labels
from napari_samsp.data.image_source import is_large
from napari_samsp.data.tables.object_files import depth_axis, slice_names
from napari_samsp.data.tables.object_table import (
    CLASS,
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
from napari_samsp.ui.widgets.layer_features import put_columns
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
        One a slice, or a volume.
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
    plane = plane_axes(labels, dims)
    along = [n for n in range(labels.ndim) if n not in plane and shape[n] > 1]
    letters = _letters([labels.axis_labels[n] for n in along])
    deep = depth_axis(letters)
    depth = along[letters.index(deep)] if volumes and deep else None
    if volumes and depth is None:
        raise InputError(f"{labels.name} has no slices: it has no volumes.")
    pixels = [shape[n] for n in plane]
    if is_large([*pixels, shape[depth]] if depth is not None else pixels):
        raise InputError(
            f"{labels.name} is {size_text(pixels)} pixels, too many to be measured "
            "here: save it and use python -m napari_samsp.measure."
        )
    source = source_of(labels)
    if image is not None and source is None:
        axes = plane_axes(image, dims, channels.axis if channels else None)
        fits = [first_scale(image).shape[n] for n in axes] == pixels
        image = image if fits else None
    if image is not None and source is not None:
        channels = source.channels
        source.check(labels, image)
    names = dict(zip(along, slice_names(letters), strict=True))
    groups: dict[tuple[int, ...], list[PlaneIndex]] = {}
    outer = [n for n in along if n != depth]
    for place in product(*(range(shape[n]) for n in along)):
        at = dict(zip(along, place, strict=True))
        index = tuple(None if n in plane else at.get(n, 0) for n in range(labels.ndim))
        groups.setdefault(tuple(at[n] for n in outer), []).append(index)
    reader = None
    if image is not None:
        if channels is not None:
            count = first_scale(image).shape[channels.axis]
            channels = Channels(channels.axis, tuple(range(count)))
        reader = PlaneReader.of(image, channels)
    fixed = source.plane if source is not None else None
    parts = tuple(
        Part(
            dict(zip((names[n] for n in outer), place, strict=True)),
            tuple(indices),
            tuple(
                _plane_of_image(image, labels, index, fixed, dims, channels)
                for index in indices
            )
            if image is not None
            else (),
        )
        for place, indices in groups.items()
    )
    measured = ([depth] if depth is not None else []) + list(plane)
    return MeasureRequest(
        image.name if image is not None else labels.name,
        PlaneReader.of(labels),
        reader,
        3 if image is not None and image.rgb else 0,
        parts,
        _pixel_size(labels, measured),
        depth is not None,
        {page: classes for page, classes in pages_of(labels) if classes},
    )


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
        A table a part, as `napari_samsp.data.tables.object_table.measure` gives it,
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


# Which columns of a layer's features are ours, and may be replaced.
_ours: WeakKeyDictionary[Labels, frozenset[str]] = WeakKeyDictionary()


def show_features(labels: Labels, tables: Sequence[Columns], where: int = 0) -> None:
    """Let a layer know its objects: napari shows them in tooltips and in its table.

    Parameters
    ----------
    labels : Labels
        Its features get a column ``index`` of the label; columns of others stay.
    tables : sequence of dict
        From `measure_parts`, at least one.
    where : int
        Which of them counts for a label that is in several.
    """
    import pandas as pd

    # The class is not ours: it may have changed since.
    frames = [
        pd.DataFrame({k: v for k, v in table.items() if k != CLASS})
        for table in (tables[where], *tables)
    ]
    found = pd.concat([frame for frame in frames if len(frame)] or frames[:1])
    found = found.drop_duplicates("label").rename(columns={"label": "index"})
    names = frozenset(found.columns) - {"index"}
    put_columns(labels, found, _ours.get(labels, frozenset()))
    _ours[labels] = names


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


def _plane_of_image(
    image: Image,
    labels: Labels,
    index: PlaneIndex,
    fixed: PlaneIndex | None,
    dims: Dims,
    channels: Channels | None,
) -> PlaneIndex:
    """The plane of the image that a plane of its labels lies on.

    Parameters
    ----------
    image, labels : layers
        The layers whose planes are matched.
    index : PlaneIndex
        Index of a plane of the labels.
    fixed : PlaneIndex or None
        The image's, if the labels are those of a single plane.
    dims : Dims
        The viewer's: where the layers do not tell, the plane that is shown.
    channels : Channels or None
        Channels of the image that are read.
    """
    if fixed is not None:
        return fixed
    sides, of_labels = first_scale(image).shape, first_scale(labels).shape
    # Axes are counted from the last, as napari places layers of fewer axes.
    extra = image.ndim - labels.ndim
    found = list(shown_plane(image, dims, channels))
    for axis in range(max(0, extra), image.ndim):
        ours = axis - extra
        if found[axis] is not None and of_labels[ours] == sides[axis]:
            found[axis] = index[ours]
    return tuple(found)
