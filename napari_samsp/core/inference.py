"""From an 8-bit picture to labels: tiles, iterations, and full-size masks."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from skimage import measure

from napari_samsp.core.closer_look import WORTH_IT, look
from napari_samsp.core.errors import InputError
from napari_samsp.core.letterbox import logits_to_image, to_model_input
from napari_samsp.core.tiles import Tile, blend, join_objects, tile_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from napari_samsp.core.self_prompting import Decoding, SelfPrompting

Tiling = Literal["auto", "on", "off"] | int
TOKENS_AT_ONCE = (2048, 65_536)
"""Of small tiles, on a CPU and on a GPU, so many patches are encoded together."""
MAPS_AT_ONCE = 8
"""Object maps that are brought to full size together; bounds the memory."""


@dataclass(frozen=True)
class Iteration:
    """What one self-prompting iteration says about an image.

    Attributes
    ----------
    labels : numpy.ndarray
        ``(Y, X)`` int32: 0 and 1, or with objects 0 and the instances 1, 2, ...
    logits : numpy.ndarray
        ``(Y, X)`` float32, foreground above 0; with objects the largest of their
        maps.
    prompt : str or None
        What it was prompted with, None for iteration 0.
    score : float
        SAM's predicted IoU; with objects or tiles the mean, 0 if there are none.
    iou_to_previous : float or None
        IoU of the foregrounds of this iteration and the one before.
    seconds : float
        It took so long; iteration 0 includes the image encoder.
    iteration, iterations : int
        Its number, from 0, of how many.
    """

    labels: np.ndarray
    logits: np.ndarray
    prompt: str | None
    score: float
    iou_to_previous: float | None
    seconds: float
    iteration: int
    iterations: int

    @property
    def area_fraction(self) -> float:
        """Part of the image that is foreground."""
        return float(np.count_nonzero(self.labels) / self.labels.size)


def iterate_picture(
    model: SelfPrompting,
    picture: np.ndarray,
    iterations: int,
    tile: Tiling = "auto",
    progress: Callable[[float], None] | None = None,
) -> Iterator[Iteration]:
    """Segment a picture and give each iteration as soon as it is ready.

    Parameters
    ----------
    model : SelfPrompting
        In evaluation mode, on its device.
    picture : numpy.ndarray
        ``(Y, X, 3)`` uint8, from `napari_samsp.core.images.to_rgb8`.
    iterations : int
        How many, the prompt-free one included.
    tile : {"auto", "on", "off"} or int
        How much the model sees at once: what its own first look finds best
        (`closer_look`), tiles as large as its input, the whole picture, or tiles of so
        many pixels, on pictures that are at least 1.5 times as large.
    progress : callable, optional
        Called with the part that is done, 0 to 1, after every tile. What it raises
        ends the work.

    Yields
    ------
    Iteration
        Iteration 0, 1, ...
    """
    shape = picture.shape[:2]
    embed = _Encoder(model, picture)
    tiles = tile_image(shape, _field(model, embed, shape, tile))
    batches = [
        tiles[i : i + embed.at_once] for i in range(0, len(tiles), embed.at_once)
    ]
    running: list[_TileRun] = []
    previous: np.ndarray | None = None
    for t in range(iterations):
        start = time.perf_counter()
        maps: list[np.ndarray] = []
        parts: list[np.ndarray] = []
        scores: list[float] = []
        for n, places in enumerate(batches):
            with _inference(model.device):
                if t == 0:
                    running.append(_TileRun(model, embed, places, iterations))
                decoding = next(running[n].decodings)
                for values, part in running[n].to_image(
                    decoding, separate=model.objects and t > 0
                ):
                    maps.append(values)
                    parts.append(part)
            scores += decoding.scores.float().tolist()
            if progress is not None:
                progress((t * len(tiles) + len(maps)) / (iterations * len(tiles)))
        logits = blend(tiles, maps, shape)
        if model.objects and t > 0:
            labels = join_objects(tiles, parts, shape)
        elif model.objects:
            labels = measure.label(logits > 0, connectivity=1).astype(np.int32)
        else:
            labels = (logits > 0).astype(np.int32)
        yield Iteration(
            labels=labels,
            logits=logits,
            prompt=model.kind if t > 0 else None,
            score=float(np.mean(scores)) if scores else 0.0,
            iou_to_previous=None if previous is None else _iou(labels, previous),
            seconds=time.perf_counter() - start,
            iteration=t,
            iterations=iterations,
        )
        previous = labels


class _Encoder:
    """Encodes tiles of a picture; what was encoded last is not encoded again."""

    def __init__(self, model: SelfPrompting, picture: np.ndarray) -> None:
        self.model, self.picture = model, picture
        self.size = int(model.sam.image_encoder.img_size)
        tokens = (self.size // self.patch) ** 2
        most = TOKENS_AT_ONCE[model.device.type != "cpu"]
        self.at_once = max(1, most // tokens)
        self._tiles: list[Tile] = []
        self._known: tuple[Tensor, Tensor] | None = None

    @property
    def patch(self) -> int:
        """Side of a patch in input pixels."""
        return int(self.model.sam.image_encoder.patch_embed.proj.stride[0])

    def __call__(self, tiles: list[Tile]) -> tuple[Tensor, Tensor]:
        """The ``(B, C, h, w)`` embeddings and ``(B, 2)`` unpadded sides of B tiles."""
        if self._known is None or tiles != self._tiles:
            inputs = [to_model_input(self.picture[t.window], self.size) for t in tiles]
            images, valid = (torch.stack(parts) for parts in zip(*inputs, strict=True))
            device = self.model.device
            self._known = self.model.encode(images.to(device)), valid.to(device)
            self._tiles = tiles
        return self._known


class _TileRun:
    """The iterations of tiles of one size, each on its own embedding."""

    def __init__(
        self,
        model: SelfPrompting,
        embed: _Encoder,
        tiles: list[Tile],
        iterations: int,
    ) -> None:
        embeddings, valid = embed(tiles)
        self.decodings = model.iterate(embeddings, valid, iterations)
        self.valid: tuple[int, int] = (int(valid[0, 0]), int(valid[0, 1]))
        self.shape, self.size, self.count = tiles[0].shape, embed.size, len(tiles)

    def to_image(
        self, decoding: Decoding, separate: bool
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Of each tile the full-size largest logit and, with ``separate``, whose it is.

        The second is 0 where nothing is, else the number of the tile's map, from 1.
        """
        for n in range(self.count):
            yield self._one(decoding.logits[decoding.image_index == n], separate)

    def _one(self, logits: Tensor, separate: bool) -> tuple[np.ndarray, np.ndarray]:
        best = torch.full(self.shape, -32.0, device=logits.device)
        which = torch.zeros(self.shape, dtype=torch.int32, device=logits.device)
        for first in range(0, len(logits), MAPS_AT_ONCE):
            maps = logits_to_image(
                logits[first : first + MAPS_AT_ONCE], self.size, self.valid, self.shape
            )
            values, index = maps.max(0)
            better = values > best
            best = torch.where(better, values, best)
            if separate:
                which = torch.where(better, (index + first + 1).int(), which)
        which = torch.where(best > 0, which, 0)
        return best.cpu().numpy(), which.cpu().numpy()


