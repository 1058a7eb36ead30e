"""``samsp_small``: SAM with a convolutional trunk, fine masks and drawn prompts.

The parts are SAM's (image encoder, prompt encoder, mask decoder), and so are their
interfaces. Three things differ. The patch embedding is an ImageNet-pretrained network,
whose finer features meet the decoder's upscaling, as in SAM 2 (arXiv 2408.00714,
section 4), after a pyramid of their own (arXiv 1612.03144). Masks come at half of the
input's resolution. And points and boxes are also drawn into the dense prompt, as in
RITM (arXiv 2102.06583, section 3.1), because sparse tokens alone are learnt slowly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.image_encoder import Block
from torch import Tensor, nn
from torch.nn import functional as F

from napari_samsp.sam.conv_trunk import CHANNELS, build_trunk

if TYPE_CHECKING:
    from collections.abc import Sequence

PYRAMID = {8: 64, 4: 32, 2: 16}
"""Channels of the pyramid's features at each stride."""
DISK, EDGE = 4.0, 2.0
"""Radius of a drawn point, and softness of a drawn box's edge, in input pixels."""


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
        Of the neck.
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
        """Encode images.

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
        """Run the trunk.

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


class DrawingPromptEncoder(PromptEncoder):
    """SAM's prompt encoder that also draws points and boxes into the dense prompt.

    Mask prompts have the size of the decoder's masks, twice that of SAM's.
    """

    def __init__(
        self,
        embed_dim: int,
        image_embedding_size: tuple[int, int],
        input_image_size: tuple[int, int],
        mask_in_chans: int,
    ) -> None:
        super().__init__(
            embed_dim, image_embedding_size, input_image_size, mask_in_chans
        )
        h, w = image_embedding_size
        self.mask_input_size = (8 * h, 8 * w)
        self.mask_downscaling.insert(0, nn.AvgPool2d(2))
        self.drawing_downscaling = nn.Sequential(
            nn.Conv2d(3, mask_in_chans // 2, 2, stride=2),
            LayerNorm2d(mask_in_chans // 2),
            nn.GELU(),
            nn.Conv2d(mask_in_chans // 2, mask_in_chans * 2, 2, stride=2),
            LayerNorm2d(mask_in_chans * 2),
            nn.GELU(),
            nn.Conv2d(mask_in_chans * 2, embed_dim, 1),
        )

    def forward(
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Embed the prompts of N decodings, as `PromptEncoder.forward`.

        Parameters
        ----------
        points : tuple of Tensor, optional
            ``(N, P, 2)`` x and y in input pixels, and ``(N, P)`` 1 for inside, 0 for
            outside, -1 for none.
        boxes : Tensor, optional
            ``(N, 4)`` x0, y0, x1, y1.
        masks : Tensor, optional
            ``(N, 1, m, m)`` low-res logits.

        Returns
        -------
        tuple of Tensor
            ``(N, tokens, C)`` sparse and ``(N, C, h, w)`` dense embeddings.
        """
        sparse, dense = super().forward(points, boxes, masks)
        if points is not None or boxes is not None:
            dense = dense + self.drawing_downscaling(self.draw(points, boxes))
        return sparse, dense

    def draw(
        self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None
    ) -> Tensor:
        """Draw prompts as soft disks and filled boxes.

        Parameters
        ----------
        points, boxes
            As for `forward`; at least one of them.

        Returns
        -------
        Tensor
            ``(N, 3, 4h, 4w)`` in 0 to 1: points inside, points outside, the box.
        """
        places, labels = [], []
        if points is not None:
            places.append(points[0])
            labels.append(points[1])
        if boxes is not None:
            places.append(boxes.reshape(-1, 2, 2))
            labels.append(boxes.new_tensor([2, 3]).expand(len(boxes), 2))
        return self.draw_corners(torch.cat(places, 1), torch.cat(labels, 1))

    def draw_corners(self, places: Tensor, labels: Tensor) -> Tensor:
        """Draw points, and boxes by their corners.

        Parameters
        ----------
        places : Tensor
            ``(N, P, 2)`` x and y in input pixels. P may be 0.
        labels : Tensor
            ``(N, P)``: 1 inside, 0 outside, 2 and 3 a box's first and second corner,
            -1 none.

        Returns
        -------
        Tensor
            As `draw`.
        """
        h, w = self.image_embedding_size
        height, width = self.input_image_size
        rows = (torch.arange(4 * h, device=places.device) + 0.5) * (height / (4 * h))
        cols = (torch.arange(4 * w, device=places.device) + 0.5) * (width / (4 * w))
        dx, dy = cols - places[..., :1], rows - places[..., 1:]
        across, down = (torch.exp(-(d / DISK).square()) for d in (dx, dy))
        channels = [_most(down, across, labels == kind) for kind in (1, 0)]
        # Right of and below the first corner, left of and above the second.
        quarters = [
            _most((sign * dy / EDGE).sigmoid(), (sign * dx / EDGE).sigmoid(), of_corner)
            for sign, of_corner in ((1, labels == 2), (-1, labels == 3))
        ]
        return torch.stack([*channels, quarters[0] * quarters[1]], 1)


def _most(down: Tensor, across: Tensor, wanted: Tensor) -> Tensor:
    """The largest over the wanted P of ``(N, P, h)`` times ``(N, P, w)``."""
    drawn = (down * wanted.to(down.dtype)[..., None])[..., None] * across[..., None, :]
    none = drawn.new_zeros(drawn.shape[0], 1, *drawn.shape[2:])
    return torch.cat([drawn, none], 1).amax(1)


class FineMaskDecoder(MaskDecoder):
    """SAM's mask decoder with a third upscaling, which the encoder's features join."""

    def __init__(self, *, transformer_dim: int, **options: object) -> None:
        super().__init__(transformer_dim=transformer_dim, **options)
        self.transformer_dim = transformer_dim
        last = transformer_dim // 8
        self.output_upscaling.extend(
            [nn.ConvTranspose2d(last, last, 2, stride=2), nn.GELU()]
        )

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
            ``(N, C, h, w)`` of `HybridEncoder`, or ``(1, C, h, w)`` for all of them.
        image_pe : Tensor
            ``(1, c, h, w)``.
        sparse_prompt_embeddings : Tensor
            ``(N, tokens, c)``.
        dense_prompt_embeddings : Tensor
            ``(N, c, h, w)``.

        Returns
        -------
        tuple of Tensor
            Low-res logits ``(N, masks, 8h, 8w)`` and predicted IoU ``(N, masks)``.
        """
        n = sparse_prompt_embeddings.shape[0]
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own.expand(n, -1, -1), sparse_prompt_embeddings], dim=1)
        neck, *folded = image_embeddings.split(
            hybrid_channels(self.transformer_dim), dim=1
        )
        fine = unfold(folded)
        src = neck + dense_prompt_embeddings
        hidden, src = self.transformer(src, image_pe.expand_as(src), tokens)
        h, w = dense_prompt_embeddings.shape[-2:]
        src = src.transpose(1, 2).reshape(n, -1, h, w)
        up1, norm, act, up2, _, up3, _ = self.output_upscaling
        src = act(norm(up1(src) + fine[0]))
        src = act(up2(src) + fine[1])
        src = act(up3(src) + fine[2])
        weights = torch.stack(
            [
                mlp(hidden[:, 1 + i])
                for i, mlp in enumerate(self.output_hypernetworks_mlps)
            ],
            dim=1,
        )
        logits = torch.einsum("nmc,nchw->nmhw", weights, src)
        return logits, self.iou_prediction_head(hidden[:, 0])


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
        Of the neck.

    Returns
    -------
    list of int
        On the neck's grid.
    """
    fine = enumerate(fine_channels(width), start=1)
    return [width, *(channels * 4**n for n, channels in fine)]
