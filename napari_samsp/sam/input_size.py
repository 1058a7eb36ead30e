"""SAM at another input size than it was trained with.

A smaller input costs far less: the tokens fall with its square, and the work of the
global attention with its fourth power. Only position embeddings depend on the size;
they are stretched, as is usual for vision transformers. At a model's own size nothing
changes, not by a bit. ``vit_t`` has none: its positions are those within a window.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from torch.nn import functional as F

from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from napari_samsp.sam.architecture import Architecture

_POSITIONS = "image_encoder.pos_embed"


def with_input_size(
    architecture: Architecture, state: Mapping[str, Tensor], size: int | None = None
) -> Architecture:
    """Set an architecture's input size.

    Parameters
    ----------
    architecture : Architecture
        An architecture of any input size.
    state : mapping of str to Tensor
        A state dict of it.
    size : int, optional
        Side of the input in pixels; default: the one that the state dict is of, or
        the architecture's own where that cannot be told.

    Returns
    -------
    Architecture
        With that ``image_size``.

    Raises
    ------
    InputError
        If the size is not a multiple of the patch size.
    """
    patch = architecture.patch_size
    if size is None:
        positions = state.get(_POSITIONS)
        if positions is None:  # of vit_t no tensor tells
            size = architecture.image_size
        else:
            size = patch * positions.shape[1]
    if size < patch or size % patch:
        near = max(patch, round(size / patch) * patch)
        raise InputError(
            f"The input size must be a multiple of {patch}, such as {near}, not {size}."
        )
    return replace(architecture, image_size=size)


def fit_positions(
    state: Mapping[str, Tensor], architecture: Architecture
) -> dict[str, Tensor]:
    """Stretch the position embeddings of a state dict to an input size.

    Parameters
    ----------
    state : mapping of str to Tensor
        Of any input size.
    architecture : Architecture
        Of the size that is wanted.

    Returns
    -------
    dict of str to Tensor
        The absolute positions are interpolated bicubically; the relative positions of
        global attention linearly, as segment_anything itself would at every pass.
        Those of window attention do not depend on the size. Tensors that fit already
        are handed on as they are.
    """
    side = architecture.embedding_size
    out = dict(state)
    positions = out.get(_POSITIONS)
    if positions is not None and positions.shape[1:3] != (side, side):
        maps = positions.permute(0, 3, 1, 2).float()
        maps = F.interpolate(maps, (side, side), mode="bicubic", antialias=True)
        out[_POSITIONS] = maps.permute(0, 2, 3, 1)
    for block in architecture.global_attention:
        for axis in "hw":
            key = f"image_encoder.blocks.{block}.attn.rel_pos_{axis}"
            if key in out and len(out[key]) != 2 * side - 1:
                line = out[key].float().T[None]
                line = F.interpolate(line, 2 * side - 1, mode="linear")
                out[key] = line[0].T.contiguous()
    return out
