"""What a training step minimises: SAM-SP's loss over all iterations."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_samsp.self_prompting.prompts import Prompt, boxes_of
from napari_samsp.train.examples.augment import View
from napari_samsp.train.objective.losses import (
    coverage,
    decoding_loss,
    distillation_loss,
)
from napari_samsp.train.objective.relief import RELIEF_WEIGHT, relief_loss
from napari_samsp.train.objective.truth import SCORE_WEIGHT, Truth

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from napari_samsp.self_prompting.decoding import Decoding
    from napari_samsp.self_prompting.model import SelfPrompting
    from napari_samsp.train.config import TrainConfig

OBJECTS_PER_STEP = 32
"""Objects that one step trains on, drawn at random if an image has more."""
UNLABELLED_WEIGHT = 0.5
"""Weight of distillation on images without labels."""
TAUGHT_FROM = 0.5
"""Part of a run after which the teacher knows enough to teach."""


Term = tuple[float, Tensor]
"""A weight, and the losses of the images or objects that are averaged."""


def counts(terms: list[Term]) -> Tensor:
    """How many images or objects each term is of, int64."""
    sizes = [len(values) for _, values in terms]
    return torch.tensor(sizes, device=terms[0][1].device)


def mean_loss(terms: list[Term], totals: Tensor) -> Tensor:
    """The share of a batch's loss that a part of it adds.

    Parameters
    ----------
    terms : list of Term
        Terms of the part.
    totals : Tensor
        `counts` of the whole batch.

    Returns
    -------
    Tensor
        Scalar; those of all parts of a batch add up to its loss.
    """
    loss = terms[0][1].new_zeros(())
    for (weight, values), count in zip(terms, totals.tolist(), strict=True):
        if len(values):
            loss = loss + weight * values.sum() / count
    return loss


class Objective(nn.Module):
    """The loss of a batch: ``sum_t L_seg(y_t, y) + lambda * L_distill(y_0, y_T)``.

    SAM-SP (arXiv 2408.12364), section 3. Ours is the rehearsal of true prompts: boxes
    of the true objects, jittered, decode the same embeddings, so that the decoder
    does not forget what a prompt means.

    Parameters
    ----------
    model : SelfPrompting
        The model that is trained.
    config : TrainConfig
        Weights and number of iterations.
    total : callable, optional
        Sums a tensor over the processes that share a batch.
    processes : int
        How many these are.
    teacher : callable, optional
        Gives the context in which the model has the weights that teach it about images
        without labels. Default: its own.
    """

    def __init__(
        self,
        model: SelfPrompting,
        config: TrainConfig,
        total: Callable[[Tensor], Tensor] = Tensor.detach,
        processes: int = 1,
        teacher: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.total = total
        self.teacher = teacher
        self.part_done = 0.0
        self.objects_per_step = -(-OBJECTS_PER_STEP // processes)

    def forward(self, views: View) -> Tensor:
        """The loss of this process's share of a batch.

        Parameters
        ----------
        views : View
            A batch, possibly empty.

        Returns
        -------
        Tensor
            Scalar; the sum of all shares is the loss of the whole batch, a mean over
            its images and objects.
        """
        terms = self.terms(views)
        return mean_loss(terms, self.total(counts(terms)))

    def terms(self, views: View) -> list[Term]:
        """The terms of the loss of a part of a batch, before they are averaged.

        Parameters
        ----------
        views : View
            Some of a batch, possibly none.

        Returns
        -------
        list of Term
            One of each iteration, of distillation, of the true prompts, of the
            objects' relief, and of distillation on images without labels: those that
            do not exist here may exist elsewhere.
        """
        none = views.image.new_zeros(0)
        taught: Term = (0.0, none)
        if self.config.unlabelled and len(views.image):
            unlabelled = (views.labels < 0).flatten(1).all(1)
            if unlabelled.any() and self.part_done >= TAUGHT_FROM:
                taught = self._taught(View(*(part[unlabelled] for part in views)))
            views = View(*(part[~unlabelled] for part in views))
        terms = self._terms(views) if len(views.image) else []
        terms += [(0.0, none)] * (self.config.iterations + 3 - len(terms))
        return [*terms, taught]

    def _taught(self, views: View) -> Term:
        """SAM-SP's distillation where only the teacher can tell what is right.

        The mean of the weights is the teacher (mean teacher, arXiv 1703.01780): its
        last iteration on a view teaches the first on the same view, recoloured.
        """
        # Before the gradients begin, which must not see other weights.
        with torch.no_grad(), self.teacher():
            plain = self.model.encode(views.plain)
            *_, last = self.model.iterate(
                plain,
                views.valid,
                self.config.iterations,
                self.objects_per_step if self.model.objects else None,
            )
        embeddings = self.model.encode(views.image)
        first = next(iter(self.model.iterate(embeddings, views.valid, 1)))
        nothing = torch.zeros_like(views.labels)
        batch = Truth(self.model, nothing, views.valid)
        losses = embeddings.new_zeros(0)
        if len(last.logits):
            losses = self._distillation(first, last, batch)
        return UNLABELLED_WEIGHT, losses

    def _terms(self, views: View) -> list[Term]:
        image, labels, valid, seeds, _ = views
        batch = Truth(self.model, labels, valid)
        embeddings = self.model.encode(image)
        decodings = list(
            self.model.iterate(
                embeddings,
                valid,
                self.config.iterations,
                self.objects_per_step if self.model.objects else None,
            )
        )
        none = embeddings.new_zeros(0)
        terms: list[Term] = []
        for t, decoding in enumerate(decodings):
            losses = none
            if len(decoding.image_index):
                target = batch.targets(decoding, t, self.model.objects)
                losses = batch.loss(decoding, target)
            terms.append((1.0, losses))
        losses = none
        if self.config.distill and len(decodings) > 1 and len(decodings[-1].logits):
            losses = self._distillation(decodings[0], decodings[-1], batch)
        terms.append((self.config.distill, losses))
        losses = none
        if self.config.true_prompts:
            # Without the class's token, so that a user's click needs no class.
            prompt, masks, index = true_boxes(labels, valid, seeds)
            if len(index):
                decoding = self.model.decode(embeddings, index, prompt)
                weight = batch.weight_of_images[index]
                target = coverage(masks, batch.size)
                losses = decoding_loss(decoding, target, weight, SCORE_WEIGHT)[0]
        terms.append((self.config.true_prompts, losses))
        losses = none
        separation = decodings[0].separation
        if self.model.objects and separation is not None:
            losses = relief_loss(separation, batch.relief(), batch.weight)
        terms.append((RELIEF_WEIGHT, losses))
        return terms

    def _distillation(self, first: Decoding, last: Decoding, batch: Truth) -> Tensor:
        student, teacher, weight = first.logits, last.logits, batch.weight
        if self.model.objects:
            teacher, heard = teacher_of_objects(student, last)
            # It fills the seams, which the student leaves open.
            weight = weight * heard * (batch.whole == batch.apart)
            taught = heard.flatten(1).any(1)
            student, teacher, weight = student[taught], teacher[taught], weight[taught]
        return distillation_loss(student, teacher, weight, self.config.temperature)


def teacher_of_objects(student: Tensor, last: Decoding) -> tuple[Tensor, Tensor]:
    """Merge the objects of an iteration to the teacher, and say where it counts.

    Parameters
    ----------
    student : Tensor
        ``(B, m, m)`` logits of iteration 0, from which the objects come.
    last : Decoding
        Of some of them: a step draws at most `OBJECTS_PER_STEP`.

    Returns
    -------
    tuple of Tensor
        ``(B, m, m)`` the largest logit of each image's objects; and bool: not where
        objects were not drawn, which those that were take for background. In an image
        of which none was drawn, nowhere.
    """
    teacher = last.largest_logit(len(student))
    assert last.regions is not None
    regions = last.regions.to(student.dtype)
    index = last.image_index[:, None, None].expand_as(regions)
    drawn = torch.zeros_like(student).scatter_reduce(0, index, regions, "amax")
    heard = (drawn > 0) | (student <= 0)
    return teacher, heard & torch.isfinite(teacher)


def true_boxes(
    labels: Tensor, valid: Tensor, seeds: Tensor
) -> tuple[Prompt, Tensor, Tensor]:
    """Jittered boxes of two random objects per image.

    Parameters
    ----------
    labels : Tensor
        ``(B, S, S)`` int64.
    valid : Tensor
        ``(B, 2)`` unpadded height and width.
    seeds : Tensor
        ``(B,)`` int64: an image's objects and jitter depend on its own alone.

    Returns
    -------
    tuple
        A `Prompt` of N boxes, their ``(N, S, S)`` bool masks and image index.
    """
    masks, index, noise = [], [], []
    for b, image in enumerate(labels):
        generator = torch.Generator().manual_seed(int(seeds[b]))
        present = image.unique()
        present = present[present > 0]
        drawn = torch.randperm(len(present), generator=generator)[:2]
        for label in present[drawn.to(present.device)]:
            masks.append(image == label)
            index.append(b)
            noise.append(torch.randn(4, generator=generator))
    if not masks:
        none = torch.zeros(0, dtype=torch.int64, device=labels.device)
        return Prompt(), labels[:0] > 0, none
    targets = torch.stack(masks)
    image_index = torch.tensor(index, device=labels.device)
    boxes = boxes_of(targets, 1, valid[image_index])
    boxes = jitter(boxes, torch.stack(noise).to(boxes.device), labels.shape[-1])
    return Prompt(boxes=boxes), targets, image_index


def jitter(boxes: Tensor, noise: Tensor, size: int) -> Tensor:
    """Boxes as a hurried user draws them, or a model from its own mask.

    Parameters
    ----------
    boxes : Tensor
        ``(N, 4)`` x and y of two corners, in input pixels.
    noise : Tensor
        ``(N, 4)`` standard normal.
    size : int
        Side of the model's input.

    Returns
    -------
    Tensor
        ``(N, 4)``: the corners err by a twelfth of the sides and a pixel, at most 20
        pixels, as in SAM's own training.
    """
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return (boxes + noise * (sides / 12 + 1).clamp(max=20)).clamp(0, size)
