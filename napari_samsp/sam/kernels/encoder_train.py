"""SAM's image encoder in training: stock's gradients in less time and memory.

Stock SAM keeps every score of every head for the backward pass, 800 MB in each block
that attends to all of 4096 tokens; so does torch's own attention on a CPU when the
bias needs a gradient, and that of relative positions does: it depends on the query.
Here attention keeps query, key and value only, and makes the scores again, a chunk at
a time through buffers that are used again (as in FlashAttention, arXiv 2205.14135).

The first blocks and the rest can be run apart, so that what is frozen runs once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from segment_anything.modeling.image_encoder import get_rel_pos
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from napari_samsp.sam.kernels.attention import (
    Buffers,
    attention_weights,
    chunks,
    relative_positions,
    run_block,
)
from napari_samsp.sam.networks.conv_trunk import CHANNELS
from napari_samsp.sam.networks.small_encoder import PYRAMID, HybridEncoder, fold, unfold
from napari_samsp.sam.networks.tiny_vit import TinyEncoder

if TYPE_CHECKING:
    from napari_samsp.sam.architecture import ImageEncoder

WORTH_IT_TOKENS = 1024
"""With so few tokens or fewer, the plain blocks are as fast."""


def first_blocks(encoder: ImageEncoder, images: Tensor, count: int) -> Tensor:
    """Run the patch embedding and the first transformer blocks.

    Parameters
    ----------
    encoder : ImageEncoder
        Of `napari_samsp.sam.architecture.build_sam`, adapted by PEFT or not.
    images : Tensor
        ``(B, 3, S, S)`` float32, normalised and padded.
    count : int
        How many blocks; 0 gives the embedded patches.

    Returns
    -------
    Tensor
        ``(B, h, w, C)`` tokens, what `last_blocks` goes on from; of a hybrid encoder
        the trunk's finer features lie behind their channels. Of ``vit_t`` they are
        finer than the embedding before the third block.
    """
    features: list[Tensor] = []
    if isinstance(encoder, HybridEncoder):
        tokens, features = encoder.embed_patches(images)
    else:
        tokens = encoder.patch_embed(images)
        if encoder.pos_embed is not None:
            tokens = tokens + encoder.pos_embed
    tokens = _run(encoder, tokens, range(count), checkpointing=False)
    behind = [f.permute(0, 2, 3, 1) for f in fold(features)]
    return torch.cat([tokens, *behind], -1) if behind else tokens


def last_blocks(
    encoder: ImageEncoder, tokens: Tensor, count: int, checkpointing: bool = False
) -> Tensor:
    """Run the blocks after the first ``count``, and the neck.

    Parameters
    ----------
    encoder : ImageEncoder
        As for `first_blocks`.
    tokens : Tensor
        ``(B, h, w, C)``, of `first_blocks`.
    count : int
        The same as there.
    checkpointing : bool
        Keep each block's input only, and run the block again in the backward pass.

    Returns
    -------
    Tensor
        ``(B, c, h, w)`` image embeddings, equal to ``encoder(images)`` to rounding.
    """
    blocks = range(count, len(encoder.blocks))
    if not isinstance(encoder, HybridEncoder):
        tokens = _run(encoder, tokens, blocks, checkpointing)
        return encoder.neck(tokens.permute(0, 3, 1, 2))
    width = encoder.pos_embed.shape[-1]
    folded = [CHANNELS[stride] * 4**n for n, stride in enumerate(PYRAMID, start=1)]
    tokens, *behind = tokens.split([width, *folded], dim=-1)
    features = unfold([f.permute(0, 3, 1, 2) for f in behind])
    return encoder.finish(_run(encoder, tokens, blocks, checkpointing), features)


def _run(
    encoder: ImageEncoder, tokens: Tensor, blocks: range, checkpointing: bool
) -> Tensor:
    cells = tokens.shape[1] * tokens.shape[2]
    lean = tokens.device.type == "cpu" and cells > WORTH_IT_TOKENS
    lean &= not isinstance(encoder, TinyEncoder)  # its windows' scores are few
    buffers = Buffers()
    for n in blocks:
        block = encoder.blocks[n]
        arguments = (block, tokens, buffers) if lean else (tokens,)
        run: Any = _block if lean else block
        if checkpointing and torch.is_grad_enabled():
            tokens = checkpoint(run, *arguments, use_reentrant=False)
        else:
            tokens = run(*arguments)
    return tokens


def _block(block: Any, x: Tensor, buffers: Buffers) -> Tensor:
    """A transformer block of ``(B, H, W, C)`` tokens, without work on padding."""

    def attend(
        attention: Any, q: Tensor, k: Tensor, v: Tensor, rows: int, cols: int
    ) -> Tensor:
        out: Any = ChunkedAttention.apply(
            q, k, v,
            get_rel_pos(rows, rows, attention.rel_pos_h).to(q.dtype),
            get_rel_pos(cols, cols, attention.rel_pos_w).to(q.dtype),
            buffers,
        )  # fmt: skip
        return cast("Tensor", out)

    return run_block(block, x, attend)


class ChunkedAttention(torch.autograd.Function):
    """Attention with decomposed relative positions, whose scores are never kept.

    Equals ``softmax(q k^T / sqrt(d) + q Rh^T + q Rw^T) v`` (Li et al., MViTv2, arXiv
    2112.01526, section 4.1) in value and gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        by_row: Tensor,
        by_col: Tensor,
        buffers: Buffers,
    ) -> Tensor:
        """Attend, a chunk of windows or of queries at a time.

        Parameters
        ----------
        ctx : FunctionCtx
            Torch's own context.
        q, k, v : Tensor
            ``(N, heads, rows * cols, d)``.
        by_row : Tensor
            ``(rows, rows, d)``, from `get_rel_pos`.
        by_col : Tensor
            ``(cols, cols, d)``.
        buffers : Buffers
            Memory for the scores.

        Returns
        -------
        Tensor
            ``(N, heads, rows * cols, d)``.
        """
        ctx.save_for_backward(q, k, v, by_row, by_col)
        ctx.buffers = buffers
        out = torch.empty_like(q)
        on_rows, on_cols = relative_positions(q, by_row, by_col)
        keys = (k * q.shape[-1] ** -0.5).mT
        for some, queries in chunks(*q.shape[:3]):
            positions = on_rows[some, :, queries], on_cols[some, :, queries]
            weights = attention_weights(
                q[some, :, queries], keys[some], positions, buffers
            )
            out[some, :, queries] = weights @ v[some]
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Make the scores again and hand the gradient on.

        Parameters
        ----------
        ctx : FunctionCtx
            Torch's own context.
        *gradients : Tensor
            One: of the output.

        Returns
        -------
        tuple of Tensor or None
            Of the inputs of `forward`.
        """
        q, k, v, by_row, by_col = ctx.saved_tensors
        buffers: Buffers = ctx.buffers
        upstream = gradients[0].contiguous()
        n, heads, tokens, dim = q.shape
        rows, cols = len(by_row), len(by_col)
        on_rows, on_cols = relative_positions(q, by_row, by_col)
        scale = dim**-0.5
        keys, values = (k * scale).mT, v.mT
        dq = torch.empty_like(q)
        # Sums over many chunks, which bfloat16 would round away.
        sums = torch.promote_types(q.dtype, torch.float32)
        dk, dv = (torch.zeros_like(t, dtype=sums) for t in (k, v))
        d_row, d_col = (
            q.new_empty(n, heads, tokens, side) for side in (rows, cols)
        )  # fmt: skip
        for some, queries in chunks(n, heads, tokens):
            positions = on_rows[some, :, queries], on_cols[some, :, queries]
            weights = attention_weights(
                q[some, :, queries], keys[some], positions, buffers
            )
            part = upstream[some, :, queries]
            dv[some] += weights.mT @ part
            scores = buffers.get("scores", q, *weights.shape)
            torch.matmul(part, values[some], out=scores)
            torch.ops.aten._softmax_backward_data.out(
                scores, weights, -1, weights.dtype, grad_input=scores
            )
            dq[some, :, queries] = scores @ keys[some].mT
            dk[some] += scores.mT @ (q[some, :, queries] * scale)
            grid = scores.view(*scores.shape[:3], rows, cols)
            d_row[some, :, queries] = grid.sum(-1)
            d_col[some, :, queries] = grid.sum(-2)
        grid_q = q.view(n, heads, rows, cols, dim)
        d_row, d_col = (d.view(n, heads, rows, cols, -1) for d in (d_row, d_col))
        bent = torch.einsum("nhrck,rkd->nhrcd", d_row, by_row)
        bent += torch.einsum("nhrck,ckd->nhrcd", d_col, by_col)
        dq += bent.reshape_as(dq)
        wanted = ctx.needs_input_grad
        return (
            dq,
            dk.to(k.dtype),
            dv.to(v.dtype),
            torch.einsum("nhrck,nhrcd->rkd", d_row, grid_q) if wanted[3] else None,
            torch.einsum("nhrck,nhrcd->ckd", d_col, grid_q) if wanted[4] else None,
            None,
        )
