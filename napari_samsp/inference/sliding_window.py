"""From an 8-bit picture to labels: tiles, iterations, and full-size masks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_samsp.data.tiling import Grid, Tile
from napari_samsp.inference.object_scale import WORTH_IT, look
from napari_samsp.inference.results import Iteration
from napari_samsp.inference.stitching import Mosaic
from napari_samsp.inference.tile_encoder import (
    EMBEDDINGS_BYTES,
    Encoder,
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
        How much the model sees at once: what its own first look finds best
        (`closer_look`), tiles as large as its input, the whole picture, or tiles of so
        many pixels, on pictures that are at least 1.5 times as large. Of two numbers:
        what its first look finds best from the first to the second.
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

    Yields
    ------
    Iteration
        Iteration 0, 1, ..., each as soon as it is ready; of a picture with very many
        tiles all of them at the end.
    """
    shape = picture.shape[:2]
    if before is not None and not before.labels.any():
        before = None
    embed = Encoder(model, picture, cache)
    grid = Grid(shape, field_of_view(model, embed, shape, tile))
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
        progress=Progress(progress),
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
            )
            previous = step.labels
            start = time.perf_counter()


def embed_picture(
    model: SelfPrompting,
    picture: np.ndarray | LazyRGB,
    cache: ModelCache,
    tile: Tiling = "auto",
) -> bool:
    """Keep the embeddings that `iterate_picture` will look up.

    Parameters
    ----------
    model, picture, cache, tile
        As there.

    Returns
    -------
    bool
        Whether they are kept; False if there are too many of them.
    """
    embed = Encoder(model, picture, cache)
    embed.batch_size = 1
    room = min(cache.memory_bytes // AHEAD, EMBEDDINGS_BYTES)
    most = room // embed.bytes_per_tile
    shape = picture.shape[:2]
    if not most:
        return False
    tiles = Grid(shape, field_of_view(model, embed, shape, tile)).tiles
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
        self.mosaic = Mosaic(grid, self.labels, objects, self.logits, missing, classes)
        self.scores: list[float] = []
        self.seconds = 0.0

    def add(self, maps: TileMaps) -> None:
        self.mosaic.add(maps.tile, maps.logits, maps.objects)
        self.scores += maps.scores

    @property
    def score(self) -> float:
        return float(np.mean(self.scores)) if self.scores else 0.0


def field_of_view(
    model: SelfPrompting, embed: Encoder, shape: tuple[int, int], tile: Tiling
) -> int | None:
    """How much of a picture the model should see at once.

    Parameters
    ----------
    model : SelfPrompting
        In evaluation mode, on its device.
    embed : Encoder
        Of the picture.
    shape : tuple of int
        Height and width of the picture.
    tile : {"auto", "on", "off"}, int or tuple of int
        As for `iterate_picture`.

    Returns
    -------
    int or None
        Side of the tiles in pixels, None for the whole picture.

    Raises
    ------
    InputError
        If ``tile`` is something else.
    """
    named = tile if isinstance(tile, str) else ""
    if named == "off":
        return None
    if named == "on":
        return embed.size
    if named == "auto":
        # Where nothing is seen, single objects may be too small to be seen.
        unseen = embed.size if model.objects else max(shape)
        side = _first_look(model, embed, shape) or unseen
    else:
        pair: tuple[Any, ...] = tile if isinstance(tile, tuple) else (tile, tile)
        numbers = len(pair) == 2 and all(map(is_integer, pair))
        closest = -(-embed.size // embed.patch)  # where a pixel fills a patch
        if not numbers or not closest <= pair[0] <= pair[1]:
            raise InputError(
                f"tile must be auto, on, off or a number of pixels, at least {closest} "
                f"with this model, not {tile!r}."
            )
        least, most = map(int, pair)
        seen = _first_look(model, embed, shape) if least < most else None
        side = min(max(seen, least), most) if seen else round((least * most) ** 0.5)
    return side if side * WORTH_IT <= max(shape) else None


def _first_look(
    model: SelfPrompting, embed: Encoder, shape: tuple[int, int]
) -> int | None:
    def seen(tile: Tile) -> np.ndarray:
        with inference(model.device):
            embedding, valid = embed([tile])
            parts = model.look(embedding, valid)
        rows, cols = (-(-int(side) // model.stride) for side in valid[0])
        return parts[0, :rows, :cols].cpu().numpy()

    return look(seen, shape, embed.size, embed.patch)
