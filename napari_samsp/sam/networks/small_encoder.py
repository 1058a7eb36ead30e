"""``samsp_small``'s image encoder: a convolutional trunk, a few blocks, a pyramid.

The patch embedding is an ImageNet-pretrained network, whose finer features meet the
decoder's upscaling, as in SAM 2 (arXiv 2408.00714, section 4), after a pyramid of their
own (arXiv 1612.03144). `napari_samsp.sam.networks.small_decoder` has the other two
parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.image_encoder import Block
from torch import Tensor, nn
from torch.nn import functional as F

from napari_samsp.sam.networks.conv_trunk import CHANNELS, build_trunk

if TYPE_CHECKING:
    from collections.abc import Sequence

PYRAMID = {8: 64, 4: 32, 2: 16}
"""Channels of the pyramid's features at each stride."""


def fine_channels(width: int) -> tuple[int, int, int]:
    """Channels that a decoder of some width adds at strides 8, 4 and 2."""
    return width // 4, width // 8, width // 8


class Pyramid(nn.Module):
    """From the neck's output down to stride 2, a level at a time.

    Parameters
    ----------
    width : int
        Channels of the neck.
    out : sequence of int
        Channels that the decoder adds at strides 8, 4 and 2.
    """

    def __init__(self, width: int, out: Sequence[int]) -> None:
        super().__init__()
        self.above, self.beside, self.mix, self.out = (
            nn.ModuleDict() for _ in range(4)
        )
        coarser = width
        for (stride, here), channels in zip(PYRAMID.items(), out, strict=True):
            name = str(stride)
            self.above[name] = nn.Conv2d(coarser, here, 1)
            self.beside[name] = nn.Conv2d(CHANNELS[stride], here, 1)
            self.mix[name] = nn.Sequential(
                nn.ReLU(),
                nn.Conv2d(here, here, 3, padding=1, bias=False),
                nn.GroupNorm(8, here),
                nn.ReLU(),
            )
            self.out[name] = nn.Conv2d(here, channels, 1)
            coarser = here

    def forward(self, neck: Tensor, features: Sequence[Tensor]) -> list[Tensor]:
        """Features at strides 8, 4 and 2.

        Parameters
        ----------
        neck : Tensor
            ``(B, C, h, w)`` at stride 16.
        features : sequence of Tensor
            The trunk's, at the same strides.

        Returns
        -------
        list of Tensor
            ``(B, c, 2h, 2w)``, ``(B, c, 4h, 4w)``, ``(B, c, 8h, 8w)``.
        """
        found = []
        x = neck
        for stride, feature in zip(PYRAMID, features, strict=True):
            name = str(stride)
            x = F.interpolate(self.above[name](x), scale_factor=2, mode="bilinear")
            x = self.mix[name](x + self.beside[name](feature))
            found.append(self.out[name](x))
        return found


class HybridEncoder(nn.Module):
    """Convolutional trunk, transformer blocks, SAM's neck, and a pyramid.

    Parameters
    ----------
    img_size : int
        Side of the input in pixels.
    embed_dim, depth, num_heads : int
        Of the transformer, which sees the features at stride 16.
    out_chans : int
        Channels that the neck gives.
    fine_chans : sequence of int
        Channels that the decoder adds at strides 8, 4 and 2.
    pixel_mean, pixel_std : sequence of float
        By which SAM's inputs are normalised; the trunk wants ``(x - 127) / 128``.
    """

    def __init__(
        self,
        img_size: int,
        embed_dim: int,
        depth: int,
        num_heads: int,
        out_chans: int,
        fine_chans: Sequence[int],
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
    ) -> None:
        super().__init__()
        self.img_size = img_size
        side = img_size // 16
        self.trunk = build_trunk()
        mean, std = (torch.tensor(v)[:, None, None] for v in (pixel_mean, pixel_std))
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", std / 128, persistent=False)
        self.register_buffer("shift", (mean - 127) / 128, persistent=False)
        self.proj16 = nn.Conv2d(CHANNELS[16], embed_dim, 1)
        self.proj32 = nn.Conv2d(CHANNELS[32], embed_dim, 1)
        self.pos_embed = nn.Parameter(torch.zeros(1, side, side, embed_dim))
        self.blocks = nn.ModuleList(
            Block(
                embed_dim, num_heads, qkv_bias=True, use_rel_pos=True,
                input_size=(side, side),
            )
            for _ in range(depth)
        )  # fmt: skip
        self.neck = nn.Sequential(
            nn.Conv2d(embed_dim, out_chans, 1, bias=False),
            LayerNorm2d(out_chans),
            nn.Conv2d(out_chans, out_chans, 3, padding=1, bias=False),
            LayerNorm2d(out_chans),
        )
        self.pyramid = Pyramid(out_chans, fine_chans)

    def forward(self, images: Tensor) -> Tensor:
        """Encode a batch of images.

        Parameters
        ----------
        images : Tensor
            ``(B, 3, S, S)`` float32, normalised and padded.

        Returns
        -------
        Tensor
            ``(B, C, h, w)``: the neck's channels, then those at strides 8, 4 and 2,
            folded into this grid.
        """
        tokens, features = self.embed_patches(images)
        for block in self.blocks:
            tokens = block(tokens)
        return self.finish(tokens, features)

    def embed_patches(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Run the trunk, and turn its features into tokens.

        Parameters
        ----------
        images : Tensor
            As for `forward`.

        Returns
        -------
        tuple
            ``(B, h, w, D)`` tokens for the first block, and what `finish` needs of the
            trunk: its features at strides 8, 4 and 2.
        """
        x = torch.addcmul(self.shift, images, self.scale)
        levels = self.trunk(x.contiguous(memory_format=torch.channels_last))
        features = dict(zip(CHANNELS, levels, strict=True))
        x = self.proj16(features[16]) + F.interpolate(
            self.proj32(features[32]), scale_factor=2, mode="bilinear"
        )
        tokens = x.permute(0, 2, 3, 1) + self.pos_embed
        return tokens, [features[stride] for stride in PYRAMID]

    def finish(self, tokens: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Make the embedding of the last block's tokens.

        Parameters
        ----------
        tokens : Tensor
            ``(B, h, w, D)``.
        features : sequence of Tensor
            From `embed_patches`.

        Returns
        -------
        Tensor
            As `forward`.
        """
        neck = self.neck(tokens.permute(0, 3, 1, 2))
        fine = self.pyramid(neck, features)
        return torch.cat([neck, *fold(fine)], 1)


def fold(fine: Sequence[Tensor]) -> list[Tensor]:
    """Features at twice, four times ... a grid's resolution, on that grid."""
    return [F.pixel_unshuffle(f, 2**n) for n, f in enumerate(fine, start=1)]


def unfold(folded: Sequence[Tensor]) -> list[Tensor]:
    """The opposite of `fold`."""
    return [F.pixel_shuffle(f, 2**n) for n, f in enumerate(folded, start=1)]


def hybrid_channels(width: int) -> list[int]:
    """Channels of an embedding by `HybridEncoder`: the neck's, and strides 8, 4 and 2.

    Parameters
    ----------
    width : int
        Channels that the neck gives.

    Returns
    -------
    list of int
        On the neck's grid.
    """
    fine = enumerate(fine_channels(width), start=1)
    return [width, *(channels * 4**n for n, channels in fine)]
