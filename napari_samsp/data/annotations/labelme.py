"""labelme's JSON: polygons, and masks where an object has holes."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from napari_samsp.data.annotations.json_files import (
    items,
    points,
    read_json,
    whole,
    write_json,
)
from napari_samsp.data.annotations.outlines import Outline, fill, trace
from napari_samsp.data.formats.size_limit import check_size
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.notes import tell

if TYPE_CHECKING:
    from pathlib import Path

LABEL = "object"


def read(path: Path) -> np.ndarray:
    """Read the areas of an image.

    Parameters
    ----------
    path : Path
        With ``shapes``, ``imageHeight`` and ``imageWidth``.

    Returns
    -------
    numpy.ndarray
        ``(Y, X)`` int32. Shapes of one group are one object; groups with numbers have
        these as labels, others are numbered after them.

    Raises
    ------
    InputError
        If it cannot be read, or claims more pixels than an image may have.
    """
    content = read_json(path)
    shapes = items(path, content, "shapes")
    size = whole(content.get("imageHeight")), whole(content.get("imageWidth"))
    if not all(size):
        raise InputError(f"{path} does not say how large the image is.")
    check_size(path, size)
    groups = [whole(shape.get("group_id")) for shape in shapes]
    spare = max(groups, default=0)
    labels = np.zeros(size, np.int32)
    others = 0
    for shape, group in zip(shapes, groups, strict=True):
        number = group
        if not group:
            spare = number = spare + 1
        if not _draw(path, labels, shape, number):
            others += 1
            spare -= 0 if group else 1
    if others:
        tell(f"{path}: {others} shapes that are no areas, such as lines, are left out.")
    return labels


def write(path: Path, labels: np.ndarray, image: str) -> None:
    """Write labels as polygons; those with holes as masks, as labelme 5.3 has them.

    Parameters
    ----------
    path : Path
        Ends in ``.json``.
    labels : numpy.ndarray
        ``(Y, X)`` integers.
    image : str
        File name of the image, which labelme looks for beside the file.
    """
    shapes: list[dict[str, Any]] = []
    for outline in trace(labels):
        common = {
            "label": LABEL,
            "group_id": outline.label,
            "description": "",
            "flags": {},
        }
        if all(len(polygon) == 1 for polygon in outline.polygons):
            shapes += [
                common | {"shape_type": "polygon", "points": polygon[0].tolist()}
                for polygon in outline.polygons
            ]
        else:
            shapes.append(common | _mask(labels, outline))
    height, width = labels.shape
    write_json(
        path,
        {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": image,
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        },
    )


def _mask(labels: np.ndarray, outline: Outline) -> dict[str, Any]:
    corners = np.concatenate([polygon[0] for polygon in outline.polygons])
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    inside = labels[top:bottom, left:right] == outline.label
    buffer = BytesIO()
    Image.fromarray(inside.astype(np.uint8) * 255).convert("1").save(buffer, "PNG")
    return {
        "shape_type": "mask",
        "points": [[int(left), int(top)], [int(right) - 1, int(bottom) - 1]],
        "mask": base64.b64encode(buffer.getvalue()).decode(),
    }


def _draw(path: Path, labels: np.ndarray, shape: dict[str, Any], number: int) -> bool:
    """Draw a shape; False if it is no area."""
    kind = shape.get("shape_type", "polygon")
    if kind not in ("polygon", "rectangle", "circle", "mask"):
        return False
    corners = points(path, shape.get("points"))
    if kind == "polygon":
        fill(labels, [corners], number)
        return True
    if len(corners) < 2:
        raise InputError(f"{path} has a {kind} of fewer than two points.")
    first, second = corners[0], corners[1]
    if kind == "rectangle":
        (x0, y0), (x1, y1) = first, second
        fill(labels, [np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])], number)
    elif kind == "circle":
        angles = np.linspace(0, 2 * np.pi, 129)[:-1]
        radius = np.hypot(*(second - first))
        ring = first + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        fill(labels, [ring], number)
    else:
        _paste(path, labels, shape.get("mask"), first, number)
    return True


def _paste(
    path: Path, labels: np.ndarray, packed: Any, corner: np.ndarray, number: int
) -> None:
    try:
        data = BytesIO(base64.b64decode(str(packed), validate=True))
        with Image.open(data, formats=["PNG"]) as picture:
            check_size(path, picture.size[::-1])
            mask = np.asarray(picture.convert("L")) > 0
    except InputError:
        raise
    except Exception as error:  # Pillow raises many kinds
        raise InputError(f"{path} has a mask that is no picture: {error}.") from error
    left, top = (int(n) for n in np.clip(np.round(corner), -(2**31), 2**31))
    rows = slice(max(top, 0), max(min(top + mask.shape[0], labels.shape[0]), 0))
    cols = slice(max(left, 0), max(min(left + mask.shape[1], labels.shape[1]), 0))
    part = mask[
        rows.start - top : rows.stop - top, cols.start - left : cols.stop - left
    ]
    labels[rows, cols][part] = number
