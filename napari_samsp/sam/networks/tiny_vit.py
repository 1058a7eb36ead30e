"""MobileSAM's image encoder, ``vit_t``: TinyViT with SAM's neck.

MobileSAM (arXiv 2306.14289) puts the 5 M parameter TinyViT (arXiv 2207.10666) in the
place of SAM's image encoder and keeps the other two parts. The network is timm's, but
for the stride of the last downsampling, which is 1, so that the embedding has SAM's
grid. As in `napari_samsp.sam.networks.stock_modules`, ``qkv`` is held as three
projections; in TinyViT it is fused head by head. Two things go beyond that: all blocks
form one list, as SAM's do, so that LoRA, freezing and checkpointing need no case of
their own; and batch norms always use the checkpoint's statistics, because those of a
few corrections are noise.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from segment_anything.modeling.common import LayerNorm2d
from timm.models.tiny_vit import (
    ConvLayer,
    ConvNorm,
    PatchEmbed,
    PatchMerging,
    TinyVitStage,
)
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FrozenBatchNorm2d

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from timm.models.tiny_vit import Attention, TinyVitBlock

WIDTHS, DEPTHS, HEADS, WINDOWS = (
    (64, 128, 160, 320), (2, 2, 6, 2), (2, 4, 5, 10), (7, 7, 14, 7),
)  # fmt: skip
"""Numbers of the four stages. The first is convolutional, without heads and windows."""
CLASSES = 1000
"""Classes of ImageNet's head, which MobileSAM's files hold and nothing uses."""
FIRST_CONV = "image_encoder.patch_embed.seq.0.c.weight"
"""A tensor by which MobileSAM's layout is known."""
FIRST_CONV_HERE = "image_encoder.patch_embed.stem.conv1.conv.weight"
"""The same in our layout."""
COUNTER = ".bn.num_batches_tracked"
"""A batch norm's count of training steps, which our layout leaves out."""


