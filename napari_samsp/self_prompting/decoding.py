"""What the mask decoder made of a batch of prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_samsp.self_prompting.instances import distinct
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from napari_samsp.self_prompting.prompts import Prompt


@dataclass(frozen=True)
class Decoding:
    """What one iteration decoded for a batch of B images.

    Attributes
    ----------
    logits : Tensor
        ``(N, m, m)`` low-res logits, one map per prompt. N = B without objects.
    scores : Tensor
        ``(N,)`` SAM's predicted IoU.
    image_index : Tensor
        ``(N,)`` int64: the image of the batch that each map belongs to. With K classes
        an image is K entries of the batch, and ``b * K + k`` is class k of image b.
    prompt : Prompt or None
        ``None`` at iteration 0.
    regions : Tensor or None
        ``(N, m, m)`` bool: the part of the image that each prompt was made from.
    separation : Tensor or None
        ``(B, 2, m, m)`` logits of depth in objects and nearness to their centres, where
        the model has learnt them and there was no prompt.
    distances : Tensor or None
        ``(B, 2, m, m)``, 0 to 1: distances to an object's centre and to what of it lies
        deepest, 1 at its border, where a `DistanceDecoder` told them.
    """

    logits: Tensor
    scores: Tensor
    image_index: Tensor
    prompt: Prompt | None = None
    regions: Tensor | None = None
    separation: Tensor | None = None
    distances: Tensor | None = None

    def distinct(self, classes: int = 1) -> Decoding:
        """Without maps of objects that one with a higher score shows too.

        Parameters
        ----------
        classes : int
            K: an object has one class, so maps of all classes of an image compete.
        """
        images = self.image_index // classes
        keep = distinct(self.logits.detach(), self.scores.detach(), images)
        return self if bool(keep.all()) else self.select(keep)

    def select(self, keep: Tensor) -> Decoding:
        """The maps where ``(N,)`` bool is True; what iteration 0 adds is left out."""
        return Decoding(
            self.logits[keep],
            self.scores[keep],
            self.image_index[keep],
            None if self.prompt is None else self.prompt.select(keep),
            None if self.regions is None else self.regions[keep],
        )

    def largest_logit(self, batch_size: int) -> Tensor:
        """What the maps of each image say together.

        Parameters
        ----------
        batch_size : int
            Number of images B.

        Returns
        -------
        Tensor
            ``(B, m, m)`` float32, without gradient; an image without a map has minus
            infinity.
        """
        logits = self.logits.detach().float()
        index = self.image_index[:, None, None].expand_as(logits)
        none = logits.new_full((batch_size, *logits.shape[1:]), -torch.inf)
        return none.scatter_reduce(0, index, logits, "amax")

    def instances(self, batch_size: int) -> Tensor:
        """Merge the maps of each image by largest logit.

        Parameters
        ----------
        batch_size : int
            Number of images B.

        Returns
        -------
        Tensor
            ``(B, m, m)`` int64: 0 is background, ``1 + n`` is the n-th map of this
            decoding (over all images).
        """
        m = self.logits.shape[-1]
        out = torch.zeros(
            batch_size, m, m, dtype=torch.int64, device=self.logits.device
        )
        for b in self.image_index.unique().tolist():
            maps = (self.image_index == b).nonzero()[:, 0]
            best, which = self.logits[maps].detach().max(0)
            out[b] = torch.where(best > 0, maps[which] + 1, 0)
        return out


def check_finite(logits: Tensor, scores: Tensor) -> None:
    """Make sure that a decoder's output can be used.

    Raises
    ------
    InputError
        If it is not finite: nothing would be found, and nothing be said.
    """
    if not (logits.isfinite().all() and scores.isfinite().all()):
        raise InputError(
            "The model's output is not finite: its weights are damaged, or too large "
            "for this device; choose another model or adapter, or the device cpu."
        )
