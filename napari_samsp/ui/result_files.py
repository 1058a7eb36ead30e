"""Images and the labels that ``predict`` wrote of them, as layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samsp.batch.manifest import MANIFEST_FILE, read_manifest
from napari_samsp.data.image_files import is_ome_zarr
from napari_samsp.data.image_source import is_large, open_image
from napari_samsp.ui.widgets.plain_text import show_info
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from napari_samsp.data.image_source import StoredImage

LayerData = tuple[Any, dict[str, Any], str]
MOST_IMAGES = 25
"""More images at once would bury the layer list."""


def read_results(folder: Path) -> list[LayerData]:
    """Read what ``predict`` did: each image with its labels, in their voxel size.

    Parameters
    ----------
    folder : Path
        Its output, with a manifest.

    Returns
    -------
    list of tuple
        Of `MOST_IMAGES` at most; only the first image and the last iteration of it
        are visible. What cannot be shown is told.

    Raises
    ------
    InputError
        If nothing can be shown.
    """
    done = [line for line in read_manifest(folder) if line.get("status") == "done"]
    if not done:
        raise InputError(f"{folder / MANIFEST_FILE} names no image that is done.")
    layers: list[LayerData] = []
    problems = []
    for line in done[:MOST_IMAGES]:
        try:
            layers += _layers(folder, line, visible=not layers)
        except InputError as error:
            problems.append(str(error))
    if not layers:
        raise InputError(problems[0])
    if problems:
        show_info(f"{len(problems)} images are not shown: {problems[0]}")
    if len(done) > MOST_IMAGES:
        show_info(
            f"{folder} holds labels of {len(done)} images: the first {MOST_IMAGES} are "
            "shown."
        )
    return layers


_ENDINGS = (".ome.zarr", ".nii.gz", ".tif")


def _layers(folder: Path, line: dict[str, Any], visible: bool) -> list[LayerData]:
    settings = line.get("settings")
    axes = settings.get("axes") if isinstance(settings, dict) else None
    image = Path(str(line.get("image")))
    files = _files(folder, line)
    series = settings.get("series") if isinstance(settings, dict) else None
    pixels, options = _read(
        image,
        axes if isinstance(axes, str) else None,
        series if isinstance(series, int) else None,
    )
    layers: list[LayerData] = [
        (pixels, {**options, "name": image.name, "visible": visible}, "image")
    ]
    # Those of the last iteration by its own name lie on top.
    for file in (*files[1:], files[0]):
        labels, options = _read(file)
        name = (
            file.name.removesuffix(".ome.zarr")
            .removesuffix(".nii.gz")
            .removesuffix(".tif")
        )
        layers.append((labels, {**options, "name": name, "visible": False}, "labels"))
    layers[-1][1]["visible"] = visible
    return layers


def _files(folder: Path, line: dict[str, Any]) -> list[Path]:
    files = line.get("files")
    found = [folder / str(file) for file in files] if isinstance(files, list) else []
    inside = folder.resolve()
    for path in found:
        if not path.resolve().is_relative_to(inside):
            raise InputError(f"{path} is outside of {folder}: it is not read.")
    if not found:
        name = json.dumps(line.get("name"))
        raise InputError(f"{folder / MANIFEST_FILE} names no labels of {name}.")
    return found


def _read(
    path: Path, axes: str | None = None, series: int | None = None
) -> tuple[Any, dict[str, Any]]:
    """An image file's pixels, and where they lie."""
    with open_image(path, axes, series=series) as stored:
        if is_large(stored.array.shape) and not is_ome_zarr(path):
            raise InputError(f"{path} is too large to be read as a whole: open it.")
        order = [stored.axes.index(axis) for axis in stored.labels_axes]
        options = placement(stored)
        if channels := stored.channel_axis:
            order.append(stored.axes.index(channels))
            rgb = channels == "S" and stored.array.shape[order[-1]] in (3, 4)
            options |= {"rgb": True} if rgb else {"channel_axis": -1}
        return stored.array.transpose(order), options


def placement(stored: StoredImage) -> dict[str, Any]:
    """Where the labels of an image lie, as keyword arguments of a layer."""
    axes, voxels = stored.labels_axes, stored.voxels
    return {
        "scale": [voxels.scale.get(axis, 1.0) for axis in axes],
        "translate": [voxels.origin.get(axis, 0.0) for axis in axes],
        "units": [voxels.units.get(axis, "pixel") for axis in axes],
        "axis_labels": [axis.lower() for axis in axes],
    }
