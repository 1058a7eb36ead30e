"""Images of any size: read and segmented tile by tile, labels written row by row.

What is in memory is a strip of tiles, never the image. The work is that of
`napari_samsp.inference.sliding_window.iterate_picture` in another order, and so are the
labels.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.data.blocks import blocks, chunk_sides
from napari_samsp.data.lazy_rgb import LazyRGB
from napari_samsp.data.tiling import Grid
from napari_samsp.inference.object_scale import WORTH_IT
from napari_samsp.inference.results import Written
from napari_samsp.inference.sliding_window import field_of_view
from napari_samsp.inference.stitching import Stitcher
from napari_samsp.inference.tile_encoder import TileEncoder, iterate_tiles
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_samsp.inference.sliding_window import Tiling
    from napari_samsp.self_prompting.model import SelfPrompting
    from napari_samsp.utils.progress import Progress

LARGEST_TILE = 4096
"""Pixels that the model sees at once at most, a side: a strip of them is held."""


def segment_picture_into(
    model: SelfPrompting,
    picture: np.ndarray | LazyRGB,
    outs: Sequence[Any | None],
    tile: Tiling,
    progress: Progress,
    object_size: float | None = None,
) -> list[Written]:
    """Segment a picture and write the labels of some or all iterations.

    Parameters
    ----------
    model : SelfPrompting
        In evaluation mode, on its device.
    picture : numpy.ndarray or LazyRGB
        ``(Y, X, 3)`` uint8, or what gives windows of it.
    outs : sequence of array_like or None
        For each iteration, the prompt-free one first, ``(Y, X)`` integers of at least
        32 bits: zarr, numpy or the like; None if its labels are not wanted. Each that
        is wanted takes a strip of tiles in memory.
    tile : {"auto", "on", "off"} or int
        As for `napari_samsp.inference.sliding_window.iterate_picture`, at most
        `LARGEST_TILE`.
    progress : Progress
        Is told often.
    object_size : float, optional
        Width of a typical object in pixels; default: as ``tile`` says.

    Returns
    -------
    list of Written
        Figures of each iteration that was written.

    Raises
    ------
    InputError
        If one of ``outs`` cannot take the labels.
    """
    started = time.perf_counter()
    shape = (picture.shape[0], picture.shape[1])
    wanted = {t: out for t, out in enumerate(outs) if out is not None}
    for out in wanted.values():
        check_target(out, shape)
    embed = TileEncoder(model, picture)
    with progress.within(model.sam):
        scale = field_of_view(model, embed, tile, object_size)
    size = scale.field_of_view
    if (size or max(shape)) > LARGEST_TILE * WORTH_IT:
        warnings.warn(
            f"The model sees {LARGEST_TILE} pixels at once, not {size or max(shape)}: "
            "a strip of tiles must fit into memory.",
            RuntimeWarning,
            stacklevel=2,
        )
        size = LARGEST_TILE
        scale = replace(scale, field_of_view=size)
    grid = Grid(shape, size)
    missing = picture.missing if isinstance(picture, LazyRGB) else None
    mosaics = {
        t: Stitcher(
            grid, out, model.objects, missing=missing, classes=model.class_labels
        )
        for t, out in wanted.items()
    }
    scores: dict[int, list[float]] = {t: [] for t in wanted}
    for maps in iterate_tiles(
        model,
        embed,
        grid.tiles,
        len(outs),
        one_by_one=False,
        wanted=wanted.keys(),
        progress=progress,
    ):
        mosaics[maps.iteration].add(maps.tile, maps.logits, maps.objects)
        scores[maps.iteration] += maps.scores
    written = []
    for t, mosaic in mosaics.items():
        objects = mosaic.finish(progress.beat)
        agreement = None
        if t - 1 in wanted:
            agreement = _foreground_iou(wanted[t - 1], wanted[t], shape, progress)
        written.append(
            Written(
                iteration=t,
                objects=objects,
                area_fraction=mosaic.foreground / (shape[0] * shape[1]),
                score=float(np.mean(scores[t])) if scores[t] else 0.0,
                iou_to_previous=agreement,
                tiles=len(grid.tiles),
                tile=size or max(shape),
                seconds=time.perf_counter() - started,
                object_classes=mosaic.object_classes,
                scale=scale,
            )
        )
    return written


def _foreground_iou(
    one: Any, other: Any, shape: tuple[int, int], progress: Progress
) -> float:
    """IoU of the foregrounds of two arrays of labels, read in blocks."""
    both = either = 0
    rows, columns = chunk_sides(other) or (1, 1)
    for window in blocks(shape, 4, (rows, columns)):
        progress.beat()
        a, b = np.asarray(one[window]) > 0, np.asarray(other[window]) > 0
        both += int(np.count_nonzero(a & b))
        either += int(np.count_nonzero(a | b))
    return both / either if either else 1.0


def check_target(out: Any, shape: tuple[int, int]) -> None:
    """Raise `InputError` unless ``out`` can take labels of an image of a shape."""
    if tuple(out.shape) != shape:
        raise InputError(
            f"The labels have shape {shape}, but the array to write them to has "
            f"{tuple(out.shape)}."
        )
    dtype = np.dtype(out.dtype)
    if dtype.kind not in "iu" or dtype.itemsize < 4:
        raise InputError(
            f"The array to write labels to holds {dtype}; it must be int32."
        )
