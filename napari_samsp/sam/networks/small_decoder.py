"""``samsp_small``'s prompt encoder and mask decoder: drawn prompts and fine masks.

The interfaces are SAM's. Masks come at half of the input's resolution, with the finer
features of `napari_samsp.sam.networks.small_encoder` added in the upscaling. Points and
boxes are also drawn into the dense prompt, as in RITM (arXiv 2102.06583, section 3.1),
because sparse tokens alone are learnt slowly.
"""

from __future__ import annotations

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn

from napari_samsp.sam.networks.small_encoder import hybrid_channels, unfold
from napari_samsp.sam.networks.stock_modules import add_to_each, read_out

DISK, EDGE = 4.0, 2.0
"""Radius of a drawn point, and softness of a drawn box's edge, in input pixels."""


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
            ``(B, C, h, w)`` of `HybridEncoder`; each is that of N / B prompts in a row.
        image_pe : Tensor
            ``(1, c, h, w)``.
        sparse_prompt_embeddings : Tensor
            ``(N, tokens, c)`` of points, boxes and classes.
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
        src = add_to_each(neck, dense_prompt_embeddings)
        hidden, src = self.transformer(src, image_pe.expand_as(src), tokens)
        h, w = dense_prompt_embeddings.shape[-2:]
        src = src.transpose(1, 2).reshape(n, -1, h, w)
        up1, norm, act, up2, _, up3, _ = self.output_upscaling
        src = act(norm(add_to_each(fine[0], up1(src))))
        src = act(add_to_each(fine[1], up2(src)))
        src = act(add_to_each(fine[2], up3(src)))
        return read_out(self, hidden, src)
