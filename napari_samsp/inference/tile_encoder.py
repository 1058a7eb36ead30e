"""Tiles of a picture in the model: their embeddings and iterations."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from napari_samsp.sam.architecture import embedding_channels, is_stock, patch_size
from napari_samsp.sam.kernels import encoder_cpu as fast_encoder
from napari_samsp.self_prompting.full_size import full_size
from napari_samsp.self_prompting.letterbox import to_model_input
from napari_samsp.self_prompting.propagation import follow, seen_before
from napari_samsp.utils.device import likes_bfloat16
from napari_samsp.utils.memory import in_batches
from napari_samsp.utils.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from torch import Tensor

    from napari_samsp.data.lazy_rgb import LazyRGB
    from napari_samsp.data.tiling import Tile
    from napari_samsp.inference.embedding_cache import ModelCache
    from napari_samsp.inference.results import Iteration
    from napari_samsp.self_prompting.decoding import Decoding
    from napari_samsp.self_prompting.model import SelfPrompting

TOKENS_AT_ONCE = (2048, 65_536)
"""Patches that are encoded together, on a CPU and on a GPU: several small tiles."""
EMBEDDINGS_BYTES = 2**29
"""Bytes of embeddings that are kept until their last iteration."""


class TileMaps(NamedTuple):
    """Result of one iteration on a tile, in the image's pixels.

    Attributes
    ----------
    iteration : int
        Its number, from 0.
    tile : Tile
        Where in the image it is.
    scores : list of float
        SAM's predicted IoU of each of its maps.
    logits : numpy.ndarray
        ``(Y, X)`` float32, the largest of its maps; with K classes ``(K, Y, X)``, of
        each class.
    objects : numpy.ndarray or None
        ``(Y, X)`` int32: 0 where nothing is, else the number of the map, from 1. None
        unless there is a map an object.
    """

    iteration: int
    tile: Tile
    scores: list[float]
    logits: np.ndarray
    objects: np.ndarray | None


class TileEncoder:
    """Encodes tiles of a picture; what was encoded last is not encoded again.

    Parameters
    ----------
    model : SelfPrompting
        In evaluation mode, on its device.
    picture : numpy.ndarray or LazyRGB
        ``(Y, X, 3)`` uint8.
    cache : ModelCache, optional
        Where embeddings are looked up, and kept.
    """

    def __init__(
        self,
        model: SelfPrompting,
        picture: np.ndarray | LazyRGB,
        cache: ModelCache | None = None,
    ) -> None:
        self.model, self.picture, self.cache = model, picture, cache
        self.size = int(model.sam.image_encoder.img_size)
        tokens = (self.size // self.patch) ** 2
        most = TOKENS_AT_ONCE[model.device.type != "cpu"]
        self.batch_size = min(max(1, most // tokens), model.tile_batch or most)
        self._tiles: list[Tile] = []
        self._known: tuple[Tensor, Tensor] | None = None
        self._looks: list[Tensor] = []

    @property
    def patch(self) -> int:
        """Side of a patch in input pixels."""
        return patch_size(self.model.sam.image_encoder)

    @property
    def bytes_per_tile(self) -> int:
        """Bytes that the embedding of a tile takes."""
        channels = embedding_channels(self.model.sam)
        return sum(channels) * (self.size // self.patch) ** 2 * 4

    def __call__(self, tiles: list[Tile]) -> tuple[Tensor, Tensor]:
        """The ``(B, C, h, w)`` embeddings and ``(B, 2)`` unpadded sides of B tiles."""
        if self._known is None or tiles != self._tiles:
            inputs = [to_model_input(self.picture, self.size, tile) for tile in tiles]
            images, valid = (list(parts) for parts in zip(*inputs, strict=True))
            embeddings = torch.stack(self._embed(images))
            self._known = embeddings, torch.stack(valid).to(self.model.device)
            self._tiles = tiles
            self._note_looks(embeddings, valid)
        return self._known

    @property
    def look(self) -> np.ndarray:
        """``(C,)`` float32, the mean embedding of all tiles that were encoded."""
        return np.asarray(torch.stack(self._looks).mean(0).numpy())

    def forget_looks(self) -> None:
        """Leave out of `look` what was encoded so far, such as to estimate a scale."""
        self._looks.clear()
        if self._known is not None:
            # It may be asked for again, and is not encoded again then.
            self._note_looks(self._known[0], list(self._known[1]))

    def _note_looks(self, embeddings: Tensor, valid: list[Tensor]) -> None:
        # Without the features behind the neck's, and without padding.
        for one, sides in zip(self.model.neck(embeddings), valid, strict=True):
            height, width = (-(-int(side) // self.patch) for side in sides)
            self._looks.append(one[:, :height, :width].float().mean((1, 2)).cpu())

    def _embed(self, images: list[Tensor]) -> list[Tensor]:
        device, cache = self.model.device, self.cache
        if cache is None:
            return self._encode(images)
        found = [cache.get(image) for image in images]
        missing = [n for n, known in enumerate(found) if known is None]
        if missing:
            encoded = self._encode([images[n] for n in missing])
            for n, new in zip(missing, encoded, strict=True):
                found[n] = new
                cache.put(images[n], new)
        return [known.to(device) for known in found if known is not None]

    def _encode(self, images: list[Tensor]) -> list[Tensor]:
        device = self.model.device

        def plainly(some: slice) -> Tensor:
            return self.model.encode(torch.stack(images[some]).to(device))

        def frugally(some: slice) -> Tensor:
            stack = torch.stack(images[some]).to(device)
            with torch.autocast(device.type, enabled=False):
                return fast_encoder.encode(
                    self.model.sam.image_encoder, stack, bfloat16=False
                )

        parts, fits = in_batches(
            plainly,
            len(images),
            self.batch_size,
            "tiles in the image encoder",
            frugally if is_stock(self.model.sam) else None,
        )
        if fits < self.batch_size:
            self.batch_size = self.model.tile_batch = fits
        return list(torch.cat(parts))


def iterate_tiles(
    model: SelfPrompting,
    embed: TileEncoder,
    tiles: list[Tile],
    iterations: int,
    one_by_one: bool,
    wanted: Collection[int] | None = None,
    progress: Progress | None = None,
    before: Iteration | None = None,
) -> Iterator[TileMaps]:
    """Run every iteration of every tile.

    Parameters
    ----------
    model : SelfPrompting
        In evaluation mode, on its device.
    embed : TileEncoder
        Encodes tiles of the picture.
    tiles : list of Tile
        Of equal size.
    iterations : int
        How many, the prompt-free one included.
    one_by_one : bool
        Iteration after iteration of all tiles, which keeps all their embeddings; else
        a few tiles go to their last iteration before the next are read.
    wanted : collection of int, optional
        The iterations whose maps are brought to full size and given. Default: all.
    progress : Progress, optional
        Is told after every tile and iteration, and within them.
    before : Iteration, optional
        Of the slice before, whose prompts iteration 0 takes.

    Yields
    ------
    TileMaps
        For each tile and wanted iteration; of one iteration in the order of the tiles.
    """
    wanted = range(iterations) if wanted is None else wanted
    progress = progress or Progress(None)
    batches = [
        tiles[i : i + embed.batch_size] for i in range(0, len(tiles), embed.batch_size)
    ]
    runs: list[_TileRun | None] = [None] * len(batches)
    work = [(t, n) for t in range(iterations) for n in range(len(batches))]
    if not one_by_one:
        work.sort(key=lambda step: step[1])
    done = 0
    for t, n in work:
        run = runs[n] or _TileRun(
            model, embed, batches[n], iterations, progress, before
        )
        runs[n] = run if t + 1 < iterations else None
        for maps in run.next(t, t in wanted):
            done += 1
            progress(done / (iterations * len(tiles)))
            if maps is not None:
                yield maps


class _TileRun:
    """The iterations of tiles of one size, each on its own embedding."""

    def __init__(
        self,
        model: SelfPrompting,
        embed: TileEncoder,
        tiles: list[Tile],
        iterations: int,
        progress: Progress,
        before: Iteration | None = None,
    ) -> None:
        self._progress = progress
        first = None
        with inference(model.device), progress.within(model.sam, model.distances):
            embeddings, valid = embed(tiles)
            if before is not None:
                seen = seen_before(model, before.labels, before.logits, tiles, valid)
                kinds = None
                if before.object_classes is not None:
                    known = torch.from_numpy(before.object_classes.astype(np.int64))
                    kinds = known.to(model.device)[seen[0]]
                first = follow(model, embeddings, valid, *seen, kinds)
        self.model, self.tiles, self.size = model, tiles, embed.size
        self.decodings = model.iterate(embeddings, valid, iterations, first=first)
        self.valid: tuple[int, int] = (int(valid[0, 0]), int(valid[0, 1]))

    def next(self, iteration: int, wanted: bool) -> Iterator[TileMaps | None]:
        """Decode the next iteration, and give it tile by tile if it is wanted."""
        with (
            inference(self.model.device),
            self._progress.within(self.model.sam, self.model.distances),
        ):
            decoding = next(self.decodings)
        for n, tile in enumerate(self.tiles):
            maps = None
            if wanted:
                with inference(self.model.device):
                    maps = self._one(decoding, n, tile, iteration)
            yield maps

    def _one(self, decoding: Decoding, n: int, tile: Tile, iteration: int) -> TileMaps:
        separate = self.model.objects and decoding.regions is not None
        count = self.model.class_count
        scores: list[float] = []
        logits, numbers = [], []
        for entry in range(n * count, (n + 1) * count):
            mine = decoding.image_index == entry
            largest, which = full_size(
                decoding.logits[mine], self.size, self.valid, tile.shape
            )
            logits.append(largest.cpu().numpy())
            # Of all classes together each map has a number.
            seen = which.cpu().numpy()
            numbers.append(np.where(seen > 0, seen + len(scores), 0))
            scores += decoding.scores[mine].float().tolist()
        best, objects = logits[0], numbers[0]
        if count > 1:
            best = np.stack(logits)
            surest = best.argmax(0)[None]
            objects = np.take_along_axis(np.stack(numbers), surest, 0)[0]
        return TileMaps(iteration, tile, scores, best, objects if separate else None)


@contextmanager
def inference(device: torch.device) -> Iterator[None]:
    """Run without gradients, and with bfloat16 on a GPU that has it."""
    bf16 = device.type == "cuda" and likes_bfloat16(device)
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, bf16):
        yield
