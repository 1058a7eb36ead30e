"""The model in training: the frozen part of its encoder runs once per image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import xxhash

from napari_samsp.sam.kernels.encoder_train import first_blocks, last_blocks
from napari_samsp.self_prompting.model import SelfPrompting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segment_anything.modeling import Sam
    from torch import Tensor

MOST_BYTES = 2 * 2**30
"""Bytes of frozen features that are kept in memory; others are computed again."""


class ModelInTraining(SelfPrompting):
    """`SelfPrompting` whose encoder trains from some block on.

    Values and gradients are those of `SelfPrompting`, to rounding.

    Parameters
    ----------
    sam : Sam
        SAM as PEFT has wrapped it.
    kind, objects, class_labels
        As for `SelfPrompting`.
    frozen_blocks : int or None
        The first blocks of the image encoder, which must not be trained; None: all of
        the encoder, its neck included.
    checkpointing : bool
        Keep less for the backward pass, and compute it again there.
    """

    def __init__(
        self,
        sam: Sam,
        kind: str = "box+mask",
        objects: bool = False,
        frozen_blocks: int | None = 0,
        checkpointing: bool = False,
        class_labels: Sequence[int] = (),
    ) -> None:
        super().__init__(sam, kind, objects, class_labels)
        self.frozen_blocks, self.checkpointing = frozen_blocks, checkpointing
        self._kept: dict[bytes, Tensor] = {}
        self._bytes = 0

    def encode(self, images: Tensor) -> Tensor:
        """Image embeddings; an image that was seen before only passes what trains.

        Parameters
        ----------
        images : Tensor
            ``(B, 3, S, S)``, normalised and padded.

        Returns
        -------
        Tensor
            ``(B, C, h, w)``, with gradients to what trains.
        """
        encoder, count = self.sam.image_encoder, self.frozen_blocks
        if count is None:
            return self._frozen(images)
        if count == 0:
            if not torch.is_grad_enabled():
                return super().encode(images)
            tokens = first_blocks(encoder, images, 0)
        else:
            tokens = self._frozen(images)
        return last_blocks(encoder, tokens, count, self.checkpointing)

    def _frozen(self, images: Tensor) -> Tensor:
        """Features of the frozen part, kept under a hash of each image."""
        pixels = images.detach().cpu().numpy()
        keys = [xxhash.xxh3_128_digest(image) for image in pixels]
        new = {key: n for n, key in enumerate(keys) if key not in self._kept}
        fresh: dict[bytes, Tensor] = {}
        if new:
            # Validation runs in inference mode, whose tensors training cannot use.
            with torch.inference_mode(False), torch.no_grad():
                some = images[list(new.values())].clone()
                fresh = dict(zip(new, self._run_frozen(some).cpu(), strict=True))
        for key, features in fresh.items():
            size = features.numel() * features.element_size()
            if self._bytes + size <= MOST_BYTES:
                self._kept[key] = features.clone()
                self._bytes += size
        found = [self._kept[k] if k in self._kept else fresh[k] for k in keys]
        return torch.stack(found).to(images.device)

    def _run_frozen(self, images: Tensor) -> Tensor:
        if self.frozen_blocks is None:
            return super().encode(images)
        return first_blocks(self.sam.image_encoder, images, self.frozen_blocks)
