"""SAM's architectures from segment_anything's own modules, at any size.

A model differs from the stock one in what `napari_samsp.sam.networks.stock_modules`
changes, which changes no number.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import Tensor, nn

from napari_samsp.sam.networks.small_decoder import (
    DrawingPromptEncoder,
    FineMaskDecoder,
)
from napari_samsp.sam.networks.small_encoder import (
    HybridEncoder,
    fine_channels,
    hybrid_channels,
)
from napari_samsp.sam.networks.stock_modules import BatchedMaskDecoder, SplitAttention
from napari_samsp.sam.networks.tiny_vit import (
    FIRST_CONV,
    FIRST_CONV_HERE,
    HEADS,
    WIDTHS,
    TinyEncoder,
    from_mobile_layout,
    to_mobile_layout,
)
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

ImageEncoder: TypeAlias = ImageEncoderViT | HybridEncoder | TinyEncoder
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Architecture:
    """The numbers that define one SAM. Sizes are in pixels of the model's input."""

    image_size: int
    patch_size: int
    embed_dim: int
    depth: int
    num_heads: int
    global_attention: tuple[int, ...]
    window_size: int
    prompt_dim: int = 256
    decoder_mlp_dim: int = 2048
    hybrid: bool = False
    """With a convolutional trunk and fine masks: `small_encoder`."""
    tiny: bool = False
    """With MobileSAM's encoder, whose inner sizes are fixed: `tiny_vit`."""

    @property
    def embedding_size(self) -> int:
        """Side of the image embedding's grid."""
        return self.image_size // self.patch_size

    @property
    def mask_size(self) -> int:
        """Side of the low-res logits."""
        return (8 if self.hybrid else 4) * self.embedding_size


ARCHITECTURES = {
    "samsp_small": Architecture(
        256,
        16,
        192,
        4,
        3,
        (0, 1, 2, 3),
        0,
        prompt_dim=128,
        decoder_mlp_dim=1024,
        hybrid=True,
    ),
    "vit_t": Architecture(1024, 16, WIDTHS[-1], 10, HEADS[-1], (), 0, tiny=True),
    "vit_b": Architecture(1024, 16, 768, 12, 12, (2, 5, 8, 11), 14),
    "vit_l": Architecture(1024, 16, 1024, 24, 16, (5, 11, 17, 23), 14),
    "vit_h": Architecture(1024, 16, 1280, 32, 16, (7, 15, 23, 31), 14),
}


def embedding_channels(sam: Sam) -> list[int]:
    """Channels of an image embedding: the neck's, then of what is folded behind it."""
    width = int(sam.prompt_encoder.embed_dim)
    return hybrid_channels(width) if is_hybrid(sam) else [width]


def is_hybrid(sam: Sam) -> bool:
    """Whether this is ``samsp_small``, see `small_encoder`."""
    return isinstance(sam.image_encoder, HybridEncoder)


def is_tiny(sam: Sam) -> bool:
    """Whether this has MobileSAM's image encoder, see `tiny_vit`."""
    return isinstance(sam.image_encoder, TinyEncoder)


def is_stock(sam: Sam) -> bool:
    """Whether this has SAM's own image encoder, which the kernels run."""
    return isinstance(sam.image_encoder, ImageEncoderViT)


def patch_size(encoder: ImageEncoder) -> int:
    """Input pixels per cell of the embedding, along a side."""
    if isinstance(encoder, TinyEncoder):
        return ARCHITECTURES["vit_t"].patch_size
    assert encoder.pos_embed is not None
    return int(encoder.img_size // encoder.pos_embed.shape[1])


def grid_side(encoder: ImageEncoder) -> int:
    """Cells of the embedding along a side."""
    return int(encoder.img_size) // patch_size(encoder)


def build_sam(architecture: str | Architecture) -> Sam:
    """Build a SAM with random weights, ready for PEFT.

    Parameters
    ----------
    architecture : str or Architecture
        A key of `ARCHITECTURES`, or the numbers themselves.

    Returns
    -------
    segment_anything.modeling.Sam
        In evaluation mode. Its state dict has the stock layout but for the split
        ``qkv``; `to_stock_layout` and `from_stock_layout` convert.
    """
    a = ARCHITECTURES[architecture] if isinstance(architecture, str) else architecture
    sam = Sam(
        image_encoder=_image_encoder(a),
        prompt_encoder=(DrawingPromptEncoder if a.hybrid else PromptEncoder)(
            embed_dim=a.prompt_dim,
            image_embedding_size=(a.embedding_size, a.embedding_size),
            input_image_size=(a.image_size, a.image_size),
            mask_in_chans=16,
        ),
        mask_decoder=(FineMaskDecoder if a.hybrid else BatchedMaskDecoder)(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=2,
                embedding_dim=a.prompt_dim,
                mlp_dim=a.decoder_mlp_dim,
                num_heads=8,
            ),
            transformer_dim=a.prompt_dim,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
        ),
        pixel_mean=list(PIXEL_MEAN),
        pixel_std=list(PIXEL_STD),
    )
    if not a.tiny:
        for block in sam.image_encoder.blocks:
            block.attn = SplitAttention(block.attn)
    return sam.eval()


