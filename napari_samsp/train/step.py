"""One training step: rate, loss, gradients, weights and their running mean."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.nn.utils import clip_grad_norm_

from napari_samsp.train.budget import RATE_FALLS_FROM, learning_rate
from napari_samsp.train.objective.objective import counts, mean_loss
from napari_samsp.train.objective.small_parts import SmallParts, Totals
from napari_samsp.utils.errors import is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from torch import Tensor, nn
    from torch.optim import Optimizer

    from napari_samsp.train.distributed import Processes
    from napari_samsp.train.ema import EMA
    from napari_samsp.train.examples.augment import View
    from napari_samsp.train.objective.objective import Objective

WARM_UP_STEPS = 10
LEAST_RATE = 0.02
"""Part of the peak rate: a run that has no end in sight goes on learning."""
LARGEST_GRADIENT = 1.0
"""Norm to which gradients are clipped."""


@dataclass
class Step:
    """What one step needs, and takes part in.

    Attributes
    ----------
    objective : Objective
        The loss that is minimised.
    learning : list of Parameter
        The parameters that learn.
    optimizer : torch.optim.Optimizer
        The optimizer of these; each group has its peak rate as ``peak``.
    average : EMA
        The running mean of the weights.
    processes : Processes
        Those that share a batch.
    small_parts : SmallParts
        The way round a lack of memory.
    autocast : callable
        Gives the context of a forward pass.
    """

    objective: Objective
    learning: list[nn.Parameter]
    optimizer: Optimizer
    average: EMA
    processes: Processes
    small_parts: SmallParts
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext

    def __call__(self, views: View, number: int, spent: float) -> float:
        """Learn from a batch.

        Parameters
        ----------
        views : View
            This process's share of it, possibly empty.
        number : int
            Number of the step, from 1.
        spent : float
            The part of the run that is over, 0 to 1.

        Returns
        -------
        float
            The loss of the whole batch.

        Raises
        ------
        InputError
            If memory does not suffice for one image.
        """
        left = (1 - spent) / (1 - RATE_FALLS_FROM)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(
                group["peak"], number, WARM_UP_STEPS, left, LEAST_RATE
            )
        loss = self.backward(views)
        self.processes.sum_gradients(self.learning)
        clip_grad_norm_(self.learning, LARGEST_GRADIENT)
        self.optimizer.step()
        self.average.update()
        return float(self.processes.all_reduce(loss))

    def backward(self, views: View) -> Tensor:
        """Set the gradients; in parts once memory was short.

        Returns
        -------
        Tensor
            Scalar loss of the share, without a gradient.
        """
        totals = Totals(self.objective)
        if not self.small_parts.needed:
            try:
                self.optimizer.zero_grad()
                with self.autocast():
                    terms = self.objective.terms(views)
                loss = mean_loss(terms, totals.with_mine(counts(terms)))
                if loss.requires_grad:  # an empty share has no gradient
                    loss.backward()
                return loss.detach()
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            # Only here the failure's own tensors are gone.
            self.small_parts.need_less(len(views.image))
        return self.small_parts.backward(views, totals)
