"""The objects of label files, slice by slice or as volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_samsp.data.image_files import as_labels, is_ome_zarr, read_labels
from napari_samsp.data.image_source import StoredImage, open_image
from napari_samsp.data.tables.object_table import CLASS, PixelSize, measure_planes
from napari_samsp.data.training_sets.class_tables import names_beside
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_samsp.data.tables.object_table import Columns
    from napari_samsp.data.training_sets.class_tables import ClassNames
    from napari_samsp.data.training_sets.classes import Classes
    from napari_samsp.data.voxel_size import VoxelSize


def measure_file(
    labels: Path,
    image: Path | None = None,
    *,
    volumes: bool = False,
    axes: str | None = None,
    voxels: VoxelSize | None = None,
    classes: Classes | None = None,
    names: ClassNames | None = None,
) -> Iterator[Columns]:
    """Measure the objects of a file.

    Parameters
    ----------
    labels : Path
        TIFF, PNG or OME-Zarr of labels, of any number of axes.
    image : Path, optional
        Of the same axes, besides channels.
    volumes : bool
        Measure in three dimensions, along Z or else the last axis of the stack that is
        not time; otherwise each slice is measured on its own.
    axes : str, optional
        Of the image, instead of what its file says.
    voxels : VoxelSize, optional
        Instead of what the labels, or else the image, tell.
    classes : Classes, optional
        What the ``classes.json`` of the labels says. It, and a table beside the labels,
        tell their names, see `class_tables.names_beside`.
    names : ClassNames, optional
        Names of the classes, instead; without any, labels have no classes.

    Yields
    ------
    dict
        As `object_table.measure`, after ``time`` and ``slice`` where there are any;
        a slice, or a volume, at a time. Where labels have classes there is a column
        ``class`` of their names.

    Raises
    ------
    InputError
        If a file cannot be read, holds no labels, or does not fit the other; if a label
        has no class in the files that tell classes.
    """
    with open_image(labels) as stored:
        told = stored.voxels
        if not stored.plane_axes and not is_ome_zarr(labels):
            # As a mask: the indices of a palette are labels.
            stored = StoredImage(read_labels(labels), "YX", told)
        if names is None:
            names = names_beside(labels, classes, len(stored.plane_axes))
        if image is None:
            yield from _of_stored(stored, None, labels, volumes, voxels or told, names)
            return
        with open_image(image, axes) as pixels:
            told = voxels or (told if told.scale else pixels.voxels)
            yield from _of_stored(stored, pixels, labels, volumes, told, names)


def _of_stored(
    labels: StoredImage,
    image: StoredImage | None,
    path: Path,
    volumes: bool,
    voxels: VoxelSize,
    names: ClassNames | None,
) -> Iterator[Columns]:
    # What is of one size has one meaning: an image's file may name its axes better.
    axes = image.plane_axes if image is not None else labels.plane_axes
    if image is not None and image.labels_shape != labels.labels_shape:
        ours, theirs = (" x ".join(map(str, a.labels_shape)) for a in (labels, image))
        raise InputError(f"The labels {path} are {ours} but the image is {theirs}.")
    depth = depth_axis(axes)
    if volumes and not depth:
        raise InputError(f"{path} has no slices: measure it without --volumes.")
    size = PixelSize.of(voxels, "ZYX" if volumes else "YX")
    channels = None if image is None else range(image.channel_count)
    for where, indices in _groups(labels, axes, depth if volumes else ""):
        planes = [
            as_labels(np.asarray(labels.plane(index)[0]), str(path))
            for index in indices
        ]
        found = None
        if image is not None:
            found = [np.asarray(image.plane(index, channels)[0]) for index in indices]
        known = None
        if names is not None and names.by_plane:
            known = [names.of_plane(index) for index in indices]
        table = measure_planes(planes, found, size, volumes, where, known)
        if names is not None and known is not None:
            names.check(table["label"].tolist(), table[CLASS].tolist())
        yield table


def _groups(
    labels: StoredImage, axes: str, depth: str
) -> Iterator[tuple[dict[str, int], list[tuple[int, ...]]]]:
    """The planes that are measured together, and where they are."""
    names = slice_names(axes)
    groups: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    kept = [n for n, axis in enumerate(axes) if axis != depth]
    for index in labels.planes():
        groups.setdefault(tuple(index[n] for n in kept), []).append(index)
    for place, indices in groups.items():
        yield dict(zip((names[n] for n in kept), place, strict=True)), indices


def slice_names(axes: Sequence[str]) -> list[str]:
    """Columns for the axes of a stack: ``time``, ``slice``, or ``axis_`` and a letter.

    Parameters
    ----------
    axes : sequence of str
        Letters, such as ``"TZ"``. Without a Z, the last that is not T is the slice.
    """
    depth = depth_axis(axes)
    known = {"T": "time", depth: "slice"}
    return [known.get(axis, f"axis_{axis.lower()}") for axis in axes]


def depth_axis(axes: Sequence[str]) -> str:
    """The axis that volumes lie along: Z, else the last that is not T; or nothing."""
    if "Z" in axes:
        return "Z"
    return next((axis for axis in reversed(axes) if axis != "T"), "")
