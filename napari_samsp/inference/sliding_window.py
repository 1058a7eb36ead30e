"""From an 8-bit picture to labels: tiles, iterations, and full-size masks.

Pictures in memory and images of any size go through the same window. They differ in
their sink: what keeps whole iterations in memory gets one after the other, from
embeddings that are kept meanwhile; what takes labels strip by strip gets all iterations
of a row of tiles before the next row is read.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from napari_samsp.data.lazy_rgb import LazyRGB
from napari_samsp.data.tiling import Grid
from napari_samsp.inference.scale.field_of_view import field_of_view
from napari_samsp.inference.scale.object_scale import WORTH_IT
from napari_samsp.inference.sinks import Stitched
from napari_samsp.inference.stitching import Stitcher
from napari_samsp.inference.tile_encoder import (
    EMBEDDINGS_BYTES,
    TileEncoder,
    inference,
    iterate_tiles,
)
from napari_samsp.utils.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

    from napari_samsp.data.tiling import Tile
    from napari_samsp.inference.embedding_cache import ModelCache
    from napari_samsp.inference.results import Iteration
    from napari_samsp.inference.scale.field_of_view import Tiling
    from napari_samsp.inference.scale.object_scale import ObjectScale
    from napari_samsp.inference.sinks import Sink
    from napari_samsp.inference.tile_encoder import TileMaps
    from napari_samsp.self_prompting.model import SelfPrompting

AHEAD = 4
"""What is embedded ahead of time takes at most this part of the cache's memory, so that
it does not drive out what is in use."""
LARGEST_TILE = 4096
"""Pixels, along a side, that the model sees at once at most of a strip of tiles."""

R = TypeVar("R")


def iterate_picture(
    model: SelfPrompting,
    picture: np.ndarray | LazyRGB,
    sink: Sink[R],
    tile: Tiling = "auto",
    progress: Progress | None = None,
    cache: ModelCache | None = None,
    before: Iteration | None = None,
    object_size: float | None = None,
) -> Iterator[R]:
    """Segment a picture, iteration by iteration.

    Parameters
    ----------
    model : SelfPrompting
        In evaluation mode, on its device.
    picture : numpy.ndarray or LazyRGB
        ``(Y, X, 3)`` uint8, or what gives windows of it and knows where there is no
        data.
    sink : Sink
        Takes the labels: `InMemory` or `IntoArrays` of `napari_samsp.inference.sinks`.
    tile : {"auto", "on", "off"}, int or tuple of int
        How much the model sees at once, see
        `napari_samsp.inference.scale.field_of_view.field_of_view`. Of a sink that takes
        strips at most `LARGEST_TILE`.
    progress : Progress, optional
        Is told after every tile, and within it. An exception raised by it aborts the
        run.
    cache : ModelCache, optional
        Where the embeddings of the tiles are looked up, and kept.
    before : Iteration, optional
        The last of the slice before, whose prompts iteration 0 takes; without any
        foreground it changes nothing.
    object_size : float, optional
        Width of a typical object in pixels; default: as ``tile`` says.

    Yields
    ------
    Iteration or Written
        As the sink makes it, of each iteration that the sink wants as soon as it is
        ready; of strips, or very many tiles, all of them at the end.

    Raises
    ------
    InputError
        If ``tile`` or ``object_size`` makes no sense.
    """
    started = time.perf_counter()
    report = progress or Progress(None)
    missing = None
    if isinstance(picture, LazyRGB):
        missing = picture.missing
        picture = picture if sink.in_strips else picture[:, :]
    if before is not None and not before.labels.any():
        before = None
    embed = TileEncoder(model, picture, cache)
    shape = (picture.shape[0], picture.shape[1])
    with report.within(model.sam, model.distances):
        scale = field_of_view(model, embed, tile, object_size)
    embed.forget_looks()
    if sink.in_strips:
        scale = _limited(scale, shape)
    grid = Grid(shape, scale.field_of_view)
    tiles = grid.tiles
    # What does not fit goes tile by tile, and all iterations are ready at the end.
    fits = len(tiles) * embed.bytes_per_tile <= EMBEDDINGS_BYTES and not sink.in_strips
    embed.cache = cache if fits else None

    def begin(t: int) -> Stitched:
        labels, logits = sink.arrays(t, shape)
        stitcher = Stitcher(
            grid, labels, model.objects, logits, missing, model.class_labels
        )
        prompt = model.kind if t > 0 or before is not None else None
        return Stitched(t, stitcher, labels, logits, prompt, scale, len(tiles))

    def finish(step: Stitched) -> None:
        step.look = embed.look
        step.finish(report.beat)

    work = iterate_tiles(
        model,
        embed,
        tiles,
        sink.iterations,
        one_by_one=fits,
        wanted=sink.wanted,
        progress=report,
        before=before,
    )
    for step in _stitched(work, tiles[-1], begin, finish, started):
        yield sink.result(step, report.beat)


def _stitched(
    work: Iterator[TileMaps],
    last: Tile,
    begin: Callable[[int], Stitched],
    finish: Callable[[Stitched], None],
    started: float,
) -> Iterator[Stitched]:
    """Stitch the maps of tiles, and time each iteration.

    Parameters
    ----------
    work : iterator of TileMaps
        Of all tiles and iterations; of each iteration, in the order of the tiles.
    last : Tile
        With its maps an iteration is complete.
    begin, finish : callable
        Called with an iteration's number before its first tile, and with the iteration
        after its last.
    started : float
        When the picture was begun, by `time.perf_counter`.

    Yields
    ------
    Stitched
        Each iteration as soon as it is complete. What the caller then does is not part
        of any iteration's seconds.
    """
    steps: dict[int, Stitched] = {}
    begun = time.perf_counter()
    for maps in work:
        t = maps.iteration
        if t not in steps:
            steps[t] = begin(t)
        steps[t].add(maps)
        complete = maps.tile is last
        if complete:
            finish(steps[t])
        now = time.perf_counter()
        steps[t].seconds += now - begun
        steps[t].since_start = now - started
        if complete:
            yield steps.pop(t)
            now = time.perf_counter()
        begun = now


def embed_picture(
    model: SelfPrompting,
    picture: np.ndarray | LazyRGB,
    cache: ModelCache,
    tile: Tiling = "auto",
    object_size: float | None = None,
) -> bool:
    """Keep the embeddings that `iterate_picture` will look up.

    Parameters
    ----------
    model, picture, cache, tile, object_size
        As for `iterate_picture`.

    Returns
    -------
    bool
        Whether they are kept; False if there are too many of them.
    """
    embed = TileEncoder(model, picture, cache)
    embed.batch_size = 1
    room = min(cache.memory_bytes // AHEAD, EMBEDDINGS_BYTES)
    most = room // embed.bytes_per_tile
    if not most:
        return False
    scale = field_of_view(model, embed, tile, object_size)
    tiles = Grid(picture.shape[:2], scale.field_of_view).tiles
    if len(tiles) > most:
        return False
    for one in tiles:
        with inference(model.device):
            embed([one])
    return True


def _limited(scale: ObjectScale, shape: tuple[int, int]) -> ObjectScale:
    """Tiles of which a strip fits into memory."""
    side = scale.field_of_view or max(shape)
    if side <= LARGEST_TILE * WORTH_IT:
        return scale
    warnings.warn(
        f"The model sees {LARGEST_TILE} pixels at once, not {side}: a strip of tiles "
        "must fit into memory.",
        RuntimeWarning,
        stacklevel=3,
    )
    return replace(scale, field_of_view=LARGEST_TILE)
