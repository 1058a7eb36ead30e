"""All objects of an image that are like one of them.

What is like the object is told by the image's embedding: the cosine similarity of each
cell with the mean over the object's cells, after the mean over the image is taken off,
as embeddings of one image have most in common. They tell objects from what is none
rather than kinds of objects, so colours are compared too.

Two kinds of prompts are tried: the parts of what the model sees without a prompt, and
boxes as large as the object round the peaks of the similarity. What is as large as the
object, and like it, is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy import ndimage
from skimage.feature import peak_local_max
from torch.nn import functional as F

from napari_samsp.inference.interactive.cut import Cut
from napari_samsp.inference.interactive.prompted import (
    INSIDE_LOGIT,
    read_prompts,
    to_input,
)
from napari_samsp.inference.tile_encoder import inference
from napari_samsp.self_prompting.letterbox import logits_to_image, valid_cells
from napari_samsp.self_prompting.prompts import Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_samsp.data.tiling import Grid, Tile
    from napari_samsp.inference.tile_encoder import TileEncoder
    from napari_samsp.self_prompting.decoding import Decoding
    from napari_samsp.self_prompting.model import SelfPrompting

SIZES = 4.0
"""Area by the clicked object's, and the other way round, at most: twice as wide. Of 2,
3, 4, 6 and any, on 21 training images of four sets, 4 was best on blood_smear and emps,
any on dsb2018."""
LIKE, SCORE = 0.2, 0.3
"""Similarity of a part, by that of the clicked object with itself, and the IoU that the
model expects of it, at least."""
PEAK_LIKE, PEAK_SCORE = 0.8, 0.7
"""The same of what was found round a peak: boxes are guesses, and must do better."""
PEAK = 0.5
"""Similarity of a peak, at least; also its distance from others by the object's
radius."""
HUE, CONTRAST = 0.5, 0.25
"""Cosine, and part, of an object's mean colour by that of the clicked one, both from
the mean of the image: dark objects are not like bright ones, but dim ones are."""
FAINT = 8
"""Grey levels of 255; an object that differs less from the image has no colour."""
EDGE = 0.9
"""A cell of which less than half is covered counts only if no other is covered more,
up to this."""
BOX = 1.2
"""Side of a peak's box by the object's."""
FREE = 0.5
"""Part of a mask that must be new; the rest is others' already."""
AT_ONCE = 16
"""Masks that are brought to full size together."""


class Query(NamedTuple):
    """What is looked for.

    Attributes
    ----------
    mean : Tensor
        ``(C,)`` of the image's embeddings.
    direction : Tensor
        ``(C,)`` of the object's cells, of length 1.
    level : float
        Mean similarity of the object's own cells with it.
    area : int
        Pixels of the object.
    sides : tuple of int
        Height and width of its box in pixels.
    middle : numpy.ndarray
        ``(3,)`` mean colour of the image, 0 to 255.
    colour : numpy.ndarray
        ``(3,)`` mean colour of the object, from there.
    """

    mean: Tensor
    direction: Tensor
    level: float
    area: int
    sides: tuple[int, int]
    middle: np.ndarray
    colour: np.ndarray

    def is_like(self, colour: np.ndarray) -> bool:
        """Whether an object's mean colour ``(3,)`` is that of the same kind."""
        contrast = float(np.linalg.norm(self.colour))
        if contrast < FAINT:
            return True
        other = colour - self.middle
        along = float(other @ self.colour) / contrast
        enough = along >= HUE * float(np.linalg.norm(other))
        return enough and along >= CONTRAST * contrast


class Candidate(NamedTuple):
    """An object that may be like the one that was clicked.

    Attributes
    ----------
    cut : Cut
        Its pixels, with the IoU that the model expects.
    peak : bool
        It was found round a peak of the similarity, and not without a prompt.
    """

    cut: Cut
    peak: bool


