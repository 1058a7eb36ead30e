"""SAM's image encoder on a GPU: attention whose scores are never written to memory.

Stock SAM, and torch's attention with a bias, write a term for every pair of 4096 tokens
of every head: as much work for the memory as the arithmetic is for the processor.
FlexAttention (Dong et al., arXiv 2412.05496) adds the relative positions to a score
while it is in a register. It has to be compiled, which does not work everywhere; the
bias does. Which of them is used is found out once, on the encoder's own blocks. Without
gradients only.
"""

from __future__ import annotations

import logging
import time
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_samsp.sam.kernels.attention import positions_of, run_block
from napari_samsp.sam.kernels.encoder_train import first_blocks
from napari_samsp.utils.device import likes_bfloat16
from napari_samsp.utils.errors import is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from segment_anything.modeling import ImageEncoderViT

NEAR = {torch.float32: 1e-4, torch.bfloat16: 3e-2}
"""Tolerated norm of the difference to stock, relative to what the block adds."""
TRIES = 3
"""Timed runs of a block, after one that compiles."""

_log = logging.getLogger(__name__)
_chosen: dict[tuple[Any, ...], str | None] = {}


class Attend(Protocol):
    """Attention with relative positions."""

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_col: Tensor
    ) -> Tensor:
        """Compute attention within windows.

        Parameters
        ----------
        q, k, v : Tensor
            ``(N, heads, rows * cols, d)``.
        by_row : Tensor
            ``(N, heads, rows * cols, rows)``, added to the scores of a row's keys.
        by_col : Tensor
            ``(N, heads, rows * cols, cols)``.

        Returns
        -------
        Tensor
            ``(N, heads, rows * cols, d)``.
        """


def biased(q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_col: Tensor) -> Tensor:
    """Attend with one bias per score; see `Attend`."""
    bias = (by_row[..., :, None] + by_col[..., None, :]).flatten(-2)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def flexible(q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_col: Tensor) -> Tensor:
    """Attend with a modification of scores; see `Attend`. Slow unless compiled."""
    from torch.nn.attention.flex_attention import flex_attention

    cols = by_col.shape[-1]

    def positioned(
        score: Tensor, n: Tensor, head: Tensor, query: Tensor, key: Tensor
    ) -> Tensor:
        row = by_row[n, head, query, key // cols]
        return score + row + by_col[n, head, query, key % cols]

    out = flex_attention(q, k, v, score_mod=positioned)
    assert isinstance(out, Tensor)
    return out


@cache
def _compiled(attend: Attend) -> Attend:
    # What cannot be compiled must fail, not go on slowly and write every score.
    compiled: Any = torch.compile(attend, dynamic=False, fullgraph=True)
    return compiled


WAYS: dict[str, Callable[[torch.device], Attend]] = {
    "flex": lambda device: _compiled(flexible) if device.type == "cuda" else flexible,
    "sdpa": lambda _: biased,
}
"""How attention can go, on a device."""


def encode(encoder: ImageEncoderViT, images: Tensor) -> Tensor:
    """Embed images as ``encoder(images)`` does.

    Parameters
    ----------
    encoder : ImageEncoderViT
        With `napari_samsp.sam.networks.stock_modules.SplitAttention`, adapted by PEFT
        or not.
    images : Tensor
        ``(B, 3, S, S)`` float32, normalised and padded.

    Returns
    -------
    Tensor
        ``(B, C, h, w)``, equal to the plain encoder's to rounding, in bfloat16 where
        the device has it.
    """
    device = images.device
    bfloat16 = likes_bfloat16(device)
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, bfloat16):
        key = _key(encoder, images, bfloat16)
        if key not in _chosen:
            _chosen[key] = choose(encoder, images)
        name = _chosen[key]
        if name is not None:
            try:
                return run(encoder, images, WAYS[name](device))
            except RuntimeError as error:
                if is_out_of_memory(error):
                    raise
                _chosen[key] = None
                _tell(name, error)
        return encoder(images)


def run(encoder: ImageEncoderViT, images: Tensor, attend: Attend) -> Tensor:
    """Embed images with a given attention, in the precision that is set.

    Parameters
    ----------
    encoder, images
        As for `encode`.
    attend : Attend
        One of `WAYS`.

    Returns
    -------
    Tensor
        As `encode`.
    """
    x = first_blocks(encoder, images, 0)
    for block in encoder.blocks:
        x = _block(block, x, attend)
    return encoder.neck(x.permute(0, 3, 1, 2))


def choose(encoder: ImageEncoderViT, images: Tensor) -> str | None:
    """Find the fastest attention that says what the encoder's own blocks say.

    Parameters
    ----------
    encoder : ImageEncoderViT
        Its first block with windows and its first without are tried.
    images : Tensor
        The first is looked at.

    Returns
    -------
    str or None
        A key of `WAYS`; None if each fails, with a line in the log.
    """
    first = encoder.patch_embed(images[:1])
    kinds = {bool(block.window_size): block for block in reversed(encoder.blocks)}
    seconds = {}
    for name, way in WAYS.items():
        try:
            attend = way(images.device)
            seconds[name] = sum(
                _seconds(block, first, attend) for block in kinds.values()
            )
        except (RuntimeError, ImportError, OSError) as error:
            if is_out_of_memory(error):
                raise
            _tell(name, error)
    return min(seconds, key=seconds.__getitem__) if seconds else None


def _block(block: Any, x: Tensor, attend: Attend) -> Tensor:
    """A transformer block of ``(B, H, W, C)`` tokens, without work on padding."""

    def attended(
        attention: Any, q: Tensor, k: Tensor, v: Tensor, rows: int, cols: int
    ) -> Tensor:
        by_row, by_col = positions_of(attention, q, rows, cols)
        return attend(q, k, v, by_row[..., 0], by_col[..., 0, :])

    return run_block(block, x, attended)


def _seconds(block: Any, x: Tensor, attend: Attend) -> float:
    """How long a block takes; raises RuntimeError if it does not equal its own."""
    said, expected = _block(block, x, attend), block(x)
    near = NEAR[torch.bfloat16 if torch.is_autocast_enabled(x.device.type) else x.dtype]
    differs = torch.linalg.norm((said - expected).float())
    off = float(differs / torch.linalg.norm((expected - x).float()))
    if not off <= near:
        raise RuntimeError(f"its block differs from stock's by {off:.1e}")
    best = float("inf")
    for _ in range(TRIES):
        _wait(x.device)
        begun = time.perf_counter()
        _block(block, x, attend)
        _wait(x.device)
        best = min(best, time.perf_counter() - begun)
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _key(encoder: ImageEncoderViT, images: Tensor, bfloat16: bool) -> tuple[Any, ...]:
    attention: Any = encoder.blocks[0].attn
    width = encoder.patch_embed.proj.out_channels
    return (images.device, bfloat16, width, attention.num_heads, images.shape[-1])


def _tell(name: str, error: Exception) -> None:
    lines = str(error).strip().splitlines()
    why = lines[0] if lines else type(error).__name__
    _log.warning("The image encoder goes without %s attention: %s", name, why)
