"""COCO's JSON: many images per file, objects as polygons or run lengths."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.data.annotations.json_files import (
    items,
    points,
    read_json,
    whole,
    write_json,
)
from napari_samsp.data.annotations.outlines import (
    Outline,
    fill,
    own_numbers,
    trace,
)
from napari_samsp.data.formats.size_limit import check_size
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def read(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Read the objects of all images.

    Parameters
    ----------
    path : Path
        With ``images`` and ``annotations``.

    Yields
    ------
    tuple
        The image's file name without folder and ending, and ``(Y, X)`` int32 labels:
        the numbers under ``label``, which `write` adds, or else 1, 2, ...

    Raises
    ------
    InputError
        If it cannot be read, or claims more pixels than an image may have.
    """
    content = read_json(path)
    of_image: dict[Any, list[dict[str, Any]]] = {}
    for annotation in items(path, content, "annotations"):
        of_image.setdefault(str(annotation.get("image_id")), []).append(annotation)
    for image in items(path, content, "images"):
        name = str(image.get("file_name", image.get("id"))).replace("\\", "/")
        shape = whole(image.get("height")), whole(image.get("width"))
        if not all(shape):
            raise InputError(f"{path} does not say how large the image {name} is.")
        check_size(path, shape)
        found = of_image.get(str(image.get("id")), [])
        numbers = own_numbers(Outline(whole(one.get("label")), []) for one in found)
        labels = np.zeros(shape, np.int32)
        for number, annotation in zip(numbers, found, strict=True):
            _draw(path, labels, annotation.get("segmentation"), number)
        yield PurePosixPath(name).stem, labels


def write(path: Path, images: Iterable[tuple[str, np.ndarray]]) -> None:
    """Write the objects of images.

    Parameters
    ----------
    path : Path
        Ends in ``.json``.
    images : iterable of tuple
        The image's file name, and ``(Y, X)`` labels. Objects with holes are run
        lengths, since COCO's polygons have none.
    """
    content: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": "object"}],
    }
    for image_id, (name, labels) in enumerate(images, start=1):
        height, width = labels.shape
        content["images"].append(
            {"id": image_id, "file_name": name, "height": height, "width": width}
        )
        for outline in trace(labels):
            corners = np.concatenate([polygon[0] for polygon in outline.polygons])
            low, high = corners.min(axis=0), corners.max(axis=0)
            inside = labels == outline.label
            simple = all(len(polygon) == 1 for polygon in outline.polygons)
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "iscrowd": 0,
                    "label": outline.label,
                    "area": int(np.count_nonzero(inside)),
                    "bbox": [*low.tolist(), *(high - low).tolist()],
                    "segmentation": [p[0].ravel().tolist() for p in outline.polygons]
                    if simple
                    else {"size": [height, width], "counts": run_lengths(inside)},
                }
            )
    write_json(path, content)


def run_lengths(mask: np.ndarray) -> list[int]:
    """Lengths of the runs of a mask, column by column, zeros first."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat, prepend=False, append=not flat[-1]))
    return [int(n) for n in np.diff(changes, prepend=0)]


def unpacked(text: str) -> list[int]:
    """The run lengths in COCO's compressed text: six bits a character.

    Raises
    ------
    ValueError
        If it is broken.
    """
    # pycocotools does this in C, and trusts what it is given.
    counts: list[int] = []
    value = shift = 0
    for code in text.encode("ascii"):
        part = code - 48
        if not 0 <= part < 64 or shift > 60:
            raise ValueError("run lengths are broken")
        value |= (part & 0x1F) << shift
        shift += 5
        if part & 0x20:
            continue
        if part & 0x10:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("run lengths are cut off")
    return counts


def _draw(path: Path, labels: np.ndarray, segmentation: Any, number: int) -> None:
    if isinstance(segmentation, list):
        for polygon in segmentation:
            fill(labels, [points(path, polygon)], number)
    elif isinstance(segmentation, dict):
        labels[_mask(path, segmentation, labels.shape)] = number
    else:
        raise InputError(f"{path} has an annotation without a segmentation.")


def _mask(path: Path, packed: dict[str, Any], shape: tuple[int, ...]) -> np.ndarray:
    if packed.get("size") != list(shape):
        sides = " x ".join(map(str, shape))
        raise InputError(
            f"{path} has run lengths of size {packed.get('size')} in an image of "
            f"{sides}."
        )
    counts = packed.get("counts")
    try:
        runs = np.array(
            unpacked(counts) if isinstance(counts, str) else counts, np.int64
        ).reshape(-1)
        pixels = math.prod(shape)
        if (runs < 0).any() or (runs > pixels).any() or runs.sum() != pixels:
            raise ValueError
    except (ValueError, TypeError, OverflowError, UnicodeEncodeError) as error:
        raise InputError(
            f"{path} has run lengths that do not fill the image."
        ) from error
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(shape, order="F")
