"""Two of segment_anything's modules in another form, which changes no number.

The fused ``qkv`` of the image encoder's attention is held as ``q_proj``, ``k_proj`` and
``v_proj``, so that PEFT can adapt two of the three; and the mask decoder takes one
image embedding per prompt, so that prompts of several images decode as one batch.
"""

from __future__ import annotations

import torch
from segment_anything.modeling import MaskDecoder
from segment_anything.modeling.image_encoder import Attention, get_rel_pos
from torch import Tensor, nn
from torch.nn import functional as F


class SplitAttention(nn.Module):
    """The image encoder's attention with separate query, key and value projections.

    Parameters
    ----------
    fused : segment_anything.modeling.image_encoder.Attention
        The stock module; its parameters other than ``qkv`` are shared.
    """

    def __init__(self, fused: Attention) -> None:
        super().__init__()
        dim = fused.proj.in_features
        self.num_heads: int = fused.num_heads
        bias = fused.qkv.bias is not None
        self.q_proj, self.k_proj, self.v_proj = (
            nn.Linear(dim, dim, bias=bias) for _ in range(3)
        )
        self.proj: nn.Linear = fused.proj
        self.rel_pos_h: nn.Parameter = fused.rel_pos_h
        self.rel_pos_w: nn.Parameter = fused.rel_pos_w

    def forward(self, x: Tensor) -> Tensor:
        """Attend over the tokens of each image or window.

        Parameters
        ----------
        x : Tensor
            ``(B, H, W, C)`` tokens.

        Returns
        -------
        Tensor
            ``(B, H, W, C)``.
        """
        b, h, w, c = x.shape
        q, k, v = (
            projection(x).reshape(b, h * w, self.num_heads, -1).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        grid = q.reshape(b, self.num_heads, h, w, -1)
        rows = torch.einsum("bnhwc,hkc->bnhwk", grid, get_rel_pos(h, h, self.rel_pos_h))
        cols = torch.einsum("bnhwc,wkc->bnhwk", grid, get_rel_pos(w, w, self.rel_pos_w))
        bias = (rows[..., :, None] + cols[..., None, :]).reshape(
            b, self.num_heads, h * w, h * w
        )
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(out.transpose(1, 2).reshape(b, h, w, c))


class BatchedMaskDecoder(MaskDecoder):
    """SAM's mask decoder for prompts that may belong to different images."""

    def predict_masks(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Predict the masks of N prompts.

        Parameters
        ----------
        image_embeddings : Tensor
            ``(B, C, h, w)``, of which each is that of N / B prompts in a row.
        image_pe : Tensor
            ``(1, C, h, w)``.
        sparse_prompt_embeddings : Tensor
            ``(N, tokens, C)``.
        dense_prompt_embeddings : Tensor
            ``(N, C, h, w)``.

        Returns
        -------
        tuple of Tensor
            Low-res logits ``(N, masks, 4h, 4w)`` and predicted IoU ``(N, masks)``.
        """
        n = sparse_prompt_embeddings.shape[0]  # len() would be a constant in ONNX
        out_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat(
            [out_tokens.expand(n, -1, -1), sparse_prompt_embeddings], dim=1
        )
        src = add_to_each(image_embeddings, dense_prompt_embeddings)
        hidden, src = self.transformer(src, image_pe.expand_as(src), tokens)
        h, w = dense_prompt_embeddings.shape[-2:]
        upscaled = self.output_upscaling(src.transpose(1, 2).reshape(n, -1, h, w))
        return read_out(self, hidden, upscaled)


def add_to_each(images: Tensor, prompts: Tensor) -> Tensor:
    """Add what images are to what their prompts are; no image is copied.

    Parameters
    ----------
    images : Tensor
        ``(B, C, h, w)``.
    prompts : Tensor
        ``(N, C, h, w)``; of each image N / B in a row.

    Returns
    -------
    Tensor
        ``(N, C, h, w)``.
    """
    if len(images) == 1 or len(images) == len(prompts):
        return images + prompts
    each = prompts.unflatten(0, (len(images), -1))
    return (images[:, None] + each).flatten(0, 1)


def images_of(images: Tensor, index: Tensor, shared: bool) -> Tensor:
    """The images of prompts, as `BatchedMaskDecoder.predict_masks` takes them.

    Parameters
    ----------
    images : Tensor
        ``(B, C, h, w)``.
    index : Tensor
        ``(N,)`` int64, the image of each prompt.
    shared : bool
        Whether an image with several prompts in a row need not be copied for each,
        such as for each of its classes.

    Returns
    -------
    Tensor
        ``(B, C, h, w)`` where all images have as many prompts in a row, else
        ``(N, C, h, w)``.
    """
    # Copies are dear where gradients need them. Elsewhere a GPU would have to be waited
    # for, and what an index holds is not known while a model is traced.
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return images[index]
    b, n = len(images), len(index)
    if n == b or (shared and n and n % b == 0):
        every = torch.arange(b, device=index.device).repeat_interleave(n // b)
        if torch.equal(every, index):
            return images
    return images[index]


def read_out(
    decoder: MaskDecoder, hidden: Tensor, upscaled: Tensor
) -> tuple[Tensor, Tensor]:
    """Masks and predicted IoU from a mask decoder's tokens.

    Parameters
    ----------
    decoder : MaskDecoder
        The decoder whose heads read the tokens.
    hidden : Tensor
        ``(N, tokens, C)`` of the transformer: the IoU's, then one a mask.
    upscaled : Tensor
        ``(N, c, H, W)`` features.

    Returns
    -------
    tuple of Tensor
        Logits ``(N, masks, H, W)`` and predicted IoU ``(N, masks)``.
    """
    weights = torch.stack(
        [
            mlp(hidden[:, 1 + i])
            for i, mlp in enumerate(decoder.output_hypernetworks_mlps)
        ],
        dim=1,
    )
    logits = torch.einsum("nmc,nchw->nmhw", weights, upscaled)
    return logits, decoder.iou_prediction_head(hidden[:, 0])
