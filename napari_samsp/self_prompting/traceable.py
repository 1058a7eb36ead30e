"""Prompt-free SAM-SP as one module that goes from pixels to logits, for export.

The same iterations as `napari_samsp.self_prompting.model.SelfPrompting` runs, without a
step that leaves torch or whose course depends on the image, so that `torch.export` can
follow them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_samsp.sam.prompt_kind import parse_kind
from napari_samsp.self_prompting.decoding import Decoding
from napari_samsp.self_prompting.instances import SPECK
from napari_samsp.self_prompting.letterbox import normalise_and_pad, valid_cells
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.self_prompting.prompts import Prompt, prompt_from_masks
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

ROUNDS = 16
"""Rounds of joining neighbours. Their number grows as the logarithm of a component's
length: of 256 x 256 cells, a spiral needs 14, a snake of one cell's width 15."""


class PromptFree(nn.Module):
    """SAM that prompts itself, of images that need no preparation but their size.

    Parameters
    ----------
    sam : Sam
        SAM with its adapters merged.
    kind : str
        The prompt that an iteration hands to the next.
    iterations : int
        Number of iterations, the prompt-free one included.

    Raises
    ------
    InputError
        If the prompt is made of points.
    """

    def __init__(self, sam: Sam, kind: str, iterations: int) -> None:
        super().__init__()
        if iterations > 1 and "points" in parse_kind(kind):
            raise InputError(
                f"The prompt {kind} is found step by step, which one network of fixed "
                "steps cannot do: train with a prompt of box and mask."
            )
        self.model = _Traceable(sam, kind)
        self.iterations = iterations

    def forward(self, image: Tensor) -> Tensor:
        """Run all iterations on an image.

        Parameters
        ----------
        image : Tensor
            ``(1, 3, h, w)`` float32 RGB, 0 to 255, h and w at most the model's input S,
            which the larger should be.

        Returns
        -------
        Tensor
            ``(1, K, h, w)`` float32 logits of the last iteration, foreground above 0:
            a channel for each of K classes.
        """
        h, w = image.shape[-2:]
        size = int(self.model.sam.image_encoder.img_size)
        valid = torch.stack([torch.scalar_tensor(h), torch.scalar_tensor(w)])
        embeddings = self.model.encode(normalise_and_pad(image, size))
        for decoding in self.model.iterate(
            embeddings, valid.to(torch.int64)[None], self.iterations
        ):
            last = decoding
        maps = F.interpolate(last.logits[None].float(), (size, size), mode="bilinear")
        return maps[..., :h, :w]


class _Traceable(SelfPrompting):
    """Regions only, one image at a time, and the plain decoder."""

    def encode(self, images: Tensor) -> Tensor:
        return self.sam.image_encoder(images)

    def decode(
        self,
        embeddings: Tensor,
        image_index: Tensor,
        prompt: Prompt | None = None,
        regions: Tensor | None = None,
    ) -> Decoding:
        prompt = prompt or Prompt()
        positions = self.sam.prompt_encoder.get_dense_pe()
        logits, scores = self._decode(embeddings, image_index, prompt, positions)
        return Decoding(logits, scores, image_index, prompt, regions)

    def prompts_of(
        self, instances: Tensor, logits: Tensor, valid: Tensor
    ) -> tuple[Prompt, Tensor, Tensor]:
        regions = instances & valid_cells(valid, self.mask_size, self.stride)
        prompt = prompt_from_masks(
            self.kind, regions, without_specks(regions), logits, self.stride, valid
        )
        return prompt, torch.arange(len(regions)), regions


def without_specks(foreground: Tensor) -> Tensor:
    """As `napari_samsp.self_prompting.instances.without_specks`, in torch alone.

    Parameters
    ----------
    foreground : Tensor
        ``(B, m, m)`` bool.

    Returns
    -------
    Tensor
        ``(B, m, m)`` bool.
    """
    parts = _components(foreground)
    ones = foreground.flatten(1).float()
    areas = torch.zeros_like(ones).scatter_add(1, parts, ones)
    large = areas >= SPECK * areas.amax(1, keepdim=True)
    return foreground & large.gather(1, parts).view(foreground.shape)


def _components(foreground: Tensor) -> Tensor:
    """The last cell of each cell's component, ``(B, m * m)`` int64; diagonals apart.

    FastSV (Zhang, Azad and Buluc, 2020): every round, each cell and the cell that it
    points to learn of the neighbours' last grandparent, and pointers are halved.
    What stands at the background means nothing.
    """
    mask = foreground.float()
    inside = foreground.flatten(1).to(torch.int64)
    parent = torch.arange(inside.shape[1]) * inside
    grand = parent
    for _ in range(ROUNDS):
        numbers = grand.view(foreground.shape).float()  # exact up to 2**24 cells
        rows = F.max_pool2d(numbers, (1, 3), 1, (0, 1))
        columns = F.max_pool2d(numbers, (3, 1), 1, (1, 0))
        last = (torch.maximum(rows, columns) * mask).flatten(1).to(torch.int64)
        hooked = parent.scatter_reduce(1, parent, last, "amax")
        parent = torch.maximum(torch.maximum(hooked, last), grand)
        grand = parent.gather(1, parent) * inside
    return grand