class AlikeSearch:
    """Looks for objects in an image that is seen part by part.

    Parameters
    ----------
    model : SelfPrompting
        In evaluation mode, on its device.
    encoder : TileEncoder
        Encodes tiles of the image.
    grid : Grid
        The image's tiles.
    """

    def __init__(self, model: SelfPrompting, encoder: TileEncoder, grid: Grid) -> None:
        self._model, self._encoder, self._grid = model, encoder, grid

    def ask(self, view: Tile, known: Cut) -> Query:
        """Describe an object.

        Parameters
        ----------
        view : Tile
            The part of the image that the object is seen in.
        known : Cut
            Its mask, placed in the image.

        Returns
        -------
        Query
            What `find` looks for, in this image or another part of it.
        """
        with inference(self._model.device):
            cells = [self._cells(tile).flatten(1) for tile in self._grid.tiles]
            mean = torch.stack([one.mean(1) for one in cells]).mean(0)
            _, valid = self._encoder([view])
            masks = known.within(view)[None]
            prompt = read_prompts(view.shape, masks=masks)
            asked = to_input(prompt, self._model, view.shape, valid[0])
            assert asked.masks is not None
            cover = (asked.masks[0] / INSIDE_LOGIT + 1) / 2
            features = F.normalize(self._cells(view) - mean[:, None, None], dim=0)
            weights = self._weights(cover[0], features)
            direction = F.normalize((features * weights).sum((1, 2)), dim=0)
            own = (features * direction[:, None, None]).sum(0) * weights
        height, width = known.mask.shape
        level = float(own.sum() / weights.sum())
        area = int(known.mask.sum())
        middle = self._encoder.picture[:, :].mean((0, 1))
        colour = self._colour(known) - middle
        return Query(mean, direction, level, area, (height, width), middle, colour)

    def find(self, query: Query, free: np.ndarray) -> list[Candidate]:
        """Find what is like an object, tile by tile.

        Parameters
        ----------
        query : Query
            From `ask`.
        free : numpy.ndarray
            ``(Y, X)`` bool: pixels that no object has.

        Returns
        -------
        list of Candidate
            Those that a tile cuts are left out: the next tile shows them in whole. One
            object may be there twice.
        """
        found: list[Candidate] = []
        for tile in self._grid.tiles:
            with inference(self._model.device):
                found += self._in_tile(tile, query, free[tile.window])
        return found

    def _in_tile(self, tile: Tile, query: Query, free: np.ndarray) -> list[Candidate]:
        model = self._model
        embedding, valid = self._encoder([tile])
        features = self._cells(tile) - query.mean[:, None, None]
        direction = query.direction[:, None, None]
        like = (F.normalize(features, dim=0) * direction).sum(0) / query.level
        every = valid.repeat_interleave(model.class_count, 0)
        seen = model.decode_unprompted(embedding, relief=model.objects)
        parts, _, _ = model.next_prompt(seen, every)
        peaks = self._round_peaks(tile, valid[0], like, query, free)
        out = []
        for prompt, peak in ((parts, False), (peaks, True)):
            if not len(prompt):
                continue
            index = torch.zeros(len(prompt), dtype=torch.int64, device=model.device)
            once = model.decode(embedding, index, prompt)
            again = model.prompts_of_each(once, valid)
            maps = model.decode(embedding, index, again)
            maps = self._plausible(maps, tile, valid, like, query, peak)
            cuts = self._cuts(maps, tile, valid[0])
            out += [Candidate(c, peak) for c in cuts if query.is_like(self._colour(c))]
        return out

    def _round_peaks(
        self, tile: Tile, valid: Tensor, like: Tensor, query: Query, free: np.ndarray
    ) -> Prompt:
        """Boxes in the model's input, round what is most like the object."""
        patch = self._encoder.patch
        fine = F.interpolate(like[None, None], scale_factor=4, mode="bilinear")[0, 0]
        step = patch / 4  # input pixels
        scale = valid.cpu().numpy() / tile.shape  # input pixels per pixel
        radius = np.sqrt(query.area / np.pi) * scale.mean() / step
        places = peak_local_max(
            fine.cpu().numpy(),
            min_distance=max(1, int(PEAK * radius)),
            threshold_abs=PEAK,
            exclude_border=False,
        )
        middles = (places + 0.5) * step
        pixels = (middles / scale).astype(int).clip(0, np.array(tile.shape) - 1)
        allowed = np.zeros(tile.shape, bool)
        allowed[self._grid.core(tile)] = True
        middles = middles[(allowed & free)[tuple(pixels.T)]]
        if not len(middles):
            return Prompt()
        half = np.array(query.sides) * scale * BOX / 2
        limit = valid.cpu().numpy()
        low, high = (middles - half).clip(0), np.minimum(middles + half, limit)
        boxes = np.concatenate([low[:, ::-1], high[:, ::-1]], 1)
        return Prompt(boxes=torch.from_numpy(boxes).float().to(self._model.device))

    def _plausible(
        self,
        maps: Decoding,
        tile: Tile,
        valid: Tensor,
        like: Tensor,
        query: Query,
        peak: bool,
    ) -> Decoding:
        """The maps that may be such objects, each object once."""
        model = self._model
        inside = valid_cells(valid, model.mask_size, model.stride)
        masks = (maps.logits > 0) & inside
        pixel = tile.shape[0] * tile.shape[1] / float(valid[0].prod())
        area = masks.flatten(1).sum(1) * model.stride**2 * pixel / query.area
        keep = (area <= SIZES) & (area >= 1 / SIZES)
        keep &= maps.scores >= (PEAK_SCORE if peak else SCORE)
        least = PEAK_LIKE if peak else LIKE
        for n in keep.nonzero()[:, 0].tolist():
            weights = self._weights(masks[n].float(), like)
            keep[n] = bool((like * weights).sum() >= least * weights.sum())
        return maps.select(keep).distinct()

    def _cuts(self, maps: Decoding, tile: Tile, valid: Tensor) -> list[Cut]:
        sides = (int(valid[0]), int(valid[1]))
        lines = self._grid.inner_borders(tile)
        out = []
        for first in range(0, len(maps.logits), AT_ONCE):
            some = slice(first, first + AT_ONCE)
            logits, scores = maps.logits[some], maps.scores[some].tolist()
            full = logits_to_image(logits, self._encoder.size, sides, tile.shape) > 0
            for mask, score in zip(full.cpu().numpy(), scores, strict=True):
                one = _largest_piece(mask)
                if one.any() and not any(one[line].any() for line in lines):
                    out.append(Cut.of(one, tile.top, tile.left, score))
        return out

    def _weights(self, cover: Tensor, cells: Tensor) -> Tensor:
        """How much the ``(h, w)`` cells count that a ``(m, m)`` mask of 0 to 1 covers.

        Those at its border count little, and none if others are covered in whole.
        """
        side = self._encoder.patch // self._model.stride
        covered = F.avg_pool2d(cover[None], side)[0]
        covered = covered[: cells.shape[-2], : cells.shape[-1]]
        return covered * (covered >= min(0.5, EDGE * float(covered.max())))

    def _colour(self, cut: Cut) -> np.ndarray:
        return np.asarray(self._encoder.picture[cut.place.window][cut.mask]).mean(0)

    def _cells(self, tile: Tile) -> Tensor:
        """``(C, h, w)`` embedding of a tile, as far as it holds image."""
        embedding, valid = self._encoder([tile])
        patch = self._encoder.patch
        rows, columns = (-(-int(side) // patch) for side in valid[0])
        return self._model.neck(embedding)[0, :, :rows, :columns].float()


def _largest_piece(mask: np.ndarray) -> np.ndarray:
    pieces, count = ndimage.label(mask)
    if count <= 1:
        return mask
    return pieces == np.bincount(pieces.ravel())[1:].argmax() + 1


def choose(candidates: Sequence[Candidate], free: np.ndarray) -> list[Cut]:
    """Take the best candidates, none of which covers another.

    Parameters
    ----------
    candidates : sequence of Candidate
        From `AlikeSearch.find`, in the coordinates of ``free``.
    free : numpy.ndarray
        ``(Y, X)`` bool: pixels that no object has.

    Returns
    -------
    list of Cut
        Pixels that were free, of one object each.
    """
    free = free.copy()
    chosen = []
    for cut, _ in sorted(candidates, key=lambda one: (one.peak, -one.cut.score)):
        window = cut.place.window
        mask = cut.mask & free[window]
        if mask.sum() < FREE * cut.mask.sum():
            continue
        free[window] &= ~mask
        chosen.append(Cut.of(mask, cut.place.top, cut.place.left, cut.score))
    return chosen