def _image_encoder(a: Architecture) -> nn.Module:
    if a.hybrid:
        return HybridEncoder(
            a.image_size, a.embed_dim, a.depth, a.num_heads, a.prompt_dim,
            fine_channels(a.prompt_dim), PIXEL_MEAN, PIXEL_STD,
        )  # fmt: skip
    if a.tiny:
        return TinyEncoder(a.image_size, a.prompt_dim)
    return ImageEncoderViT(
        img_size=a.image_size,
        patch_size=a.patch_size,
        embed_dim=a.embed_dim,
        depth=a.depth,
        num_heads=a.num_heads,
        mlp_ratio=4,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=a.global_attention,
        window_size=a.window_size,
        out_chans=a.prompt_dim,
    )


def from_stock_layout(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Split every fused ``qkv`` of a stock SAM state dict.

    Parameters
    ----------
    state : mapping of str to Tensor
        Stock layout or MobileSAM's; one that is split already passes unchanged.

    Returns
    -------
    dict
        The layout of `build_sam`.
    """
    if FIRST_CONV in state:
        return from_mobile_layout(state)
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        head, found, tail = key.partition(".attn.qkv.")
        if not found:
            out[key] = value
            continue
        for name, part in zip("qkv", value.chunk(3), strict=True):
            out[f"{head}.attn.{name}_proj.{tail}"] = part.clone()
    return out


def to_stock_layout(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fuse ``q_proj``, ``k_proj`` and ``v_proj`` back into stock SAM's ``qkv``.

    Parameters
    ----------
    state : mapping of str to Tensor
        The layout of `build_sam`, adapters merged.

    Returns
    -------
    dict
        What ``segment_anything.sam_model_registry`` loads strictly; of ``vit_t``,
        MobileSAM's registry.
    """
    if FIRST_CONV_HERE in state:
        return to_mobile_layout(state)
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        encoder = key.startswith("image_encoder.")
        if encoder and ".attn.q_proj." in key:
            parts = [state[key.replace(".q_proj.", f".{name}_proj.")] for name in "qkv"]
            out[key.replace(".q_proj.", ".qkv.")] = torch.cat(parts)
        elif not (encoder and (".attn.k_proj." in key or ".attn.v_proj." in key)):
            out[key] = value
    return out


def detect_architecture(state: Mapping[str, Tensor]) -> str:
    """Tell by its tensors' shapes which architecture a state dict belongs to.

    Parameters
    ----------
    state : mapping of str to Tensor
        Stock or split layout.

    Returns
    -------
    str
        A key of `ARCHITECTURES`.

    Raises
    ------
    InputError
        If the tensors are not those of a SAM that we know.
    """
    if FIRST_CONV in state or FIRST_CONV_HERE in state:
        return _tiny_architecture(state)
    position = state.get("image_encoder.pos_embed")
    if position is None or position.ndim != 4:
        raise InputError(
            "This file holds no SAM: it has no image_encoder.pos_embed. "
            "Choose a checkpoint in the layout of segment_anything or MobileSAM."
        )
    blocks = {
        key.split(".")[2] for key in state if key.startswith("image_encoder.blocks.")
    }
    for name, a in ARCHITECTURES.items():
        if (a.embed_dim, a.depth) == (position.shape[-1], len(blocks)):
            return name
    raise InputError(
        f"This SAM has {len(blocks)} blocks of width {position.shape[-1]}; known are "
        + ", ".join(f"{n} ({a.depth}, {a.embed_dim})" for n, a in ARCHITECTURES.items())
        + "."
    )


def _tiny_architecture(state: Mapping[str, Tensor]) -> str:
    width = state.get("image_encoder.norm_head.weight", torch.empty(0)).shape
    if width == (WIDTHS[-1],):
        return "vit_t"
    raise InputError(
        f"This SAM has a TinyViT of width {'x'.join(map(str, width))} as its encoder; "
        f"known is MobileSAM's vit_t of width {WIDTHS[-1]}."
    )
