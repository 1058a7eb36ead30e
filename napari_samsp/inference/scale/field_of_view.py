"""How much of a picture the model sees at once: as told, or found by looking at it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from napari_samsp.inference.scale.object_scale import (
    SMALL,
    WORTH_IT,
    ObjectScale,
    Seen,
    check_object_size,
    estimate_field_of_view,
    field_for,
)
from napari_samsp.inference.tile_encoder import TileEncoder, inference
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.numbers import is_integer

if TYPE_CHECKING:
    from napari_samsp.data.tiling import Tile
    from napari_samsp.self_prompting.model import SelfPrompting

Tiling = Literal["auto", "on", "off"] | int | tuple[int, int]


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
        Encodes tiles of the picture.
    tile : {"auto", "on", "off"}, int or tuple of int
        What suits the objects that it finds in a few crops (`object_scale`), tiles as
        large as its input, the whole picture, or tiles of so many pixels, on pictures
        that are at least 1.5 times as large. Of two numbers: what suits the objects,
        from the first to the second.
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
