"""The running mean of the trained weights, which is what is validated and kept.

With a handful of images the weights go up and down from step to step; their mean does
not, and one noisy held-out image chooses less by luck.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

DECAY = 0.98
"""A mean over about fifty steps."""


class EMA:
    """An exponential mean of what a model learns.

    Parameters
    ----------
    model : torch.nn.Module
        On its device; parameters that do not require a gradient are left alone.
    decay : float
        How much of the mean stays at each step, once there were enough of them.
    buffers : bool
        Whether floating buffers, such as a batch norm's statistics, are averaged too.
    """

    def __init__(
        self, model: nn.Module, decay: float = DECAY, buffers: bool = False
    ) -> None:
        self._decay = decay
        self._parameters: list[Tensor] = [
            p for p in model.parameters() if p.requires_grad
        ]
        if buffers:
            self._parameters += [b for b in model.buffers() if b.is_floating_point()]
        self._means = [p.detach().clone() for p in self._parameters]
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Add the parameters after a step; those of the first steps fade soon."""
        self.steps += 1
        decay = min(self._decay, self.steps / (self.steps + 10))
        for mean, parameter in zip(self._means, self._parameters, strict=True):
            mean.lerp_(parameter, 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the model the means, and afterwards its own parameters again."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state(self) -> dict[str, int | list[Tensor]]:
        """What `restore` takes; for ``torch.save``."""
        return {"steps": self.steps, "means": self._means}

    @torch.no_grad()
    def restore(self, steps: int, means: list[Tensor]) -> None:
        """Go on from a `state`.

        Parameters
        ----------
        steps : int
            Number of steps that were added so far.
        means : list of Tensor
            Means of the parameters, in the order of the model's.
        """
        self.steps = steps
        for mean, stored in zip(self._means, means, strict=True):
            mean.copy_(stored)

    @torch.no_grad()
    def _swap(self) -> None:
        for mean, parameter in zip(self._means, self._parameters, strict=True):
            kept = parameter.clone()
            parameter.copy_(mean)
            mean.copy_(kept)