def _field(
    model: SelfPrompting, embed: _Encoder, shape: tuple[int, int], tile: Tiling
) -> int | None:
    """Side of the tiles, None for the whole picture."""
    if tile == "off":
        return None
    if tile == "on":
        return embed.size
    if tile == "auto":
        tile = _first_look(model, embed, shape)
    elif not isinstance(tile, int) or tile < 1:
        raise InputError(
            f"tile must be auto, on, off or a number of pixels, not {tile!r}."
        )
    return tile if tile * WORTH_IT <= max(shape) else None


def _first_look(model: SelfPrompting, embed: _Encoder, shape: tuple[int, int]) -> int:
    def foreground(tile: Tile) -> np.ndarray:
        with _inference(model.device):
            embedding, valid = embed([tile])
            first = model.decode(embedding, torch.zeros(1, dtype=torch.int64))
        rows, cols = (-(-int(side) // model.stride) for side in valid[0])
        return (first.logits[0, :rows, :cols] > 0).cpu().numpy()

    found = look(foreground, shape, embed.size, embed.patch)
    # Where nothing is seen, single objects may be too small to be seen.
    return found or (embed.size if model.objects else max(shape))


@contextmanager
def _inference(device: torch.device) -> Iterator[None]:
    """No gradients; bf16 on a GPU that has it."""
    bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, bf16):
        yield


def _iou(labels: np.ndarray, previous: np.ndarray) -> float:
    union = np.count_nonzero((labels > 0) | (previous > 0))
    if union == 0:
        return 1.0
    return float(np.count_nonzero((labels > 0) & (previous > 0)) / union)
