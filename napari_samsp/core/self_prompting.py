"""Self-prompting: every iteration reads a prompt from the one before.

SAM-SP (Zhou et al., arXiv 2408.12364), Fig. 2, plus a prompt per object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_samsp.core import fast_decoder, fast_encoder, gpu_encoder
from napari_samsp.core.errors import InputError
from napari_samsp.core.letterbox import valid_cells
from napari_samsp.core.memory import in_batches
from napari_samsp.core.objects import (
    cut_at_necks,
    distinct,
    objects_of,
    split_touching,
    without_specks,
)
from napari_samsp.core.prompts import OUTSIDE_LOGIT, Prompt, prompt_from_masks
from napari_samsp.core.sam import embedding_channels, is_hybrid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segment_anything.modeling import Sam

TOKENS_AT_ONCE = (8192, 262_144)
"""Prompts are decoded together up to so many embedding cells, on a CPU and on a GPU. On
a CPU more is slower: what one call writes should stay near the processor."""


@dataclass(frozen=True)
class Decoding:
    """What one iteration decoded for a batch of B images.

    Attributes
    ----------
    logits : Tensor
        ``(N, m, m)`` low-res logits, one map a prompt. N = B without objects.
    scores : Tensor
        ``(N,)`` SAM's predicted IoU.
    image_index : Tensor
        ``(N,)`` int64: the image of the batch that each map belongs to.
    prompt : Prompt or None
        ``None`` at iteration 0.
    regions : Tensor or None
        ``(N, m, m)`` bool: the part of the image that each prompt was made from.
    separation : Tensor or None
        ``(B, 2, m, m)`` logits of depth in objects and nearness to their centres, where
        the model has learnt them and there was no prompt.
    """

    logits: Tensor
    scores: Tensor
    image_index: Tensor
    prompt: Prompt | None = None
    regions: Tensor | None = None
    separation: Tensor | None = None

    def distinct(self) -> Decoding:
        """Without maps of objects that one with a higher score shows too."""
        keep = distinct(self.logits.detach(), self.scores.detach(), self.image_index)
        if bool(keep.all()):
            return self
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
            B.

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
            B.

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


class SelfPrompting(nn.Module):
    """SAM that prompts itself.

    Parameters
    ----------
    sam : Sam
        From `napari_samsp.core.sam.build_sam`, or such a model wrapped by PEFT.
    kind : str
        The prompt that an iteration hands to the next, such as ``"box+mask"``.
    objects : bool
        One prompt per object instead of one per image. What a map without a prompt
        shows is cut at its necks, what a map of an object shows is that object.
    """

    def __init__(self, sam: Sam, kind: str = "box+mask", objects: bool = False) -> None:
        super().__init__()
        self.sam = sam
        self.kind = kind
        self.objects = objects
        self._at_once = max(TOKENS_AT_ONCE)  # less, once memory was short

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def separates(self) -> bool:
        """Whether the model has learnt to tell objects that touch apart."""
        return is_hybrid(self.sam)

    @property
    def stride(self) -> int:
        """Input pixels per low-res pixel."""
        return int(self.sam.image_encoder.img_size // self.mask_size)

    @property
    def mask_size(self) -> int:
        """Side of the low-res logits."""
        return int(self.sam.prompt_encoder.mask_input_size[0])

    def encode(self, images: Tensor) -> Tensor:
        """Image embeddings.

        Parameters
        ----------
        images : Tensor
            ``(B, 3, S, S)``, normalised and padded (`letterbox.to_model_input`).

        Returns
        -------
        Tensor
            ``(B, C, h, w)``.
        """
        encoder = self.sam.image_encoder
        tokens = encoder.pos_embed.shape[1] * encoder.pos_embed.shape[2]
        plain = is_hybrid(self.sam) or tokens <= fast_encoder.WORTH_IT_TOKENS
        if not torch.is_grad_enabled() and not plain:
            if images.device.type == "cpu":
                return fast_encoder.encode(encoder, images)
            if images.device.type == "cuda":
                return gpu_encoder.encode(encoder, images)
        return encoder(images)

    def decode(
        self,
        embeddings: Tensor,
        image_index: Tensor,
        prompt: Prompt | None = None,
        regions: Tensor | None = None,
    ) -> Decoding:
        """Decode N prompts on the embeddings of B images.

        Parameters
        ----------
        embeddings : Tensor
            ``(B, C, h, w)``.
        image_index : Tensor
            ``(N,)`` int64, the image of each prompt.
        prompt : Prompt, optional
            N prompts; none decodes without a prompt.
        regions : Tensor, optional
            ``(N, m, m)`` bool, handed through to the result.

        Returns
        -------
        Decoding
            N maps. Without gradients a few are decoded at a time.
        """
        prompt = prompt or Prompt()
        positions = self.sam.prompt_encoder.get_dense_pe()
        if torch.is_grad_enabled():
            parts = [self._decode(embeddings, image_index, prompt, positions)]
        else:
            tokens = TOKENS_AT_ONCE[self.device.type != "cpu"]
            most = max(1, tokens // embeddings[0, 0].numel())

            def decode(some: slice) -> tuple[Tensor, Tensor]:
                part = prompt.select(some) if len(prompt) else prompt
                return self._decode_fast(embeddings, image_index[some], part, positions)

            parts, self._at_once = in_batches(
                decode, len(image_index), min(most, self._at_once), "prompts"
            )
        logits, scores = map(torch.cat, zip(*parts, strict=True))
        if not torch.is_grad_enabled() and not (
            logits.isfinite().all() and scores.isfinite().all()
        ):
            # Nothing would be found, and nothing be said.
            raise InputError(
                "The model's output is not finite: its weights are damaged, or too "
                "large for this device; choose another model or adapter, or the "
                "device cpu."
            )
        return Decoding(
            logits,
            scores,
            image_index,
            prompt if len(prompt) else None,
            regions,
        )

    def decode_freely(self, embeddings: Tensor) -> Decoding:
        """Decode each of the ``(B, C, h, w)`` embeddings without a prompt."""
        index = torch.arange(len(embeddings), device=embeddings.device)
        if not self.separates:
            return self.decode(embeddings, index)
        sparse, dense = self._embed(Prompt())
        n = len(index)
        maps, scores = self.sam.mask_decoder.predict_masks(
            image_embeddings=embeddings,
            image_pe=self.sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse.expand(n, -1, -1),
            dense_prompt_embeddings=dense.expand(n, -1, -1, -1),
        )
        return Decoding(maps[:, 0], scores[:, 0], index, separation=maps[:, 1:3])

    def _decode(
        self, embeddings: Tensor, index: Tensor, prompt: Prompt, positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Low-res logits and predicted IoU of prompts, of the images at ``index``."""
        sparse, dense = self._embed(prompt)
        n = len(index)
        logits, scores = self.sam.mask_decoder(
            image_embeddings=embeddings[index],
            image_pe=positions,
            sparse_prompt_embeddings=sparse.expand(n, -1, -1),
            dense_prompt_embeddings=dense.expand(n, -1, -1, -1),
            multimask_output=False,
        )
        return logits[:, 0], scores[:, 0]

    def _decode_fast(
        self, embeddings: Tensor, index: Tensor, prompt: Prompt, positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The same without gradients.

        Of the small model, an image at a time: its fine features are large, and the
        prompts of one image share them.
        """
        images, counts = index.unique_consecutive(return_counts=True)
        if len(images) > 1 and is_hybrid(self.sam):
            ends = counts.cumsum(0).tolist()
            parts = [
                self._decode_fast(
                    embeddings,
                    index[first:end],
                    prompt.select(slice(first, end)) if len(prompt) else prompt,
                    positions,
                )
                for first, end in zip([0, *ends], ends, strict=False)
            ]
            logits, scores = zip(*parts, strict=True)
            return torch.cat(logits), torch.cat(scores)
        sparse, dense = self._embed(prompt)
        shared = len(images) == 1
        neck, *fine = self._parts(embeddings[images if shared else index])
        if shared and dense.stride(0) == 0:  # the same for all prompts
            dense = dense[:1]
        sparse = sparse.expand(len(index), -1, -1)
        return fast_decoder.decode(
            self.sam.mask_decoder, neck + dense, positions, sparse, fine
        )

    def _parts(self, embeddings: Tensor) -> list[Tensor]:
        """The neck's channels, and what the encoder folded behind them."""
        return list(embeddings.split(embedding_channels(self.sam), dim=1))

    def _embed(self, prompt: Prompt) -> tuple[Tensor, Tensor]:
        """Sparse and dense embeddings of prompts; of none, what stands for none."""
        points = None
        if prompt.points is not None:
            labels = prompt.point_labels
            if labels is None:
                labels = prompt.points.new_ones(prompt.points.shape[:2])
            points = (prompt.points, labels)
        return self.sam.prompt_encoder(
            points=points, boxes=prompt.boxes, masks=prompt.masks
        )

    def next_prompt(
        self, previous: Decoding, valid: Tensor
    ) -> tuple[Prompt, Tensor, Tensor]:
        """Make the next iteration's prompts from an iteration's output.

        Parameters
        ----------
        previous : Decoding
            Iteration t - 1.
        valid : Tensor
            ``(B, 2)`` int, unpadded height and width of each image in input pixels.

        Returns
        -------
        tuple
            The `Prompt` of N decodings, their ``(N,)`` image index and their
            ``(N, m, m)`` regions. With objects, N may be zero.
        """
        if self.objects:
            logits = previous.largest_logit(len(valid))
            return self.prompts_of(self.parts(previous, valid), logits, valid)
        logits = previous.logits.detach()
        return self.prompts_of(logits > 0, logits, valid)

    def parts(self, decoding: Decoding, valid: Tensor) -> Tensor:
        """The objects that an iteration shows, as far as it tells them apart.

        Parameters
        ----------
        decoding : Decoding
            Any iteration's.
        valid : Tensor
            As for `next_prompt`.

        Returns
        -------
        Tensor
            ``(B, m, m)`` int64, 0 is background.
        """
        if decoding.regions is not None:
            return decoding.distinct().instances(len(valid))
        inside = valid_cells(valid, self.mask_size, self.stride)
        logits = decoding.largest_logit(len(valid))
        logits = logits.masked_fill(~inside, OUTSIDE_LOGIT)
        if decoding.separation is None:
            return cut_at_necks(logits)
        return split_touching(logits, decoding.separation)

    def prompts_of(
        self, instances: Tensor, logits: Tensor, valid: Tensor
    ) -> tuple[Prompt, Tensor, Tensor]:
        """Make prompts from what is known of each image.

        Parameters
        ----------
        instances : Tensor
            ``(B, m, m)`` int or bool, 0 is background.
        logits : Tensor
            ``(B, m, m)`` low-res logits behind them.
        valid : Tensor
            As for `next_prompt`.

        Returns
        -------
        tuple
            As `next_prompt`.
        """
        instances = instances * valid_cells(valid, self.mask_size, self.stride)
        if self.objects:
            regions, index = objects_of(instances)
            boxed = regions
        else:
            regions = instances > 0
            boxed = without_specks(regions)
            index = torch.arange(len(valid), device=valid.device)
        logits = logits[index]
        prompt = prompt_from_masks(
            self.kind, regions, boxed, logits, self.stride, valid[index]
        )
        return prompt, index, regions

    def prompts_of_each(self, decoding: Decoding, valid: Tensor) -> Prompt:
        """Make a prompt from each map of a decoding, whichever objects they show.

        Parameters
        ----------
        decoding : Decoding
            N maps.
        valid : Tensor
            As for `next_prompt`.

        Returns
        -------
        Prompt
            N prompts.
        """
        sides = valid[decoding.image_index]
        inside = valid_cells(sides, self.mask_size, self.stride)
        regions = (decoding.logits > 0) & inside
        return prompt_from_masks(
            self.kind, regions, regions, decoding.logits, self.stride, sides
        )

    def iterate(
        self,
        embeddings: Tensor,
        valid: Tensor,
        iterations: int,
        at_most: int | None = None,
        first: Decoding | None = None,
    ) -> Iterator[Decoding]:
        """Decode without a prompt, then from each iteration's own output.

        Parameters
        ----------
        embeddings : Tensor
            ``(B, C, h, w)``.
        valid : Tensor
            ``(B, 2)`` int, unpadded height and width of each image in input pixels.
        iterations : int
            How many outputs, the prompt-free one included.
        at_most : int, optional
            Prompts an iteration; of more, so many are drawn at random (training).
        first : Decoding, optional
            Iteration 0, if it is not the one without a prompt.

        Yields
        ------
        Decoding
            Iteration 0, 1, ... A decoding of zero maps (no object left) is followed
            by decodings of zero maps. With objects and without gradients, each is
            shown once.
        """
        current = first if first is not None else self.decode_freely(embeddings)
        yield current
        for _ in range(iterations - 1):
            prompt, index, regions = self.next_prompt(current, valid)
            if at_most is not None and len(index) > at_most:
                pick = torch.randperm(len(index), device=index.device)[:at_most]
                prompt, index, regions = prompt.select(pick), index[pick], regions[pick]
            if len(index):
                current = self.decode(embeddings, index, prompt, regions)
                if self.objects and not torch.is_grad_enabled():
                    current = current.distinct()
            else:
                current = Decoding(
                    current.logits[:0], current.scores[:0], index, prompt, regions
                )
            yield current

    def forward(self, images: Tensor, valid: Tensor, iterations: int) -> list[Decoding]:
        """Encode once and give every iteration.

        Parameters
        ----------
        images : Tensor
            ``(B, 3, S, S)``, normalised and padded.
        valid : Tensor
            ``(B, 2)`` int, unpadded height and width of each image in input pixels.
        iterations : int
            How many outputs, the prompt-free one included.

        Returns
        -------
        list of Decoding
            As `iterate`.
        """
        return list(self.iterate(self.encode(images), valid, iterations))
