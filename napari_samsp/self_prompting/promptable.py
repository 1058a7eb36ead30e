"""SAM as two calls: images become embeddings, and prompts on them masks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_samsp.sam.adapters.class_tokens import count_classes
from napari_samsp.sam.architecture import (
    embedding_channels,
    grid_side,
    is_hybrid,
    is_stock,
)
from napari_samsp.sam.kernels import decoder as fast_decoder
from napari_samsp.sam.kernels import encoder_cpu as fast_encoder
from napari_samsp.sam.kernels import encoder_cuda as gpu_encoder
from napari_samsp.sam.networks.stock_modules import images_of
from napari_samsp.self_prompting.decoding import Decoding, check_finite
from napari_samsp.self_prompting.prompts import Prompt
from napari_samsp.utils.memory import in_batches

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

    from napari_samsp.sam.networks.distance_decoder import DistanceDecoder

TOKENS_AT_ONCE = (8192, 262_144)
"""Prompts are decoded together up to so many embedding cells, on a CPU and on a GPU. On
a CPU more is slower: what one call writes should stay near the processor."""
LEAST_PROBABILITY = 1e-4
"""Least probability of foreground and of background: a logit of 9, as sure as SAM's
masks are."""


class PromptableSam(nn.Module):
    """A SAM whose image encoder and mask decoder run the quickest way there is.

    Parameters
    ----------
    sam : Sam
        From `napari_samsp.sam.architecture.build_sam`, or such a model wrapped by PEFT.
    distances : DistanceDecoder, optional
        micro-sam's, of the embedding of this very ``sam``.

    Attributes
    ----------
    tile_batch : int or None
        Tiles that fit into memory together; None until memory was short.
    """

    def __init__(self, sam: Sam, distances: DistanceDecoder | None = None) -> None:
        super().__init__()
        self.sam = sam
        self.distances = distances
        self.tile_batch: int | None = None
        self._prompt_batch = max(TOKENS_AT_ONCE)  # becomes less once memory was short

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
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

    @property
    def class_count(self) -> int:
        """Classes that the model tells apart; 1 is SAM without class tokens."""
        return count_classes(self.sam)

    def encode(self, images: Tensor) -> Tensor:
        """Compute the embeddings of a batch of images.

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
        tokens = grid_side(encoder) ** 2
        plain = not is_stock(self.sam) or tokens <= fast_encoder.WORTH_IT_TOKENS
        if not torch.is_grad_enabled() and not plain:
            if images.device.type == "cpu":
                return fast_encoder.encode(encoder, images)
            if images.device.type == "cuda":
                return gpu_encoder.encode(encoder, images)
        return encoder(images)

    def neck(self, embeddings: Tensor) -> Tensor:
        """The channels of ``(B, C, h, w)`` embeddings that every SAM has."""
        return self.split_embeddings(embeddings)[0]

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

            parts, self._prompt_batch = in_batches(
                decode, len(image_index), min(most, self._prompt_batch), "prompts"
            )
        logits, scores = map(torch.cat, zip(*parts, strict=True))
        if not torch.is_grad_enabled():
            check_finite(logits, scores)
        return Decoding(
            logits,
            scores,
            image_index,
            prompt if len(prompt) else None,
            regions,
        )

    def decode_unprompted(self, embeddings: Tensor, relief: bool = True) -> Decoding:
        """Decode embeddings without a user's prompt, once per class.

        Parameters
        ----------
        embeddings : Tensor
            ``(B, C, h, w)``.
        relief : bool
            Whether a model that has learnt to tell objects apart says how; one with a
            `DistanceDecoder` then gives that decoder's foreground.

        Returns
        -------
        Decoding
            B maps; with K classes B * K, and entry ``b * K + k`` is class k of image
            b, prompted by the class's token alone.
        """
        if relief and self.distances is not None:
            return self._decode_distances(self.distances, embeddings)
        count = self.class_count
        entries = torch.arange(len(embeddings) * count, device=embeddings.device)
        prompt = Prompt() if count == 1 else Prompt(classes=entries % count)
        if not self.separates or (count > 1 and not relief):
            return self.decode_entries(embeddings, entries, prompt)
        positions = self.sam.prompt_encoder.get_dense_pe()

        def decode(embeddings: Tensor, prompt: Prompt, n: int) -> tuple[Tensor, Tensor]:
            sparse, dense = self.embed_prompt(prompt)
            maps, scores = self.sam.mask_decoder.predict_masks(
                image_embeddings=embeddings,
                image_pe=positions,
                sparse_prompt_embeddings=sparse.expand(n, -1, -1),
                dense_prompt_embeddings=dense.expand(n, -1, -1, -1),
            )
            return maps, scores

        if count == 1 or torch.is_grad_enabled():
            maps, scores = decode(embeddings, prompt, len(entries))
        else:
            # An image at a time: its fine features are large, and its classes share
            # them.
            parts = [
                decode(one[None], prompt.select(slice(0, count)), count)
                for one in embeddings
            ]
            maps, scores = map(torch.cat, zip(*parts, strict=True))
        return Decoding(
            maps[:, 0],
            scores[:, 0],
            entries,
            prompt if len(prompt) else None,
            separation=maps[:, 1:3],
        )

    def _decode_distances(
        self, decoder: DistanceDecoder, embeddings: Tensor
    ) -> Decoding:
        """Foreground and distances, one image after the other: they are large."""
        side = self.mask_size

        def decode(one: slice) -> Tensor:
            with torch.autocast(embeddings.device.type, enabled=False):
                maps = decoder(self.neck(embeddings[one]).float())
            # micro-sam resizes probabilities, too.
            return F.avg_pool2d(maps, maps.shape[-1] // side)

        parts, _ = in_batches(decode, len(embeddings), 1, "tiles in the decoder")
        maps = torch.cat(parts)
        foreground = maps[:, 0]
        # If the probabilities are right, this is the IoU that is to be expected.
        found = foreground > 0.5
        shared = (foreground * found).flatten(1).sum(1)
        either = torch.maximum(foreground, found.float()).flatten(1).sum(1)
        return Decoding(
            foreground.logit(eps=LEAST_PROBABILITY),
            shared / either,
            torch.arange(len(embeddings), device=embeddings.device),
            distances=maps[:, 1:],
        )

    def decode_entries(
        self,
        embeddings: Tensor,
        entries: Tensor,
        prompt: Prompt,
        regions: Tensor | None = None,
    ) -> Decoding:
        """Decode prompts that know their class.

        Parameters
        ----------
        embeddings : Tensor
            ``(B, C, h, w)``.
        entries : Tensor
            ``(N,)`` int64: the image and class of each prompt, ``b * K + k``.
        prompt, regions
            As for `decode`.

        Returns
        -------
        Decoding
            N maps, whose ``image_index`` is ``entries``.
        """
        count = self.class_count
        if count == 1:
            return self.decode(embeddings, entries, prompt, regions)
        prompt = replace(prompt, classes=entries % count)
        found = self.decode(embeddings, entries // count, prompt, regions)
        return replace(found, image_index=entries)

    def _decode(
        self, embeddings: Tensor, index: Tensor, prompt: Prompt, positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Low-res logits and predicted IoU of prompts, of the images at ``index``."""
        sparse, dense = self.embed_prompt(prompt)
        n = len(index)
        shared = self.class_count > 1
        logits, scores = self.sam.mask_decoder(
            image_embeddings=images_of(embeddings, index, shared),
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
        sparse, dense = self.embed_prompt(prompt)
        shared = len(images) == 1
        neck, *fine = self.split_embeddings(embeddings[images if shared else index])
        if shared and dense.stride(0) == 0:  # the same for all prompts
            dense = dense[:1]
        sparse = sparse.expand(len(index), -1, -1)
        return fast_decoder.decode(
            self.sam.mask_decoder, neck + dense, positions, sparse, fine
        )

    def split_embeddings(self, embeddings: Tensor) -> list[Tensor]:
        """The neck's channels, and those behind them that meet the upscaling."""
        return list(embeddings.split(embedding_channels(self.sam), dim=1))

    def embed_prompt(self, prompt: Prompt) -> tuple[Tensor, Tensor]:
        """Sparse and dense embeddings of N prompts; of none, what stands for none."""
        points = None
        if prompt.points is not None:
            labels = prompt.point_labels
            if labels is None:
                labels = prompt.points.new_ones(prompt.points.shape[:2])
            points = (prompt.points, labels)
        sparse, dense = self.sam.prompt_encoder(
            points=points, boxes=prompt.boxes, masks=prompt.masks
        )
        if prompt.classes is not None:
            tokens = self.sam.prompt_encoder.class_tokens(prompt.classes)[:, None]
            sparse = torch.cat([tokens, sparse.expand(len(tokens), -1, -1)], 1)
        return sparse, dense
