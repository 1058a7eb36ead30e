"""The objects of label images as rows of a table: size, shape, place and intensity."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.data.training_sets.class_election import ClassElection
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_samsp.data.voxel_size import VoxelSize

Columns = dict[str, np.ndarray]
"""A table: arrays of one length by column name."""

PIXELS = "pixel"
AXES = "zyx"
CLASS = "class"
"""The column of the names of classes, empty where an object has none."""
INTENSITIES = {
    "mean_intensity": "intensity_mean",
    "std_intensity": "intensity_std",
    "min_intensity": "intensity_min",
    "max_intensity": "intensity_max",
}
"""Our columns by scikit-image's properties; of several channels ``_0``, ``_1``, ..."""


@dataclass(frozen=True)
class PixelSize:
    """How large a pixel is.

    Attributes
    ----------
    sides : tuple of float
        Along the axes of what is measured: Y and X, or Z, Y and X.
    unit : str
        UDUNITS name, such as ``micrometer``; empty if the file gives a size without a
        unit; `PIXELS` if nothing is known.
    """

    sides: tuple[float, ...]
    unit: str = PIXELS

    @classmethod
    def of(cls, voxels: VoxelSize, axes: str) -> PixelSize:
        """What a file tells, for the axes that are measured, such as ``"YX"``.

        Without a size for every axis, or with a different unit for each, lengths stay
        in pixels.
        """
        units = {voxels.units.get(axis, "") for axis in axes}
        if not all(axis in voxels.scale for axis in axes) or len(units) > 1:
            return cls((1.0,) * len(axes))
        return cls(tuple(voxels.scale[axis] for axis in axes), units.pop())


