"""SAM's mask decoder without gradients: the same masks with less work on the image.

A prompt is a few tokens and an image thousands. Stock SAM projects the image's tokens
for every attention; here the prompt's tokens go through those projections instead,
which is the same product in another order: ``q . (W k) = (W^T q) . k``. What does not
depend on the prompt is not repeated for each, and the upscaling keeps the channels
last, so that nothing is moved but the logits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from segment_anything.modeling.common import LayerNorm2d
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segment_anything.modeling import MaskDecoder
    from segment_anything.modeling.transformer import Attention
    from torch import Tensor


def decode(
    decoder: MaskDecoder,
    images: Tensor,
    positions: Tensor,
    prompts: Tensor,
    fine: Sequence[Tensor] = (),
) -> tuple[Tensor, Tensor]:
    """Decode N prompts, one mask each.

    Parameters
    ----------
    decoder, images, positions, prompts, fine
        As for `read_features`.

    Returns
    -------
    tuple of Tensor
        ``(N, m, m)`` low-res logits and ``(N,)`` predicted IoU, those of the plain
        decoder with ``multimask_output=False`` to rounding (1e-5).
    """
    cells, weights, scores = _read(decoder, images, positions, prompts, fine)
    # One channel is moved, not all of them.
    logits = cells.flatten(1, -2) @ weights[:, :, None]
    logits = logits.view(*cells.shape[:-1], 1)
    return _in_rows(logits, *images.shape[-2:])[..., 0], scores


def read_features(
    decoder: MaskDecoder,
    images: Tensor,
    positions: Tensor,
    prompts: Tensor,
    fine: Sequence[Tensor] = (),
) -> tuple[Tensor, Tensor, Tensor]:
    """What the masks of N prompts are made of: a logit is a product of features.

    Parameters
    ----------
    decoder : MaskDecoder
        SAM's mask decoder.
    images : Tensor
        ``(N, C, h, w)`` embeddings with the dense prompts added, or ``(1, C, h, w)``
        if all prompts share theirs.
    positions : Tensor
        ``(1, C, h, w)``, of the grid.
    prompts : Tensor
        ``(N, tokens, C)``, sparse.
    fine : sequence of Tensor
        Features that meet the upscaling, one per level: ``(N or 1, c * 4**n, h, w)`` at
        the n-th, folded as by ``pixel_unshuffle``.

    Returns
    -------
    tuple of Tensor
        ``(N, m, m, c)`` features of each low-res cell, the ``(N, c)`` weights of the
        mask, and ``(N,)`` predicted IoU.
    """
    cells, weights, scores = _read(decoder, images, positions, prompts, fine)
    return _in_rows(cells, *images.shape[-2:]), weights, scores


def _read(
    decoder: MaskDecoder,
    images: Tensor,
    positions: Tensor,
    prompts: Tensor,
    fine: Sequence[Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """`read_features`, the features still nested as `_upscale` makes them."""
    transformer = decoder.transformer
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([own.expand(len(prompts), -1, -1), prompts], 1)
    image, grid = (x.flatten(2).mT.contiguous() for x in (images, positions))
    queries = tokens
    for layer in transformer.layers:
        if layer.skip_first_layer_pe:
            queries = layer.self_attn(queries, queries, queries)
        else:
            placed = queries + tokens
            queries = queries + layer.self_attn(placed, placed, queries)
        queries = layer.norm1(queries)
        placed_image = image + grid
        attended = _tokens_to_image(
            layer.cross_attn_token_to_image, queries + tokens, placed_image, image
        )
        queries = layer.norm2(queries + attended)
        queries = layer.norm3(queries + layer.mlp(queries))
        image = layer.norm4(
            _image_to_tokens(
                layer.cross_attn_image_to_token,
                image,
                placed_image,
                queries + tokens,
                queries,
            )
        )
    attended = _tokens_to_image(
        transformer.final_attn_token_to_image, queries + tokens, image + grid, image
    )
    queries = transformer.norm_final_attn(queries + attended)
    weights = decoder.output_hypernetworks_mlps[0](queries[:, 1])
    cells = _upscale(decoder.output_upscaling, image, fine)
    return cells, weights, decoder.iou_prediction_head(queries[:, 0])[:, 0]


def _tokens_to_image(
    attention: Attention, tokens: Tensor, placed_image: Tensor, image: Tensor
) -> Tensor:
    """Let ``(N, t, C)`` tokens attend to ``(1 or N, T, C)`` image tokens."""
    n, t, _ = tokens.shape
    heads = attention.num_heads
    q = attention.q_proj(tokens).view(n, t, heads, -1)
    # The bias of k_proj adds the same to all scores of a query: softmax ignores it.
    asked = _through(q, attention.k_proj.weight) * q.shape[-1] ** -0.5
    shared = image.shape[0] == 1
    asked = asked.reshape(1 if shared else n, -1, asked.shape[-1])
    seen = torch.softmax(asked @ placed_image.mT, -1) @ image
    by_head = attention.v_proj.weight.view(heads, q.shape[-1], -1)
    v = torch.einsum("nhtc,hdc->nthd", seen.view(n, heads, t, -1), by_head)
    return attention.out_proj(v.flatten(2) + attention.v_proj.bias)


def _image_to_tokens(
    attention: Attention,
    image: Tensor,
    placed_image: Tensor,
    placed_tokens: Tensor,
    tokens: Tensor,
) -> Tensor:
    """What ``(1 or N, T, C)`` image tokens are after attending to ``(N, t, C)``."""
    n, t, _ = tokens.shape
    heads = attention.num_heads
    k = attention.k_proj(placed_tokens).view(n, t, heads, -1) * _scale(attention)
    v = attention.v_proj(tokens).view(n, t, heads, -1)
    offset = torch.einsum("nthd,hd->nht", k, attention.q_proj.bias.view(heads, -1))
    asked = _through(k, attention.q_proj.weight)
    scores = asked.flatten(1, 2) @ placed_image.mT
    scores = scores.view(n, heads, t, -1) + offset[..., None]
    weights = torch.softmax(scores, 2).flatten(1, 2)
    said = torch.einsum(
        "nthd,chd->nhtc", v, attention.out_proj.weight.view(-1, heads, v.shape[-1])
    )
    # Each head's weights sum to one: the bias can be a part of what is weighted.
    said = said + attention.out_proj.bias / heads
    return torch.baddbmm(image.expand(n, -1, -1), weights.mT, said.flatten(1, 2))


def _scale(attention: Attention) -> float:
    return float((attention.internal_dim // attention.num_heads) ** -0.5)


def _through(x: Tensor, weight: Tensor) -> Tensor:
    """``(N, t, heads, d)`` back through a projection, ``(N, heads, t, C)``."""
    by_head = weight.view(x.shape[2], x.shape[3], -1)
    return torch.einsum("nthd,hdc->nhtc", x, by_head)


def _upscale(upscaling: Any, image: Tensor, fine: Sequence[Tensor]) -> Tensor:
    """Features ``(N, T, 4, .., c)`` of ``(N, T, C)`` image tokens, finer a level.

    Each transposed convolution makes 2 x 2 pixels of one, all on their own: a product.
    """
    x, level = image, 0
    for step in upscaling:
        if isinstance(step, nn.ConvTranspose2d):
            x = _four_pixels(step, x)
            if fine:
                x = x + _nested(fine[level], level + 1)
            level += 1
        elif isinstance(step, LayerNorm2d):
            x = F.layer_norm(x, x.shape[-1:], step.weight, step.bias, step.eps)
        else:
            x = step(x)
    return x


def _in_rows(cells: Tensor, h: int, w: int) -> Tensor:
    """From ``(N, h * w, 4, .., c)``, nested, to ``(N, rows, columns, c)``."""
    n, level = len(cells), cells.ndim - 3
    split = cells.reshape(n, h, w, *(2, 2) * level, cells.shape[-1])
    # The rows of every level, then their columns.
    rows = [1, *range(3, 3 + 2 * level, 2)]
    columns = [axis + 1 for axis in rows]
    moved = split.permute(0, *rows, *columns, split.ndim - 1)
    return moved.reshape(n, h << level, w << level, cells.shape[-1])


def _nested(folded: Tensor, level: int) -> Tensor:
    """``(N, c * 4**n, h, w)`` in the order of `_four_pixels`: ``(N, T, 4, .., c)``."""
    n, _, h, w = folded.shape
    split = folded.view(n, -1, *(2,) * (2 * level), h * w)
    # Channel, the rows of every level, their columns, token.
    pairs = [axis for k in range(level) for axis in (2 + k, 2 + level + k)]
    x = split.permute(0, split.ndim - 1, *pairs, 1)
    return x.reshape(n, h * w, *(4,) * level, -1)


def _four_pixels(convolution: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """``(..., C)`` to ``(..., 4, D)``: above left, above right, below left, ..."""
    weight = convolution.weight.permute(2, 3, 1, 0).flatten(0, 2)
    bias = convolution.bias
    assert bias is not None
    return F.linear(x, weight, bias.repeat(4)).unflatten(-1, (4, -1))
