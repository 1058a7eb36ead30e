"""Gradients of a batch, part by part where memory is short."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

from napari_samsp.train.examples.augment import View
from napari_samsp.train.objective.objective import counts, mean_loss
from napari_samsp.utils.errors import InputError, is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from torch import Tensor

    from napari_samsp.train.model import ModelInTraining
    from napari_samsp.train.objective.objective import Objective


class SmallParts:
    """Accumulates gradients over parts of a batch, smaller ones when memory is short.

    The loss is a mean over all images and objects of a batch. Its parts therefore run
    twice: once to count, and once to learn. The gradients are those of the whole batch
    unless an iteration has more than `OBJECTS_PER_STEP` objects: then the parts draw
    others.

    Parameters
    ----------
    objective : Objective
        The loss whose gradients are wanted.
    model : ModelInTraining
        The objective's; keeps less for the backward pass where that helps.
    tell : callable
        Hears in a sentence what changes.
    autocast : callable, optional
        Gives the context of a forward pass.
    """

    def __init__(
        self,
        objective: Objective,
        model: ModelInTraining,
        tell: Callable[[str], None],
        autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._objective, self._model = objective, model
        self._tell, self._autocast = tell, autocast
        self._at_once: int | None = None

    @property
    def needed(self) -> bool:
        """Whether memory was short before, so that a batch has to go in parts."""
        return self._at_once is not None

    def backward(self, views: View, totals: Totals) -> Tensor:
        """Set the gradients of this process's share of a batch.

        Parameters
        ----------
        views : View
            A batch, possibly empty.
        totals : Totals
            Counts over the whole batch.

        Returns
        -------
        Tensor
            Scalar loss of the share, without a gradient.

        Raises
        ------
        InputError
            If one image alone is too much.
        """
        while True:
            size = min(self._at_once or len(views.image), len(views.image))
            try:
                return self._backward(views, size, totals)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            # Only here the failure's own tensors are gone.
            self.need_less(size)

    def need_less(self, size: int) -> None:
        """Take smaller parts, or keep less of an image, and say so.

        Parameters
        ----------
        size : int
            Number of images that were too many at once.

        Raises
        ------
        InputError
            If one image alone is too much.
        """
        keeps_less = self._model.checkpointing or self._model.frozen_blocks is None
        if size == 1 and keeps_less:
            raise InputError(
                "Memory does not suffice to train on one image at a time: close other "
                "programs, or choose a smaller model, a smaller --input-size, or "
                "--speed decoder."
            )
        self._objective.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if size > 1:
            self._at_once = size // 2
            how = f"{self._at_once} image{'s' * (self._at_once > 1)} at a time"
        else:
            self._model.checkpointing = True
            how = "one image at a time, and keeps less of it"
        self._tell(f"Memory was short: each step now takes {how}. That is slower.")

    def _backward(self, views: View, size: int, totals: Totals) -> Tensor:
        self._objective.zero_grad()
        count = len(views.image)
        parts = [views]
        if 0 < size < count:
            parts = [
                View(*(tensor[first : first + size] for tensor in views))
                for first in range(0, count, size)
            ]
        if len(parts) > 1:
            device = views.image.device
            devices = [device] if device.type == "cuda" else []
            # What is drawn at random here is drawn again when they learn.
            with torch.random.fork_rng(devices):
                found = [counts(self._terms(part)) for part in parts]
            total = totals.with_mine(torch.stack(found).sum(0))
        loss = views.image.new_zeros(())
        for part in parts:
            terms = self._terms(part)
            if len(parts) == 1:
                total = totals.with_mine(counts(terms))
            share = mean_loss(terms, total)
            if share.requires_grad:
                share.backward()
            loss += share.detach()
        return loss

    def _terms(self, views: View) -> list[tuple[float, Tensor]]:
        with self._autocast():
            return self._objective.terms(views)


class Totals:
    """What a batch holds in all processes together, communicated once per batch.

    Parameters
    ----------
    objective : Objective
        The objective whose terms are counted.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._others: Tensor | None = None

    def with_mine(self, mine: Tensor) -> Tensor:
        """The counts of all, of which this process's are these."""
        if self._others is None:
            self._others = self._objective.total(mine) - mine
        return self._others + mine
