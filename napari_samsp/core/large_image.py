"""Images of any size: read and segmented tile by tile, labels written row by row.

What is in memory is a strip of tiles, never the image. The work is that of
`napari_samsp.core.inference.iterate_picture` in another order, and so are the labels.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.core.closer_look import WORTH_IT
from napari_samsp.core.errors import InputError
from napari_samsp.core.inference import field_of_view
from napari_samsp.core.mosaic import Mosaic
from napari_samsp.core.tile_run import Encoder, iterate_tiles
from napari_samsp.core.tiles import Grid

if TYPE_CHECKING:
    from napari_samsp.core.inference import Tiling
    from napari_samsp.core.picture import Picture
    from napari_samsp.core.progress import Progress
    from napari_samsp.core.self_prompting import SelfPrompting

LARGEST_TILE = 4096
"""Pixels that the model sees at once at most, a side: a strip of them is held."""


@dataclass(frozen=True)
class Written:
    """What was written about a large image.

    Attributes
    ----------
    iteration : int
        The last one, from 0.
    objects : int
        How many labels there are.
    area_fraction : float
        Part of the image that is foreground.
    score : float
        SAM's predicted IoU, the mean over tiles or objects.
    tiles : int
        How many.
    tile : int
        Side of the tiles in pixels: so much the model saw at once.
    seconds : float
        It took so long.
    """

    iteration: int
    objects: int
    area_fraction: float
    score: float
    tiles: int
    tile: int
    seconds: float


def segment_picture_into(
    model: SelfPrompting,
    picture: np.ndarray | Picture,
    out: Any,
    iterations: int,
    tile: Tiling,
    progress: Progress,
) -> Written:
    """Segment a picture and write the labels of the last iteration.

    Parameters
    ----------
    model : SelfPrompting
        In evaluation mode, on its device.
    picture : numpy.ndarray or Picture
        ``(Y, X, 3)`` uint8, or what gives windows of it.
    out : array_like
        ``(Y, X)`` integers of at least 32 bits: zarr, numpy or the like.
    iterations : int
        How many, the prompt-free one included.
    tile : {"auto", "on", "off"} or int
        As for `napari_samsp.core.inference.iterate_picture`, at most `LARGEST_TILE`.
    progress : Progress
        Is told often.

    Returns
    -------
    Written
        Figures of the result.

    Raises
    ------
    InputError
        If ``out`` cannot take the labels.
    """
    started = time.perf_counter()
    shape = (picture.shape[0], picture.shape[1])
    check_target(out, shape)
    embed = Encoder(model, picture)
    with progress.within(model.sam):
        size = field_of_view(model, embed, shape, tile)
    if (size or max(shape)) > LARGEST_TILE * WORTH_IT:
        warnings.warn(
            f"The model sees {LARGEST_TILE} pixels at once, not {size or max(shape)}: "
            "a strip of tiles must fit into memory.",
            RuntimeWarning,
            stacklevel=2,
        )
        size = LARGEST_TILE
    grid = Grid(shape, size)
    last = iterations - 1
    mosaic = Mosaic(grid, out, model.objects)
    total, count = 0.0, 0
    for maps in iterate_tiles(
        model,
        embed,
        grid.tiles,
        iterations,
        one_by_one=False,
        wanted=(last,),
        progress=progress,
    ):
        mosaic.add(maps.tile, maps.logits, maps.objects)
        total += sum(maps.scores)
        count += len(maps.scores)
    objects = mosaic.finish(progress.beat)
    return Written(
        iteration=last,
        objects=objects,
        area_fraction=mosaic.foreground / (shape[0] * shape[1]),
        score=total / count if count else 0.0,
        tiles=len(grid.tiles),
        tile=size or max(shape),
        seconds=time.perf_counter() - started,
    )


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