def measure(
    labels: np.ndarray, image: np.ndarray | None = None, size: PixelSize | None = None
) -> Columns:
    """Measure the objects of a label image.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(Y, X)`` or ``(Z, Y, X)`` integers, 0 = background.
    image : numpy.ndarray, optional
        Of the same shape, or with channels as an additional last axis. Values that are
        not finite are left out.
    size : PixelSize, optional
        Physical size of a pixel; default: everything is in pixels.

    Returns
    -------
    dict
        A column each: ``label``, ``unit``, ``area`` (``volume`` of volumes) and other
        lengths in that unit, and in pixels with ``_px`` appended. A value that is not
        defined is NaN, such as the perimeter where pixels are not square.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    from skimage.measure import regionprops_table

    dimensions = labels.ndim
    size = size or PixelSize((1.0,) * dimensions)
    flat = dimensions == 2
    if image is not None and image.shape[:dimensions] != labels.shape:
        ours, theirs = (" x ".join(map(str, a.shape)) for a in (labels, image))
        raise InputError(f"The labels are {ours} but the image is {theirs}.")
    wanted = ["label", "area", "euler_number", "centroid", "bbox"]
    shape = ["equivalent_diameter_area", "axis_major_length", "axis_minor_length"]
    planar = ["perimeter", "eccentricity", "solidity"] if flat else []
    found = regionprops_table(labels, properties=[*wanted, *shape, *planar])
    square = len(set(size.sides)) == 1
    side = size.sides[0]
    real = found
    if not square:
        real = regionprops_table(
            labels,
            properties=["label", *shape, *planar[1:2]],
            spacing=size.sides,
        )
        side = 1.0
    count = len(found["label"])
    table: Columns = {
        "label": found["label"].astype(np.int64),
        "unit": np.full(count, size.unit, dtype=object),
    }
    extent = "area" if flat else "volume"
    table[extent] = found["area"] * np.prod(size.sides)
    table[f"{extent}_px"] = found["area"].astype(np.int64)
    if flat:
        perimeter = found["perimeter"]
        table["perimeter"] = perimeter * side if square else np.full(count, np.nan)
        table["perimeter_px"] = perimeter
    names = ("equivalent_diameter", "major_axis", "minor_axis")
    for name, key in zip(names, shape, strict=True):
        table[name] = real[key] * side
        table[f"{name}_px"] = found[key]
    if flat:
        table["eccentricity"] = real["eccentricity"]
        table["solidity"] = found["solidity"]
    else:
        table["solidity"] = _solidity(labels)
    table["euler_number"] = found["euler_number"]
    axes = AXES[-dimensions:]
    for n, (axis, length) in enumerate(zip(axes, size.sides, strict=True)):
        table[f"centroid_{axis}"] = found[f"centroid-{n}"] * length
    for n, axis in enumerate(axes):
        table[f"centroid_{axis}_px"] = found[f"centroid-{n}"]
    for n, (end, axis) in enumerate(product("01", axes)):
        table[f"bbox_{axis}{end}"] = found[f"bbox-{n}"]
    if image is not None:
        table |= _intensities(labels, image, table["label"])
    return table


def measure_planes(
    labels: Sequence[np.ndarray],
    image: Sequence[np.ndarray] | None,
    size: PixelSize,
    volume: bool,
    where: Mapping[str, int],
    classes: Sequence[Mapping[int, str]] | None = None,
) -> Columns:
    """Measure the objects of a slice, or of the slices of one volume.

    Parameters
    ----------
    labels, image : sequence of numpy.ndarray
        As for `measure`, slice by slice; one of each unless it is a volume.
    size : PixelSize
        Along the axes that are measured.
    volume : bool
        Whether the slices are stacked.
    where : mapping
        Columns that come first, with the value of all rows, such as ``slice``.
    classes : sequence of mapping, optional
        Names of the classes by label, slice by slice. A volume whose slices disagree is
        of the class of most of its voxels.

    Returns
    -------
    dict
        Columns, as `measure` gives them.
    """

    def whole(planes: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack(planes) if volume else planes[0]

    found = measure(whole(labels), None if image is None else whole(image), size)
    numbers = found["label"]
    first: Columns = {n: np.full(len(numbers), value) for n, value in where.items()}
    if classes is not None:
        first["label"] = numbers
        first[CLASS] = _class_names(numbers, labels, classes)
    return first | found


def _class_names(
    numbers: np.ndarray,
    planes: Sequence[np.ndarray],
    classes: Sequence[Mapping[int, str]],
) -> np.ndarray:
    names = classes[0]
    if len(planes) > 1:
        election = ClassElection[str]()
        for plane, known in zip(planes, classes, strict=True):
            names = election.count(plane, known)
    return np.array([names.get(label, "") for label in numbers.tolist()], object)


def _solidity(labels: np.ndarray) -> np.ndarray:
    """Of volumes; what has no volume, such as a single slice of one, has none."""
    from skimage.measure import regionprops

    def of(region: Any) -> float:
        if min(region.image.shape) < 2:
            return float("nan")
        with warnings.catch_warnings():
            # Of an object within a plane, which has no convex hull.
            warnings.simplefilter("ignore")
            hull = np.count_nonzero(region.image_convex)
        return float(region.area / hull) if hull else float("nan")

    return np.array([of(region) for region in regionprops(labels)], dtype=float)


def _intensities(labels: np.ndarray, image: np.ndarray, numbers: np.ndarray) -> Columns:
    """Channel by channel, so that a large image is not held as floats as a whole."""
    from skimage.measure import regionprops_table

    several = image.ndim > labels.ndim
    channels = np.moveaxis(image, -1, 0) if several else [image]
    table: Columns = {}
    for n, channel in enumerate(channels):
        known = labels
        if channel.dtype.kind == "f":
            known = np.where(np.isfinite(channel), labels, 0)
        values = regionprops_table(
            known,
            channel.astype(np.uint8) if channel.dtype == bool else channel,
            properties=["label", *INTENSITIES.values()],
        )
        at = np.searchsorted(numbers, values["label"])
        for name, key in INTENSITIES.items():
            column = np.full(len(numbers), np.nan)
            column[at] = values[key]
            table[f"{name}_{n}" if several else name] = column
    return table
