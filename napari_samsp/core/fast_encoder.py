"""SAM's image encoder on a CPU: the same embedding, faster and in less memory.

Stock SAM writes the scores of 4096 x 4096 tokens of every head three times, each time
into fresh memory, which costs more than the arithmetic. Here attention goes by chunks
of queries through buffers that are used again; windows that reach over the border do
no work on their padding; and the MLP goes by chunks of tokens. Without gradients only.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from segment_anything.modeling.image_encoder import get_rel_pos
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segment_anything.modeling import ImageEncoderViT

    from napari_samsp.core.sam import SplitAttention

WORTH_IT_TOKENS = 1024
"""With no more of them the plain encoder is as fast."""
SCORES_AT_ONCE = 6_000_000
"""Elements of a score buffer, 24 MB: it stays near the processor."""
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
    buffers = _Buffers(images)
    with torch.no_grad(), _fast_products():
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


@contextmanager
def _fast_products() -> Iterator[None]:
    """Let float32 products go the way that oneDNN knows, where that is exact.

    "medium" allows less than float32. Most processors do not make use of that, and
    only get the faster library; those that do (Intel's AMX) are found out.
    """
    before = torch.get_float32_matmul_precision()
    if _medium_is_exact():
        torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@cache
def _medium_is_exact() -> bool:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 256, 256, generator=generator)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("highest")
        exact = a @ b
        torch.set_float32_matmul_precision("medium")
        return bool(torch.linalg.norm(a @ b - exact) < 1e-5 * torch.linalg.norm(exact))
    finally:
        torch.set_float32_matmul_precision(before)


class _Buffers:
    """Memory that is taken once and used by every chunk of every block."""

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._flat: dict[str, Tensor] = {}

    def get(self, name: str, *shape: int) -> Tensor:
        size = 1
        for side in shape:
            size *= side
        flat = self._flat.get(name)
        if flat is None or flat.numel() < size:
            flat = self._flat[name] = self._like.new_empty(size)
        return flat[:size].view(shape)


def _attention(block: Any, x: Tensor, buffers: _Buffers) -> Tensor:
    """The block's attention of ``(B, H, W, C)`` tokens, over windows or all of them."""
    attention: SplitAttention = block.attn
    b, h, w, c = x.shape
    side = block.window_size
    rows, cols = (side, side) if side else (h, w)
    q, k, v = (
        _windows(projection(x), projection.bias, rows, cols, attention.num_heads)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    out = _attend(attention, q, k, v, rows, cols, buffers)
    down, across = -(-h // rows), -(-w // cols)
    out = out.view(b, down, across, attention.num_heads, rows, cols, -1)
    out = out.permute(0, 1, 4, 2, 5, 3, 6).reshape(b, down * rows, across * cols, c)
    return attention.proj(out[:, :h, :w])


def _windows(x: Tensor, bias: Tensor, rows: int, cols: int, heads: int) -> Tensor:
    """Cut ``(B, H, W, C)`` into ``(B * windows, heads, rows * cols, C / heads)``.

    Stock SAM pads with zeros before the projection: what is beyond the border becomes
    the bias.
    """
    b, h, w, c = x.shape
    below, right = -h % rows, -w % cols
    if below or right:
        padded = bias.expand(b, h + below, w + right, c).clone()
        padded[:, :h, :w] = x
        x = padded
    down, across = x.shape[1] // rows, x.shape[2] // cols
    x = x.view(b, down, rows, across, cols, heads, c // heads)
    return x.permute(0, 1, 3, 5, 2, 4, 6).reshape(
        b * down * across, heads, rows * cols, c // heads
    )


def _attend(
    attention: SplitAttention,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rows: int,
    cols: int,
    buffers: _Buffers,
) -> Tensor:
    """Attention with relative positions, a chunk of windows or of queries at a time."""
    n, heads, tokens, dim = q.shape
    grid = q.view(n, heads, rows, cols, dim)
    by_row = torch.einsum(
        "nhrcd,rkd->nhrck", grid, get_rel_pos(rows, rows, attention.rel_pos_h)
    ).reshape(n, heads, tokens, rows, 1)
    by_col = torch.einsum(
        "nhrcd,ckd->nhrck", grid, get_rel_pos(cols, cols, attention.rel_pos_w)
    ).reshape(n, heads, tokens, 1, cols)
    keys = (k * dim**-0.5).transpose(-2, -1)
    out = torch.empty_like(q)
    for some, queries in _chunks(n, heads, tokens):
        part = q[some, :, queries]
        shape = (*part.shape[:3], tokens)
        scores = torch.matmul(part, keys[some], out=buffers.get("scores", *shape))
        with_rows = scores.view(*part.shape[:3], rows, cols)
        with_rows += by_row[some, :, queries]
        with_rows += by_col[some, :, queries]
        weights = torch.softmax(scores, -1, out=buffers.get("weights", *shape))
        out[some, :, queries] = weights @ v[some]
    return out


def _chunks(n: int, heads: int, tokens: int) -> list[tuple[slice, slice]]:
    """Which windows and which of their queries are attended to together."""
    windows = SCORES_AT_ONCE // (heads * tokens * tokens)
    if windows:
        return [(slice(a, a + windows), slice(None)) for a in range(0, n, windows)]
    step = max(1, SCORES_AT_ONCE // (heads * tokens))
    return [
        (slice(a, a + 1), slice(first, first + step))
        for a in range(n)
        for first in range(0, tokens, step)
    ]
