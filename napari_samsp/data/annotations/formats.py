"""Which format a file is of, and its labels, whatever that is."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_samsp.data.annotations import (
    cellpose,
    coco,
    geojson,
    imagej,
    labelme,
    yolo,
)
from napari_samsp.data.annotations.json_files import read_json
from napari_samsp.data.image_files import as_labels, is_ome_zarr, read_labels
from napari_samsp.data.image_source import open_image
from napari_samsp.data.label_files import write_ome_zarr, write_tiff
from napari_samsp.data.voxel_size import VoxelSize
from napari_samsp.utils.atomic_files import write_atomically
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.file_names import image_stem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ENDINGS = {
    "imagej-roi": ".zip",
    "geojson": ".geojson",
    "coco": ".json",
    "labelme": ".json",
    "yolo": ".txt",
    "tiff": ".tif",
    "png": ".png",
    "ome-zarr": ".ome.zarr",
}
"""Ending of each format that is written."""
_BY_SUFFIX = {
    ".zip": "imagej-roi",
    ".roi": "imagej-roi",
    ".geojson": "geojson",
    ".npy": "cellpose",
    ".txt": "yolo",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".png": "png",
}
LABEL_IMAGES = ("tiff", "png", "ome-zarr")
_NO_LABELS = ("classes.txt", "labels.txt", "readme.txt")
"""Beside YOLO's files."""


def format_of(path: Path) -> str | None:
    """Tell the format of a file by its name and, of JSON, its content.

    Parameters
    ----------
    path : Path
        A file, or the folder of an OME-Zarr.

    Returns
    -------
    str or None
        A key of `ENDINGS`, or ``cellpose``; None for what is none of these.

    Raises
    ------
    InputError
        If it is a broken JSON file.
    """
    if is_ome_zarr(path):
        return "ome-zarr"
    if not path.is_file() or path.name.lower() in _NO_LABELS:
        return None
    suffix = path.suffix.lower()
    return _json_format(path) if suffix == ".json" else _BY_SUFFIX.get(suffix)


def read(
    path: Path, form: str, shape_of: Callable[[str], tuple[int, int]]
) -> Iterator[tuple[str, np.ndarray]]:
    """Read the labels of a file.

    Parameters
    ----------
    path : Path
        A file of that format.
    form : str
        From `format_of`.
    shape_of : callable
        Gives the height and width of an image by its name, for formats that do not
        tell it.

    Yields
    ------
    tuple
        Name of the image, and ``(Y, X)`` int32 labels.

    Raises
    ------
    InputError
        If it cannot be read, or holds a stack.
    """
    name = image_stem(path.stem.removesuffix(".ome"))
    if form == "coco":
        yield from coco.read(path)
    elif form == "labelme":
        yield name, labelme.read(path)
    elif form == "cellpose":
        yield name, as_labels(cellpose.read(path), str(path))
    elif form in LABEL_IMAGES:
        yield name, _label_image(path)
    else:
        known = {"imagej-roi": imagej.read, "geojson": geojson.read, "yolo": yolo.read}
        yield name, known[form](path, shape_of(name))


def write(path: Path, form: str, labels: np.ndarray, image: str) -> None:
    """Write labels in a format that another program reads.

    Parameters
    ----------
    path : Path
        The file, with the ending of the format.
    form : str
        A key of `ENDINGS`, besides ``coco``, whose files hold many images.
    labels : numpy.ndarray
        ``(Y, X)`` int32.
    image : str
        File name of the image.

    Raises
    ------
    InputError
        If the format cannot hold so many objects.
    """
    if form == "tiff":
        write_tiff(path, labels, "YX", VoxelSize())
    elif form == "ome-zarr":
        write_ome_zarr(path, labels, "YX", VoxelSize())
    elif form == "png":
        _write_png(path, labels)
    elif form == "labelme":
        labelme.write(path, labels, image)
    else:
        known = {
            "imagej-roi": imagej.write,
            "geojson": geojson.write,
            "yolo": yolo.write,
        }
        known[form](path, labels)


def _json_format(path: Path) -> str | None:
    content = read_json(path)
    if isinstance(content, list):
        return "geojson"
    if not isinstance(content, dict):
        return None
    if "annotations" in content and "images" in content:
        return "coco"
    if "shapes" in content:
        return "labelme"
    kinds = ("FeatureCollection", "Feature", "Polygon", "MultiPolygon")
    return "geojson" if content.get("type") in kinds else None


def _label_image(path: Path) -> np.ndarray:
    with open_image(path) as stored:
        if stored.plane_axes:
            raise InputError(
                f"{path} is a stack, which these formats do not hold: save its slices "
                "as files of their own."
            )
        if not is_ome_zarr(path):
            return read_labels(path)
        return as_labels(np.asarray(stored.plane(())[0]), str(path))


def _write_png(path: Path, labels: np.ndarray) -> None:
    if labels.max(initial=0) > np.iinfo(np.uint16).max:
        raise InputError(
            f"{path.name} would need labels above 65535, which a PNG cannot hold: "
            "convert to tiff."
        )
    buffer = BytesIO()
    Image.fromarray(labels.astype(np.uint16)).save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())
