"""Self-prompting: every iteration reads a prompt from the one before.

SAM-SP (Zhou et al., arXiv 2408.12364), Fig. 2, plus a prompt per object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_samsp.self_prompting.decoding import Decoding
from napari_samsp.self_prompting.instances import (
    cut_at_necks,
    objects_of,
    parts_of_distances,
    split_touching,
    without_specks,
)
from napari_samsp.self_prompting.letterbox import valid_cells
from napari_samsp.self_prompting.promptable import PromptableSam
from napari_samsp.self_prompting.prompts import OUTSIDE_LOGIT, Prompt, prompt_from_masks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from segment_anything.modeling import Sam

    from napari_samsp.sam.networks.distance_decoder import DistanceDecoder


class SelfPrompting(PromptableSam):
    """SAM that prompts itself.

    Parameters
    ----------
    sam : Sam
        From `napari_samsp.sam.architecture.build_sam`, or such a model wrapped by PEFT.
    kind : str
        The prompt that an iteration hands to the next, such as ``"box+mask"``.
    objects : bool
        One prompt per object instead of one per image. What a map without a prompt
        shows is cut at its necks, what a map of an object shows is that object.
    class_labels : sequence of int, optional
        The label of each class, in the order of their tokens. Default: 1, 2, ...
    distances : DistanceDecoder, optional
        With objects, iteration 0 is what it says: its parts are the first to be
        prompted.

    Notes
    -----
    With K classes, an image is K entries of a batch, ``b * K + k``: each class is
    decoded on the same embedding with its own token, and then prompts itself. With one
    class an entry is an image.
    """

    def __init__(
        self,
        sam: Sam,
        kind: str = "box+mask",
        objects: bool = False,
        class_labels: Sequence[int] = (),
        distances: DistanceDecoder | None = None,
    ) -> None:
        super().__init__(sam, distances)
        self.kind = kind
        self.objects = objects
        self.class_labels = tuple(class_labels or range(1, self.class_count + 1))

    def next_prompt(
        self, previous: Decoding, valid: Tensor
    ) -> tuple[Prompt, Tensor, Tensor]:
        """Make the next iteration's prompts from an iteration's output.

        Parameters
        ----------
        previous : Decoding
            Iteration t - 1.
        valid : Tensor
            ``(B, 2)`` int, unpadded height and width of each entry in input pixels.

        Returns
        -------
        tuple
            The `Prompt` of N decodings, their ``(N,)`` entries and their
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
            Decoding of any iteration.
        valid : Tensor
            As for `next_prompt`.

        Returns
        -------
        Tensor
            ``(B, m, m)`` int64, 0 is background.
        """
        if decoding.regions is not None:
            return decoding.distinct(self.class_count).instances(len(valid))
        inside = valid_cells(valid, self.mask_size, self.stride)
        logits = decoding.largest_logit(len(valid))
        logits = logits.masked_fill(~inside, OUTSIDE_LOGIT)
        if decoding.distances is not None:
            return parts_of_distances(logits, decoding.distances)
        logits = only_best_class(logits, self.class_count)
        if decoding.separation is None:
            return cut_at_necks(logits)
        return split_touching(logits, decoding.separation)

    def prompts_of(
        self, instances: Tensor, logits: Tensor, valid: Tensor
    ) -> tuple[Prompt, Tensor, Tensor]:
        """Make prompts from what is known of each entry.

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
            N maps of logits with their scores.
        valid : Tensor
            As for `next_prompt`.

        Returns
        -------
        Prompt
            N prompts, one of each mask.
        """
        sides = valid[decoding.image_index]
        inside = valid_cells(sides, self.mask_size, self.stride)
        regions = (decoding.logits > 0) & inside
        return prompt_from_masks(
            self.kind, regions, regions, decoding.logits, self.stride, sides
        )

    def each_part(self, whole: Decoding, valid: Tensor) -> Decoding:
        """Make a map of each object that a foreground shows.

        Parameters
        ----------
        whole : Decoding
            One map an image, of `decode_unprompted`.
        valid : Tensor
            As for `next_prompt`.

        Returns
        -------
        Decoding
            N maps, one per part; the score of each is its mean probability.
        """
        regions, index = objects_of(self.parts(whole, valid))
        logits = whole.logits[index]
        logits = torch.where(regions | (logits <= 0), logits, OUTSIDE_LOGIT)
        inside = (logits.sigmoid() * regions).flatten(1).sum(1)
        scores = inside / regions.flatten(1).sum(1)
        return Decoding(logits, scores, index, regions=regions)

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
        valid = valid.repeat_interleave(self.class_count, 0)
        current = first
        if current is None:
            current = self.decode_unprompted(embeddings, relief=self.objects)
            if current.distances is not None:
                current = self.each_part(current, valid)
        yield current
        for _ in range(iterations - 1):
            prompt, index, regions = self.next_prompt(current, valid)
            if at_most is not None and len(index) > at_most:
                pick = torch.randperm(len(index), device=index.device)[:at_most]
                prompt, index, regions = prompt.select(pick), index[pick], regions[pick]
            if len(index):
                current = self.decode_entries(embeddings, index, prompt, regions)
                if self.objects and not torch.is_grad_enabled():
                    current = current.distinct(self.class_count)
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


def only_best_class(logits: Tensor, count: int) -> Tensor:
    """Leave each cell to the class that is surest of it.

    Parameters
    ----------
    logits : Tensor
        ``(B * K, m, m)``.
    count : int
        Number of classes K.

    Returns
    -------
    Tensor
        The same, negative where another class of the image has a larger logit.
    """
    if count == 1:
        return logits
    classes = logits.unflatten(0, (-1, count))
    beaten = (classes < classes.amax(1, keepdim=True)).flatten(0, 1)
    return torch.where(beaten & (logits > 0), OUTSIDE_LOGIT, logits)