class FrozenConvNorm(nn.Module):
    """A convolution and a batch norm with fixed statistics, run as one convolution.

    Parameters
    ----------
    trained : timm.models.tiny_vit.ConvNorm
        Its convolution is shared; the norm's numbers are to be loaded.
    """

    def __init__(self, trained: ConvNorm) -> None:
        super().__init__()
        self.conv: nn.Conv2d = trained.conv
        self.bn = FrozenBatchNorm2d(trained.bn.num_features, trained.bn.eps)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and normalise ``(B, C, H, W)``."""
        conv, bn = self.conv, self.bn
        # Folding the weights costs nothing beside a pass over the features.
        scale = bn.weight * (bn.running_var + bn.eps).rsqrt()
        return F.conv2d(
            x, conv.weight * scale[:, None, None, None],
            bn.bias - bn.running_mean * scale,
            conv.stride, conv.padding, conv.dilation, conv.groups,
        )  # fmt: skip


class SplitWindowAttention(nn.Module):
    """TinyViT's attention with separate query, key and value projections.

    Parameters
    ----------
    fused : timm.models.tiny_vit.Attention
        The original; its parameters other than ``qkv`` are shared.
    """

    def __init__(self, fused: Attention) -> None:
        super().__init__()
        dim = fused.qkv.in_features
        self.num_heads: int = fused.num_heads
        self.norm: nn.LayerNorm = fused.norm
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(dim, dim) for _ in range(3))
        self.proj: nn.Linear = fused.proj
        self.attention_biases: nn.Parameter = fused.attention_biases
        offsets: Any = fused.attention_bias_idxs
        self.attention_bias_idxs: Tensor
        self.register_buffer("attention_bias_idxs", offsets, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Attend over the ``(windows, tokens, C)`` tokens of each window."""
        x = self.norm(x)
        q, k, v = (
            projection(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        bias = self.attention_biases[:, self.attention_bias_idxs].to(q.dtype)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
        return self.proj(out.transpose(1, 2).flatten(2))


class WindowBlock(nn.Module):
    """A block of TinyViT, with the downsampling before it if it is its stage's first.

    Parameters
    ----------
    block : timm.models.tiny_vit.TinyVitBlock
        The original, which is taken apart.
    downsample : timm.models.tiny_vit.PatchMerging, optional
        What comes before it.
    """

    def __init__(
        self, block: TinyVitBlock, downsample: PatchMerging | None = None
    ) -> None:
        super().__init__()
        self.window_size: int = block.window_size
        self.downsample = downsample
        self.attn = SplitWindowAttention(block.attn)
        self.local_conv: nn.Module = block.local_conv
        self.mlp: nn.Module = block.mlp

    def forward(self, x: Tensor) -> Tensor:
        """Attend within windows, after the downsampling if there is one.

        Parameters
        ----------
        x : Tensor
            ``(B, H, W, C)`` tokens.

        Returns
        -------
        Tensor
            The same shape, or what the downsampling makes of it.
        """
        if self.downsample is not None:
            x = self.downsample(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        x = x + self._attend(x)
        x = self.local_conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + self.mlp(x)

    def _attend(self, x: Tensor) -> Tensor:
        """Attention over windows; beyond the border there are zeros, as in training."""
        b, h, w, c = x.shape
        side = self.window_size
        x = F.pad(x, (0, 0, 0, -w % side, 0, -h % side))
        down, across = x.shape[1] // side, x.shape[2] // side
        x = x.reshape(b, down, side, across, side, c).transpose(2, 3)
        x = self.attn(x.reshape(b * down * across, side * side, c))
        x = x.view(b, down, across, side, side, c).transpose(2, 3)
        return x.reshape(b, down * side, across * side, c)[:, :h, :w]


class Stem(nn.Module):
    """What precedes the blocks: two strided convolutions and the first stage."""

    def __init__(self) -> None:
        super().__init__()
        width, depth = WIDTHS[0], DEPTHS[0]
        self.stem: nn.Module = PatchEmbed(3, width, nn.GELU)
        self.blocks: nn.Module = ConvLayer(width, depth, nn.GELU).blocks

    def forward(self, images: Tensor) -> Tensor:
        """From ``(B, 3, S, S)`` images to ``(B, S / 4, S / 4, C)`` tokens."""
        # Depthwise convolutions like it, and tokens have this order anyhow.
        images = images.contiguous(memory_format=torch.channels_last)
        return self.blocks(self.stem(images)).permute(0, 2, 3, 1)


class TinyEncoder(nn.Module):
    """TinyViT and SAM's neck. No weight depends on the input's size.

    Parameters
    ----------
    img_size : int
        Side of the input in pixels, a multiple of 16.
    out_chans : int
        Channels that the neck gives.
    """

    pos_embed = None

    def __init__(self, img_size: int, out_chans: int) -> None:
        super().__init__()
        self.img_size = img_size
        # By its stages: timm's whole network cannot be built without memory.
        stages: list[Any] = [
            TinyVitStage(*sizes, downsample=PatchMerging)
            for sizes in zip(
                WIDTHS[:-1], WIDTHS[1:], DEPTHS[1:], HEADS[1:], WINDOWS[1:],
                strict=True,
            )
        ]  # fmt: skip
        stages[-1].downsample.conv2.conv.stride = (1, 1)
        self.patch_embed = Stem()
        self.blocks = nn.ModuleList(
            WindowBlock(block, None if n else stage.downsample)
            for stage in stages
            for n, block in enumerate(stage.blocks)
        )
        _freeze_norms(self)
        width = WIDTHS[-1]
        self.norm_head = nn.LayerNorm(width)
        self.head = nn.Linear(width, CLASSES)
        self.neck = nn.Sequential(
            nn.Conv2d(width, out_chans, 1, bias=False),
            LayerNorm2d(out_chans),
            nn.Conv2d(out_chans, out_chans, 3, padding=1, bias=False),
            LayerNorm2d(out_chans),
        )

    @property
    def sides(self) -> list[int]:
        """Side of the grid of tokens in each block."""
        fine, coarse = DEPTHS[1], DEPTHS[2] + DEPTHS[3]
        return [self.img_size // 8] * fine + [self.img_size // 16] * coarse

    def forward(self, images: Tensor) -> Tensor:
        """Encode ``(B, 3, S, S)`` images as ``(B, C, S / 16, S / 16)``."""
        x = self.patch_embed(images)
        for block in self.blocks:
            x = block(x)
        return self.neck(x.permute(0, 3, 1, 2))


def _freeze_norms(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, ConvNorm):
            setattr(module, name, FrozenConvNorm(child))
        else:
            _freeze_norms(child)


def _names() -> list[tuple[str, str]]:
    """Beginnings of names in MobileSAM's layout and in ours."""
    pairs = [
        ("patch_embed.seq.0.", "patch_embed.stem.conv1."),
        ("patch_embed.seq.2.", "patch_embed.stem.conv2."),
        ("layers.0.blocks.", "patch_embed.blocks."),
    ]
    number = 0
    for stage, depth in enumerate(DEPTHS[1:], start=1):
        pairs.append(
            (f"layers.{stage - 1}.downsample.", f"blocks.{number}.downsample.")
        )
        for block in range(depth):
            pairs.append((f"layers.{stage}.blocks.{block}.", f"blocks.{number}."))
            number += 1
    return [(f"image_encoder.{a}", f"image_encoder.{b}") for a, b in pairs]


def from_mobile_layout(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring a state dict of MobileSAM to the layout of `TinyEncoder`.

    Parameters
    ----------
    state : mapping of str to Tensor
        Weights of a whole SAM.

    Returns
    -------
    dict
        Blocks in one list, ``qkv`` split, no counters of batch norms.
    """
    out: dict[str, Tensor] = {}
    names = _names()
    for key, value in state.items():
        if key.endswith(COUNTER):
            continue
        new = _renamed(key, names)
        new = re.sub(r"^(image_encoder\..*)\.c\.weight$", r"\1.conv.weight", new)
        head, found, tail = new.partition(".attn.qkv.")
        if not found:
            out[new] = value
            continue
        heads = len(state[f"{key.partition('.qkv.')[0]}.attention_biases"])
        by_head = value.unflatten(0, (heads, 3, -1))
        for n, name in enumerate("qkv"):
            out[f"{head}.attn.{name}_proj.{tail}"] = by_head[:, n].flatten(0, 1)
    return out


def to_mobile_layout(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring a state dict to MobileSAM's own layout.

    Parameters
    ----------
    state : mapping of str to Tensor
        A whole SAM's with `TinyEncoder`, adapters merged.

    Returns
    -------
    dict
        What MobileSAM's ``sam_model_registry["vit_t"]`` loads strictly.
    """
    out: dict[str, Tensor] = {}
    # A downsampling's name begins like that of the block that it is part of.
    longest_first = sorted(_names(), key=lambda pair: -len(pair[1]))
    names = [(ours, theirs) for theirs, ours in longest_first]
    for key, value in state.items():
        new = _renamed(key, names)
        new = re.sub(r"^(image_encoder\..*)\.conv\.weight$", r"\1.c.weight", new)
        split = re.fullmatch(r"(image_encoder\..*\.attn\.)([qkv])_proj(\..*)", key)
        if split is None:
            out[new] = value
        elif split[2] == "q":
            attention, _, tail = split.groups()
            heads = len(state[f"{attention}attention_biases"])
            parts = [
                state[f"{attention}{name}_proj{tail}"].unflatten(0, (heads, -1))
                for name in "qkv"
            ]
            out[new.replace(".q_proj.", ".qkv.")] = torch.stack(parts, 1).flatten(0, 2)
        if key.endswith(".bn.running_var"):
            counter = new.removesuffix(".bn.running_var") + COUNTER
            out[counter] = torch.tensor(0, device=value.device)
    return out


def _renamed(key: str, names: Sequence[tuple[str, str]]) -> str:
    for old, new in names:
        if key.startswith(old):
            return new + key.removeprefix(old)
    return key
