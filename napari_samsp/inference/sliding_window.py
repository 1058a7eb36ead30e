"""From an 8-bit picture to labels: tiles, iterations, and full-size masks."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_samsp.data.tiling import Grid, Tile
from napari_samsp.inference.object_scale import (
    SMALL,
    WORTH_IT,
    ObjectScale,
    Seen,
    check_object_size,
    estimate_field_of_view,
    field_for,
)
from napari_samsp.inference.results import Iteration
from napari_samsp.inference.stitching import Stitcher
from napari_samsp.inference.tile_encoder import (
    EMBEDDINGS_BYTES,
    TileEncoder,
    inference,
    iterate_tiles,
)
from napari_samsp.metrics import iou
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.numbers import is_integer
from napari_samsp.utils.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_samsp.data.lazy_rgb import LazyRGB
    from napari_samsp.inference.embedding_cache import ModelCache
    from napari_samsp.inference.stitching import Missing
    from napari_samsp.inference.tile_encoder import TileMaps
    from napari_samsp.self_prompting.model import SelfPrompting

Tiling = Literal["auto", "on", "off"] | int | tuple[int, int]
AHEAD = 4
"""What is embedded ahead of time takes at most this part of the cache's memory, so that
it does not drive out what is in use."""


def iterate_picture(
    model: SelfPrompting,
    picture: np.ndarray | LazyRGB,
    iterations: int,
    tile: Tiling = "auto",
    progress: Callable[[float], None] | None = None,
    cache: ModelCache | None = None,
    before: Iteration | None = None,
    missing: Missing | None = None,
    object_size: float | None = None,
) -> Iterator[Iteration]:
    """Segment a picture in memory, iteration by iteration.

    Parameters
    ----------
    model : SelfPrompting
        In evaluation mode, on its device.
    picture : numpy.ndarray or LazyRGB
        ``(Y, X, 3)`` uint8, from `napari_samsp.data.rgb.to_rgb8`.
    iterations : int
        How many, the prompt-free one included.
    tile : {"auto", "on", "off"}, int or tuple of int
        How much the model sees at once: what suits the objects that it finds in a few
        crops (`object_scale`), tiles as large as its input, the whole picture, or tiles
        of so many pixels, on pictures that are at least 1.5 times as large. Of two
        numbers: what suits the objects, from the first to the second.
    progress : callable, optional
        Called with the part that is done, 0 to 1, after every tile and within it.
        What it raises ends the work.
    cache : ModelCache, optional
        Where the embeddings of the tiles are looked up, and kept.
    before : Iteration, optional
        The last of the slice before, whose prompts iteration 0 takes; without any
        foreground it changes nothing.
    missing : callable, optional
        `napari_samsp.data.lazy_rgb.LazyRGB.missing`, of what has no data.
    object_size : float, optional
        Width of a typical object in pixels; default: as ``tile`` says.

    Yields
    ------
    Iteration
        Iteration 0, 1, ..., each as soon as it is ready; of a picture with very many
        tiles all of them at the end.
    """
    shape = picture.shape[:2]
    if before is not None and not before.labels.any():
        before = None
    embed, report = TileEncoder(model, picture, cache), Progress(progress)
    with report.within(model.sam):
        scale = field_of_view(model, embed, tile, object_size)
    grid = Grid(shape, scale.field_of_view)
    tiles = grid.tiles
    # What does not fit goes tile by tile, and all iterations are ready at the end.
    fits = len(tiles) * embed.bytes_per_tile <= EMBEDDINGS_BYTES
    embed.cache = cache if fits else None
    steps: dict[int, _Step] = {}
    previous: np.ndarray = np.empty(0)
    start = time.perf_counter()
    work = iterate_tiles(
        model,
        embed,
        tiles,
        iterations,
        one_by_one=fits,
        progress=report,
        before=before,
    )
    for maps in work:
        t = maps.iteration
        if t not in steps:
            steps[t] = _Step(grid, model.objects, missing, model.class_labels)
        steps[t].add(maps)
        complete = maps.tile is tiles[-1]
        if complete:
            steps[t].mosaic.finish()
        steps[t].seconds += time.perf_counter() - start
        start = time.perf_counter()
        if complete:
            step = steps.pop(t)
            yield Iteration(
                labels=step.labels,
                logits=step.logits,
                prompt=model.kind if t > 0 or before is not None else None,
                score=step.score,
                iou_to_previous=None if t == 0 else iou(step.labels, previous),
                seconds=step.seconds,
                iteration=t,
                iterations=iterations,
                object_classes=step.mosaic.object_classes,
                scale=scale,
            )
            previous = step.labels
            start = time.perf_counter()


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
        As there.

    Returns
    -------
    bool
        Whether they are kept; False if there are too many of them.
    """
    embed = TileEncoder(model, picture, cache)
    embed.batch_size = 1
    room = min(cache.memory_bytes // AHEAD, EMBEDDINGS_BYTES)
    most = room // embed.bytes_per_tile
    shape = picture.shape[:2]
    if not most:
        return False
    scale = field_of_view(model, embed, tile, object_size)
    tiles = Grid(shape, scale.field_of_view).tiles
    if len(tiles) > most:
        return False
    for one in tiles:
        with inference(model.device):
            embed([one])
    return True


class _Step:
    """An iteration in the making."""

    def __init__(
        self,
        grid: Grid,
        objects: bool,
        missing: Missing | None,
        classes: Sequence[int],
    ) -> None:
        self.labels = np.zeros(grid.shape, np.int32)
        self.logits = np.empty(grid.shape, np.float32)
        self.mosaic = Stitcher(
            grid, self.labels, objects, self.logits, missing, classes
        )
        self.scores: list[float] = []
        self.seconds = 0.0

    def add(self, maps: TileMaps) -> None:
        self.mosaic.add(maps.tile, maps.logits, maps.objects)
        self.scores += maps.scores

    @property
    def score(self) -> float:
        return float(np.mean(self.scores)) if self.scores else 0.0


def field_of_view(
    model: SelfPrompting,
    embed: TileEncoder,
    tile: Tiling,
    object_size: float | None = None,
) -> ObjectScale:
    """How large the objects of a picture are, and how much of it is seen at once.

    Parameters
    ----------
    model : SelfPrompting
        In evaluation mode, on its device.
    embed : TileEncoder
        Of the picture.
    tile : {"auto", "on", "off"}, int or tuple of int
        As for `iterate_picture`.
    object_size : float, optional
        Width of a typical object in pixels; then nothing is estimated.

    Returns
    -------
    ObjectScale
        Its field of view is the side of the tiles, None for the whole picture.

    Raises
    ------
    InputError
        If ``tile`` is something else, or ``object_size`` makes no sense.
    """
    shape = (embed.picture.shape[0], embed.picture.shape[1])
    whole = max(shape)
    if object_size is not None:
        check_object_size(object_size, shape)
        side = field_for(object_size, shape, embed.size, embed.patch)
        return ObjectScale(float(object_size), side if side < whole else None)
    if isinstance(tile, str) and tile in ("on", "off"):
        side = embed.size if tile == "on" else whole
        return ObjectScale(None, side if side * WORTH_IT <= whole else None)
    if isinstance(tile, str) and tile == "auto":
        least, most = 1, whole
    else:
        least, most = _range_of(tile, -(-embed.size // embed.patch))
    found = ObjectScale(None, round((least * most) ** 0.5))
    if least < most:
        seen = _estimate(model, embed)
        if seen.object_size is not None or isinstance(tile, str):
            found = seen
        else:
            found = replace(found, certain=False)
    side = min(max(found.field_of_view or whole, least), most)
    return replace(found, field_of_view=side if side * WORTH_IT <= whole else None)


def _range_of(tile: Any, closest: int) -> tuple[int, int]:
    """The smallest and the largest field of view that a setting allows."""
    pair: tuple[Any, ...] = tile if isinstance(tile, tuple) else (tile, tile)
    numbers = len(pair) == 2 and all(map(is_integer, pair))
    if not numbers or not closest <= pair[0] <= pair[1]:
        raise InputError(
            f"tile must be auto, on, off or a number of pixels, at least {closest} "
            f"with this model, not {tile!r}."
        )
    return int(pair[0]), int(pair[1])


def _estimate(model: SelfPrompting, embed: TileEncoder) -> ObjectScale:
    return estimate_field_of_view(
        lambda tiles: [_look_at(model, embed, tile) for tile in tiles],
        embed.picture,
        embed.size,
        embed.patch,
        model.objects,
    )


def _look_at(model: SelfPrompting, embed: TileEncoder, tile: Tile) -> Seen:
    small = max(embed.picture.shape[:2]) <= SMALL * embed.size
    with inference(model.device):
        embedding, valid = embed([tile])
        # With objects, the scores of their own prompts tell whether they are objects.
        # A small image has no other places to compare with, and needs none.
        count = 2 if model.objects and not small else 1
        *_, said = model.iterate(embedding, valid, count)
        scores = said.scores.float()
        if model.objects and small:
            sides = valid.repeat_interleave(model.class_count, 0)
            labels = model.parts(said, sides).amax(0)  # of any class
            scores = scores.mean().expand(int(labels.max()))
        else:
            labels = said.instances(model.class_count).amax(0)
    rows, columns = (-(-int(side) // model.stride) for side in valid[0])
    return Seen(labels[:rows, :columns].cpu().numpy(), scores.cpu().numpy())
