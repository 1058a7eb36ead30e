"""Where the model looks when a user clicks, and what it says there.

Where an image is seen in tiles, a click is seen in the same tile, whose embedding is in
the cache once the image was segmented. An object that this tile cuts is seen in a view
that has it in its middle, and if that cuts it too, in a wider one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

from napari_samsp.data.rgb import Scaling, as_lazy_rgb
from napari_samsp.data.tiling import Grid, Tile
from napari_samsp.inference.interactive.alike import AlikeSearch
from napari_samsp.inference.interactive.cut import Box, Clicks, Cut, around
from napari_samsp.inference.interactive.heeding import (
    KEPT,
    SHOWN,
    as_clicked,
    at_clicks,
    heeded,
    without_specks,
)
from napari_samsp.inference.interactive.prompted import (
    INSIDE_LOGIT,
    decode_prompted,
    read_prompts,
    to_input,
)
from napari_samsp.inference.scale.field_of_view import field_of_view
from napari_samsp.inference.tile_encoder import TileEncoder, inference
from napari_samsp.self_prompting.letterbox import logits_to_image
from napari_samsp.self_prompting.propagation import followed, seen_before
from napari_samsp.self_prompting.refitting import decode_with_features
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.threads import few_threads

if TYPE_CHECKING:
    from torch import Tensor

    from napari_samsp.inference.embedding_cache import ModelCache
    from napari_samsp.inference.interactive.alike import Candidate, Query
    from napari_samsp.inference.scale.field_of_view import Tiling
    from napari_samsp.self_prompting.decoding import Decoding
    from napari_samsp.self_prompting.model import SelfPrompting
    from napari_samsp.self_prompting.prompts import Prompt

ROOM = 1.25
"""A view is at least so many times as wide as what it is to show."""
WIDER = 2
"""What cuts an object is followed by a view so many times as wide."""

EVENNESS = 0.005
"""Compactness of the watershed that splits an object. Of 0, 0.003, 0.01 and 0.03, 0.01
was best on touching nuclei of dsb2018's training images and 0 on touching grains of
sediment_grains; this lies between."""


class ClickView:
    """An image in memory, seen part by part.

    Parameters
    ----------
    model : SelfPrompting
        In evaluation mode, on its device.
    pixels : numpy.ndarray
        ``(Y, X)`` or ``(Y, X, C)``.
    scaling, tile, cache, object_size
        As for `napari_samsp.inference.interactive.clicks.ClickedImage`.

    Raises
    ------
    InputError
        If the image cannot be segmented.
    """

    def __init__(
        self,
        model: SelfPrompting,
        pixels: np.ndarray,
        scaling: Scaling,
        tile: Tiling,
        cache: ModelCache | None,
        object_size: float | None = None,
    ) -> None:
        self._model = model
        picture = as_lazy_rgb(pixels, None, scaling)
        self._missing = picture.missing
        self._encoder = TileEncoder(model, picture[:, :], cache)
        self._shape: tuple[int, int] = (pixels.shape[0], pixels.shape[1])
        if object_size is not None:
            object_size = min(object_size, max(self._shape))  # may be a part
        scale = field_of_view(model, self._encoder, tile, object_size)
        side = scale.field_of_view
        self._side = side or max(self._shape)
        self._grid = Grid(self._shape, side)
        self._search = AlikeSearch(model, self._encoder, self._grid)

    def prepare(self, clicks: Clicks) -> None:
        """Encode what clicks are seen in."""
        with inference(self._model.device):
            self._encoder([self.first(clicks)])

    def segment(self, clicks: Clicks, iterations: int) -> Cut:
        """Segment one object; see `ClickedImage.segment`."""
        view: Tile | None = self.first(clicks)
        while view is not None:
            found = self._see(view, clicks, iterations)
            view = self._better(view, found, clicks)
        return found

    def follow(self, known: Cut, iterations: int) -> Cut:
        """Find an object again; see `ClickedImage.follow`."""
        clicks = Clicks(mask=known)
        view: Tile | None = self.first(clicks)
        while view is not None:
            found = self._find_again(view, known, iterations)
            view = self._better(view, found, clicks)
        return found

    def split(self, clicks: Clicks) -> list[Cut]:
        """Divide the mask among the points, which lie in it.

        Parts grow from their clicks as watersheds do: through what is deep in the
        object, and what is clearly of one click in the maps that the model makes of
        each with the others outside.
        """
        view, count = self.first(clicks), len(clicks.points)
        assert clicks.mask is not None
        object_ = clicks.mask.within(view)
        places = np.array(clicks.points) - (view.top, view.left)
        if not all(object_[int(row), int(column)] for row, column in places):
            raise InputError("Click in the object that is to be split.")
        prompt = read_prompts(
            view.shape, np.repeat(places[None], count, 0), np.eye(count)
        )
        maps = self._decode(view, prompt, 1)[1]
        markers = np.zeros(view.shape, np.int32)
        for n, (row, column) in enumerate(places.astype(int), start=1):
            markers[row, column] = n
        chances = np.sort(1 / (1 + np.exp(-maps)), axis=0)
        depth = ndimage.distance_transform_edt(np.pad(object_, 1))[1:-1, 1:-1]
        height = depth / depth.max() + chances[-1] - chances[-2]
        parts = watershed(-height, markers, mask=object_, compactness=EVENNESS)
        # Pieces of the object that hold no click go to the first one.
        parts[object_ & (parts == 0)] = 1
        return [Cut.of(parts == n, view.top, view.left) for n in range(1, count + 1)]

    def ask(self, known: Cut) -> Query:
        """Describe an object, for `find_alike`."""
        return self._search.ask(self.first(Clicks(mask=known)), known)

    def find_alike(self, query: Query, free: np.ndarray) -> list[Candidate]:
        """What may be like an object; see `AlikeSearch.find`."""
        return self._search.find(query, free)

    def _see(self, view: Tile, clicks: Clicks, iterations: int) -> Cut:
        said = clicks.shifted(-view.top, -view.left)
        known = None if said.mask is None else said.mask.within(_whole(view.shape))
        shown = None if known is None else as_clicked(known, said, SHOWN)
        prompt = read_prompts(
            view.shape,
            points=[said.points] if said.points else None,
            point_labels=[said.inside] if said.points else None,
            boxes=None if said.box is None else [_clipped(said.box, view.shape)],
            masks=None if shown is None else shown[None],
        )
        if known is not None and said.points:
            found, maps = self._mend(view, prompt, said)
            mask = as_clicked(maps[0] > 0, said, KEPT)
            mask = at_clicks(self._with_data(mask, view), known, said)
            mask = without_specks(_own(mask, said, known), known, said)
            mask = self._with_data(mask, view)  # specks are filled
        else:
            once = known is not None or said.box is not None
            found, maps = self._decode(view, prompt, 1 if once else iterations)
            mask = _own(self._with_data(maps[0] > 0, view), said, known)
        return Cut.of(mask, view.top, view.left, float(found.scores[0]))

    def _with_data(self, mask: np.ndarray, view: Tile) -> np.ndarray:
        nothing = self._missing(view.window)
        return mask if nothing is None else mask & ~nothing

    def _find_again(self, view: Tile, known: Cut, iterations: int) -> Cut:
        model, shape = self._model, view.shape
        mask = known.within(view)
        before = np.where(mask, INSIDE_LOGIT, -INSIDE_LOGIT).astype(np.float32)
        with inference(model.device):
            embeddings, valid = self._encoder([view])
            whole = [_whole(shape)]
            with few_threads(embeddings[0, 0].numel()):
                seen = seen_before(model, mask.astype(np.int32), before, whole, valid)
                found = followed(model, embeddings, valid, *seen)
                for _ in range(iterations - 1 if len(found.logits) else 0):
                    prompt = model.prompts_of_each(found, valid)
                    found = model.decode(embeddings, found.image_index, prompt)
            maps = self._maps(found, valid, shape)
        mask = (maps > 0).any(0).cpu().numpy()
        score = float(found.scores.mean()) if len(found.scores) else 0.0
        return Cut.of(mask, view.top, view.left, score)

    def _decode(
        self, view: Tile, prompt: Prompt, iterations: int
    ) -> tuple[Decoding, np.ndarray]:
        """The last iteration, and its ``(N, h, w)`` logits in the view's pixels."""
        model, shape = self._model, view.shape
        with inference(model.device):
            embeddings, valid = self._encoder([view])
            asked = to_input(prompt, model, shape, valid[0])
            with few_threads(embeddings[0, 0].numel()):
                *_, found = decode_prompted(model, embeddings, valid, asked, iterations)
            maps = self._maps(found, valid, shape)
        return found, maps.cpu().numpy()

    def _mend(
        self, view: Tile, prompt: Prompt, clicks: Clicks
    ) -> tuple[Decoding, np.ndarray]:
        """As `_decode`, of one object: the model, fitted to the clicks in the view."""
        model, shape = self._model, view.shape
        with inference(model.device):
            embeddings, valid = self._encoder([view])
            asked = to_input(prompt, model, shape, valid[0])
            cells = tuple(slice(-(-side // model.stride)) for side in valid[0].tolist())
            with few_threads(embeddings[0, 0].numel()):
                found, features = decode_with_features(model, embeddings, asked)
                said = found.logits[0]
                said[cells] = heeded(said[cells], features[cells], clicks, shape)
            maps = self._maps(found, valid, shape)
        return found, maps.cpu().numpy()

    def _maps(self, found: Decoding, valid: Tensor, shape: tuple[int, int]) -> Tensor:
        """``(N, h, w)`` logits in a view's pixels."""
        sides = (int(valid[0, 0]), int(valid[0, 1]))
        return logits_to_image(found.logits, self._encoder.size, sides, shape)

    def first(self, clicks: Clicks) -> Tile:
        """The part of the image that is seen before any other."""
        tile = self._grid.at(*clicks.middle)
        extent = clicks.extent
        return tile if _holds(tile, extent) else self._centred(extent, self._side)

    def _better(self, view: Tile, found: Cut, clicks: Clicks) -> Tile | None:
        """A view that does not cut the object; None if this one does not."""
        lines = (
            (view.top > 0, found.place.top == view.top),
            (view.left > 0, found.place.left == view.left),
            (view.bottom < self._shape[0], found.place.bottom == view.bottom),
            (view.right < self._shape[1], found.place.right == view.right),
        )
        if not found or not any(inner and touched for inner, touched in lines):
            return None
        tile = found.place
        extent = around((tile.top, tile.left, tile.bottom, tile.right), clicks.extent)
        side = max(view.shape)
        if view in self._grid.tiles:
            centred = self._centred(extent, side)
            if centred != view:
                return centred
        return self._centred(extent, WIDER * side)

    def _centred(self, extent: Box, side: float) -> Tile:
        """A square of the image of at least a side, with a box in its middle."""
        top, left, bottom, right = extent
        side = max(side, ROOM * (bottom - top), ROOM * (right - left))
        rows, columns = (
            _span((low + high) / 2, min(round(side), length), length)
            for low, high, length in zip(
                (top, left), (bottom, right), self._shape, strict=True
            )
        )
        return Tile(*rows, *columns)


def _own(mask: np.ndarray, clicks: Clicks, known: np.ndarray | None) -> np.ndarray:
    """The parts of a mask that are the object which was clicked."""
    parts, count = ndimage.label(mask)
    if count <= 1:
        return mask
    wanted = {
        int(parts[int(row), int(column)])
        for (row, column), inside in zip(clicks.points, clicks.inside, strict=True)
        if inside
    }
    if known is not None:
        wanted |= set(np.unique(parts[known]).tolist())
    wanted.discard(0)
    if not wanted:
        wanted = {int(np.bincount(parts.ravel())[1:].argmax()) + 1}
    return np.isin(parts, list(wanted))


def _holds(tile: Tile, extent: Box) -> bool:
    top, left, bottom, right = extent
    rows = tile.top <= top and bottom <= tile.bottom
    return rows and tile.left <= left and right <= tile.right


def _clipped(box: Box, shape: tuple[int, int]) -> Box:
    """A box within an image, at least a pixel wide."""
    low = [
        min(max(0.0, value), side - 1)
        for value, side in zip(box[:2], shape, strict=True)
    ]
    high = [
        max(at + 1, min(value, side))
        for at, value, side in zip(low, box[2:], shape, strict=True)
    ]
    return low[0], low[1], high[0], high[1]


def _span(middle: float, side: int, length: int) -> tuple[int, int]:
    start = min(max(0, round(middle - side / 2)), length - side)
    return start, start + side


def _whole(shape: tuple[int, int]) -> Tile:
    return Tile(0, shape[0], 0, shape[1])
