"""SAM's image encoder on a CPU: the same embedding, faster and in less memory.

Stock SAM writes the scores of 4096 x 4096 tokens of every head three times, each time
into fresh memory, which costs more than the arithmetic. Here attention goes by chunks
of queries through buffers that are used again; windows that reach over the border do
no work on their padding; and the MLP goes by chunks of tokens. Without gradients only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_samsp.sam.kernels.attention import (
    Buffers,
    attention_weights,
    chunks,
    fast_products,
    join_windows,
    positions_of,
    windows,
)
from napari_samsp.utils.device import likes_bfloat16

if TYPE_CHECKING:
    from segment_anything.modeling import ImageEncoderViT

    from napari_samsp.sam.networks.stock_modules import SplitAttention

WORTH_IT_TOKENS = 1024
"""With so few tokens or fewer, the plain encoder is as fast."""
TOKENS_AT_ONCE = 1024


def encode(
    encoder: ImageEncoderViT, images: Tensor, bfloat16: bool | None = None
) -> Tensor:
    """Embed images as ``encoder(images)`` does.

    Parameters
    ----------
    encoder : ImageEncoderViT
        With `SplitAttention`, adapted by PEFT or not.
    images : Tensor
        ``(B, 3, S, S)`` float32, normalised and padded.
    bfloat16 : bool, optional
        Whether the blocks' products are made of bfloat16 numbers; sums, norms and what
        is handed from block to block stay float32. Default: `device.likes_bfloat16`.

    Returns
    -------
    Tensor
        ``(B, C, h, w)`` float32, equal to the plain encoder's to rounding: 1e-5, or a
        hundredth of its spread with bfloat16.
    """
    if bfloat16 is None:
        bfloat16 = likes_bfloat16(images.device)
    buffers = Buffers()
    with torch.no_grad(), fast_products():
        x = encoder.patch_embed(images)
        if encoder.pos_embed is not None:
            x = x + encoder.pos_embed
        x = x.contiguous()
        # Without its cache: that would hold a second copy of all weights.
        with torch.autocast("cpu", torch.bfloat16, bfloat16, cache_enabled=False):
            for block in encoder.blocks:
                x += _attention(block, x, buffers)
                tokens = x.view(-1, x.shape[-1])
                for part in tokens.split(TOKENS_AT_ONCE):
                    part += block.mlp(block.norm2(part))
        return encoder.neck(x.permute(0, 3, 1, 2))


def _attention(block: Any, x: Tensor, buffers: Buffers) -> Tensor:
    """The block's attention of ``(B, H, W, C)`` tokens, over windows or all of them."""
    attention: SplitAttention = block.attn
    b, h, w, _ = x.shape
    x = block.norm1(x)
    side = block.window_size
    rows, cols = (side, side) if side else (h, w)
    if torch.is_autocast_enabled("cpu"):
        x = x.bfloat16()  # once, not in every projection
    q, k, v = (
        windows(projection(x), projection.bias, rows, cols, attention.num_heads)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    del x
    if q.dtype == torch.bfloat16:
        out = _attend_folded(attention, q, k, v, rows, cols)
    else:
        out = _attend(attention, q, k, v, rows, cols, buffers)
    del q, k, v
    return attention.proj(join_windows(out, b, h, w, rows, cols))


def _attend(
    attention: SplitAttention,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rows: int,
    cols: int,
    buffers: Buffers,
) -> Tensor:
    """Attention with relative positions, a chunk of windows or of queries at a time.

    The result takes the place of the queries.
    """
    n, heads, tokens, dim = q.shape
    # Of many tokens one head at a time: more queries make a better product.
    q, k, v = (x.reshape(n * heads, 1, tokens, dim) for x in (q, k, v))
    at_hand = None
    for some, queries in chunks(n * heads, 1, tokens):
        if some != at_hand:
            # Of all windows and heads together these would be as large as q.
            at_hand, keys = some, (k[some] * dim**-0.5).mT
            by_row, by_col = positions_of(attention, q[some], rows, cols)
        positions = by_row[:, :, queries], by_col[:, :, queries]
        weights = attention_weights(q[some, :, queries], keys, positions, buffers)
        torch.bmm(weights[:, 0], v[some, 0], out=q[some, 0, queries])
    return q.view(n, heads, tokens, dim)


def _attend_folded(
    attention: SplitAttention, q: Tensor, k: Tensor, v: Tensor, rows: int, cols: int
) -> Tensor:
    """The same for bfloat16, by torch's flash kernel, which keeps scores in float32.

    That kernel takes no positions, so they become part of the product: queries are
    followed by their terms, keys by which row and which column they are.
    """
    n, heads, _, dim = q.shape
    by_row, by_col = positions_of(attention, q, rows, cols)
    row = torch.eye(rows, dtype=q.dtype).repeat_interleave(cols, 0)
    col = torch.eye(cols, dtype=q.dtype).repeat(rows, 1)
    place = torch.cat([row, col], -1).expand(n, heads, -1, -1)
    out = F.scaled_dot_product_attention(
        torch.cat([q * dim**-0.5, by_row[..., 0], by_col[..., 0, :]], -1),
        torch.cat([k, place], -1),
        F.pad(v, (0, rows + cols)),
        scale=1.0,
    )
    return out[..., :dim]
