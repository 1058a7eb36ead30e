"""Communication between the processes of one run.

Gradients are summed by hand and not by torch's DistributedDataParallel, which averages
them over processes: the loss is a mean over images and objects, of which the processes
have different numbers. The trained part is small: one message per step is enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import torch
from accelerate.utils import broadcast as broadcast_tensor
from accelerate.utils import broadcast_object_list

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from accelerate import Accelerator
    from torch import Tensor, nn

T = TypeVar("T")


class Processes:
    """The processes that train together; every method is a no-op for a single one.

    Every method but the properties is called by all of them, at the same moment.

    Parameters
    ----------
    accelerator : accelerate.Accelerator
        Accelerate's view of this process.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self.device = accelerator.device
        self.count: int = accelerator.num_processes
        self.number: int = accelerator.process_index
        self.main: bool = accelerator.is_main_process

    def all_reduce(self, values: Tensor) -> Tensor:
        """The sum over all processes.

        Parameters
        ----------
        values : Tensor
            Of the same shape everywhere.

        Returns
        -------
        Tensor
            The same everywhere, without a gradient.
        """
        values = values.detach()
        if self.count == 1:
            return values
        return self._accelerator.reduce(values.clone(), "sum")

    @torch.no_grad()
    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up every parameter's gradient over all processes.

        Parameters
        ----------
        parameters : iterable of Parameter
            In the same order everywhere. Where no process has a gradient there is
            none afterwards, so that an optimizer skips that parameter as it would
            alone.
        """
        if self.count == 1:
            return
        known = list(parameters)
        has = torch.tensor([p.grad is not None for p in known], device=self.device)
        parts = [
            (torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in known
        ]
        flat = self.all_reduce(torch.cat([has.to(parts[0].dtype), *parts]))
        for p, one, used in zip(
            known,
            flat[len(known) :].split([p.numel() for p in known]),
            flat[: len(known)].tolist(),
            strict=True,
        ):
            p.grad = one.view_as(p).clone() if used else None

    def broadcast(self, *values: float) -> tuple[float, ...]:
        """The numbers of the main process, so that all processes go on alike."""
        if self.count == 1:
            return values
        sent = torch.tensor(values, dtype=torch.float32, device=self.device)
        return tuple(broadcast_tensor(sent).tolist())

    def run_on_main(self, work: Callable[[], T]) -> T:
        """Let the main process work, and give its result to all.

        Parameters
        ----------
        work : callable
            Called on the main process alone.

        Returns
        -------
        object
            The result, in all processes.
        """
        done = [work() if self.main else None]
        if self.count > 1:
            broadcast_object_list(done)
        return done[0]  # type: ignore[return-value]
