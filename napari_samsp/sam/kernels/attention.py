"""Pieces of the image encoder's attention: chunks, windows, positions, buffers.

Shared by inference (`encoder_cpu`, `encoder_cuda`) and training (`encoder_train`).
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from math import prod
from threading import Lock
from typing import TYPE_CHECKING, Any

import torch
from segment_anything.modeling.image_encoder import get_rel_pos
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_samsp.sam.networks.stock_modules import SplitAttention

SCORES_AT_ONCE = 6_000_000
"""Elements of a score buffer, 24 MB: it stays near the processor."""


class Buffers:
    """Memory that is taken once and used by every chunk of every block."""

    def __init__(self) -> None:
        self._flat: dict[str, Tensor] = {}

    def get(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """A tensor with anything in it, until it is asked for again.

        Parameters
        ----------
        name : str
            What it is for.
        like : Tensor
            Of the wanted type, on the wanted device.
        *shape : int
            Sides of the tensor.

        Returns
        -------
        Tensor
            Of that shape; what it holds is arbitrary.
        """
        size = prod(shape)
        flat = self._flat.get(name)
        if flat is None or flat.numel() < size or flat.dtype != like.dtype:
            flat = self._flat[name] = like.new_empty(size)
        return flat[:size].view(shape)


def windows(x: Tensor, bias: Tensor, rows: int, cols: int, heads: int) -> Tensor:
    """Cut a projection of tokens into windows and heads.

    Parameters
    ----------
    x : Tensor
        ``(B, H, W, C)`` projected tokens, not padded.
    bias : Tensor
        ``(C,)``, the projection's. Stock SAM pads with zeros before the projection:
        what is beyond the border becomes the bias.
    rows, cols : int
        Sides of a window.
    heads : int
        Heads of the attention.

    Returns
    -------
    Tensor
        ``(B * windows, heads, rows * cols, C / heads)``.
    """
    b, h, w, c = x.shape
    below, right = -h % rows, -w % cols
    if below or right:
        padded = bias.to(x.dtype).expand(b, h + below, w + right, c).clone()
        padded[:, :h, :w] = x
        x = padded
    down, across = x.shape[1] // rows, x.shape[2] // cols
    x = x.view(b, down, rows, across, cols, heads, c // heads)
    return x.permute(0, 1, 3, 5, 2, 4, 6).reshape(
        b * down * across, heads, rows * cols, c // heads
    )


def join_windows(x: Tensor, batch: int, h: int, w: int, rows: int, cols: int) -> Tensor:
    """Put windows together again, without what lies beyond the border.

    Parameters
    ----------
    x : Tensor
        ``(batch * windows, heads, rows * cols, d)``, as `windows` gives.
    batch, h, w : int
        Sides of the result.
    rows, cols : int
        Sides of a window.

    Returns
    -------
    Tensor
        ``(batch, h, w, heads * d)``.
    """
    heads, d = x.shape[1], x.shape[3]
    down, across = -(-h // rows), -(-w // cols)
    x = x.reshape(batch, down, across, heads, rows, cols, d)
    x = x.permute(0, 1, 4, 2, 5, 3, 6)
    return x.reshape(batch, down * rows, across * cols, heads * d)[:, :h, :w]


def relative_positions(
    q: Tensor, by_row: Tensor, by_col: Tensor
) -> tuple[Tensor, Tensor]:
    """What relative positions add to the scores, by row and by column of the key.

    Parameters
    ----------
    q : Tensor
        ``(N, heads, rows * cols, d)`` queries, not scaled.
    by_row, by_col : Tensor
        ``(rows, rows, d)`` and ``(cols, cols, d)``, from stock's ``get_rel_pos``.

    Returns
    -------
    tuple of Tensor
        ``(N, heads, rows * cols, rows, 1)`` and ``(N, heads, rows * cols, 1, cols)``.
    """
    n, heads, tokens, d = q.shape
    rows, cols = len(by_row), len(by_col)
    grid = q.view(n, heads, rows, cols, d)
    return (
        torch.einsum("nhrcd,rkd->nhrck", grid, by_row).reshape(
            n, heads, tokens, rows, 1
        ),
        torch.einsum("nhrcd,ckd->nhrck", grid, by_col).reshape(
            n, heads, tokens, 1, cols
        ),
    )


def positions_of(
    attention: SplitAttention, q: Tensor, rows: int, cols: int
) -> tuple[Tensor, Tensor]:
    """As `relative_positions`, with the tables of an attention.

    Parameters
    ----------
    attention : SplitAttention
        The attention whose position tables are read.
    q : Tensor
        Queries, as for `relative_positions`.
    rows, cols : int
        Sides of a window.

    Returns
    -------
    tuple of Tensor
        As `relative_positions` gives them.
    """
    return relative_positions(
        q,
        get_rel_pos(rows, rows, attention.rel_pos_h).to(q.dtype),
        get_rel_pos(cols, cols, attention.rel_pos_w).to(q.dtype),
    )


def attention_weights(
    q: Tensor,
    keys: Tensor,
    positions: tuple[Tensor, Tensor],
    buffers: Buffers,
) -> Tensor:
    """The softmax of a chunk's scores.

    Parameters
    ----------
    q : Tensor
        ``(n, heads, queries, d)``, not scaled.
    keys : Tensor
        ``(n, heads, d, rows * cols)``, scaled.
    positions : tuple of Tensor
        Of these queries, from `relative_positions`.
    buffers : Buffers
        Takes ``weights`` of it.

    Returns
    -------
    Tensor
        ``(n, heads, queries, rows * cols)``, in the buffer ``weights``.
    """
    weights = buffers.get("weights", q, *q.shape[:3], keys.shape[-1])
    rows, cols = positions[0].shape[-2], positions[1].shape[-1]
    # Each element is written once and changed in place: memory is slower than sums.
    torch.add(*positions, out=weights.view(*q.shape[:3], rows, cols))
    flat = weights.flatten(0, 1).baddbmm_(q.flatten(0, 1), keys.flatten(0, 1))
    torch.softmax(flat, -1, out=flat)
    return weights


def chunks(n: int, heads: int, tokens: int) -> list[tuple[slice, slice]]:
    """Which windows and which of their queries are attended to together.

    Parameters
    ----------
    n : int
        Windows, of all images together; with ``heads`` 1 perhaps one a head.
    heads, tokens : int
        Heads and tokens of each window.

    Returns
    -------
    list of tuple of slice
        Over windows and over queries; together all of them.
    """
    windows = SCORES_AT_ONCE // (heads * tokens * tokens)
    if windows:
        return [(slice(a, a + windows), slice(None)) for a in range(0, n, windows)]
    step = max(1, SCORES_AT_ONCE // (heads * tokens))
    return [
        (slice(a, a + 1), slice(first, first + step))
        for a in range(n)
        for first in range(0, tokens, step)
    ]


def run_block(
    block: Any,
    x: Tensor,
    attend: Callable[[Any, Tensor, Tensor, Tensor, int, int], Tensor],
) -> Tensor:
    """Run a transformer block without work on padding.

    Parameters
    ----------
    block : Block
        With `napari_samsp.sam.networks.stock_modules.SplitAttention`.
    x : Tensor
        ``(B, H, W, C)`` tokens.
    attend : callable
        Of the block's attention, query, key and value ``(N, heads, rows * cols, d)``,
        rows and columns of a window: what they attend to, of the query's shape.

    Returns
    -------
    Tensor
        ``(B, H, W, C)``.
    """
    attention, side = block.attn, block.window_size
    b, h, w, _ = x.shape
    rows, cols = (side, side) if side else (h, w)
    normed = block.norm1(x)
    q, k, v = (
        windows(projection(normed), projection.bias, rows, cols, attention.num_heads)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    out = attend(attention, q, k, v, rows, cols)
    x = x + attention.proj(join_windows(out, b, h, w, rows, cols))
    return x + block.mlp(block.norm2(x))


class _Precision:
    """Torch's setting is the process's, and threads that want it come and go."""

    def __init__(self) -> None:
        self._lock, self._users, self._before = Lock(), 0, "highest"

    def acquire(self) -> None:
        with self._lock:
            if self._users == 0:
                self._before = torch.get_float32_matmul_precision()
                if _medium_is_exact():
                    torch.set_float32_matmul_precision("medium")
            self._users += 1

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                torch.set_float32_matmul_precision(self._before)


_precision = _Precision()


@contextmanager
def fast_products() -> Iterator[None]:
    """Let float32 products go the way that oneDNN knows, where that is exact.

    "medium" allows less than float32. Most processors do not make use of that, and
    only get the faster library; those that do (Intel's AMX) are found out. What was
    set before is set again when the last of all threads is through.
    """
    _precision.acquire()
    try:
        yield
    finally:
        _precision.release()


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
