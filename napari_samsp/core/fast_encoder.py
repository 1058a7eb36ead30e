"""SAM's image encoder on a CPU: the same embedding, faster and in less memory.

Stock SAM writes the scores of 4096 x 4096 tokens of every head three times, each time
into fresh memory, which costs more than the arithmetic. Here attention goes by chunks
of queries through buffers that are used again; windows that reach over the border do
no work on their padding; and the MLP goes by chunks of tokens. Without gradients only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from segment_anything.modeling.image_encoder import get_rel_pos
from torch import Tensor

from napari_samsp.core.chunked_attention import (
    Buffers,
    attention_weights,
    chunks,
    fast_products,
    join_windows,
    relative_positions,
    windows,
)

if TYPE_CHECKING:
    from segment_anything.modeling import ImageEncoderViT

    from napari_samsp.core.sam import SplitAttention

WORTH_IT_TOKENS = 1024
"""With no more of them the plain encoder is as fast."""
TOKENS_AT_ONCE = 1024


def encode(encoder: ImageEncoderViT, images: Tensor) -> Tensor:
    """Embed images as ``encoder(images)`` does.

    Parameters
    ----------
    encoder : ImageEncoderViT
        With `SplitAttention`, adapted by PEFT or not.
    images : Tensor
        ``(B, 3, S, S)`` float32, normalised and padded.

    Returns
    -------
    Tensor
        ``(B, C, h, w)``, equal to the plain encoder's to rounding (1e-5).
    """
    buffers = Buffers()
    with torch.no_grad(), fast_products():
        x = encoder.patch_embed(images)
        if encoder.pos_embed is not None:
            x = x + encoder.pos_embed
        x = x.contiguous()
        for block in encoder.blocks:
            x += _attention(block, block.norm1(x), buffers)
            tokens = x.view(-1, x.shape[-1])
            for part in tokens.split(TOKENS_AT_ONCE):
                part += block.mlp(block.norm2(part))
        return encoder.neck(x.permute(0, 3, 1, 2))


def _attention(block: Any, x: Tensor, buffers: Buffers) -> Tensor:
    """The block's attention of ``(B, H, W, C)`` tokens, over windows or all of them."""
    attention: SplitAttention = block.attn
    b, h, w, _ = x.shape
    side = block.window_size
    rows, cols = (side, side) if side else (h, w)
    q, k, v = (
        windows(projection(x), projection.bias, rows, cols, attention.num_heads)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    out = _attend(attention, q, k, v, rows, cols, buffers)
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
    """Attention with relative positions, a chunk of windows or of queries at a time."""
    by_row, by_col = relative_positions(
        q,
        get_rel_pos(rows, rows, attention.rel_pos_h),
        get_rel_pos(cols, cols, attention.rel_pos_w),
    )
    keys = (k * q.shape[-1] ** -0.5).mT
    out = torch.empty_like(q)
    for some, queries in chunks(*q.shape[:3]):
        positions = by_row[some, :, queries], by_col[some, :, queries]
        weights = attention_weights(q[some, :, queries], keys[some], positions, buffers)
        out[some, :, queries] = weights @ v[some]
    return out
