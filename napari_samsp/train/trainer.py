"""One model that learns from some images, epoch by epoch."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader

from napari_samsp.sam.kernels.attention import fast_products
from napari_samsp.train.ema import EMA
from napari_samsp.train.events import Noted, Stepped
from napari_samsp.train.examples.augment import View
from napari_samsp.train.examples.dataset import Batches, Views
from napari_samsp.train.objective.objective import Objective
from napari_samsp.train.objective.small_parts import SmallParts
from napari_samsp.train.step import Step
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.memory import freed_memory_given_back

if TYPE_CHECKING:
    from collections.abc import Callable

    from peft import PeftModel

    from napari_samsp.train.budget import Budget
    from napari_samsp.train.config import TrainConfig
    from napari_samsp.train.distributed import Processes
    from napari_samsp.train.events import Event
    from napari_samsp.train.model import ModelInTraining


class Trainer:
    """The optimiser, the running mean of the weights and the views they come from.

    Parameters
    ----------
    peft : peft.PeftModel
        The model whose trainable parameters learn, in place.
    model : ModelInTraining
        The same, prompting itself.
    views : Views
        Of the images to learn from.
    config : TrainConfig
        Rates, batch size and the objective's weights.
    processes : Processes
        Those that share the work.
    report : callable
        Called with the event of every step.
    bfloat16 : bool
        Whether the forward pass runs in it.
    """

    def __init__(
        self,
        peft: PeftModel,
        model: ModelInTraining,
        views: Views,
        config: TrainConfig,
        processes: Processes,
        report: Callable[[Event], None],
        bfloat16: bool,
    ) -> None:
        self.model, self.processes, self.report = model, processes, report
        self.learning = [p for p in peft.parameters() if p.requires_grad]
        self.batches = Batches(
            len(views),
            config.batch,
            config.seed,
            processes.number,
            processes.count,
            len(views.unlabelled),
        )
        self.loader: DataLoader[View] = DataLoader(
            views, batch_sampler=self.batches, collate_fn=views.batch
        )
        device = processes.device
        self.objective = Objective(
            model,
            config,
            processes.all_reduce,
            processes.count,
            lambda: self.average.in_place(),
        )
        self.objective.to(device)
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(peft, config), weight_decay=0.01
        )
        self.average = EMA(peft)
        autocast = partial(torch.autocast, device.type, torch.bfloat16, bfloat16)
        self.step = Step(
            self.objective,
            self.learning,
            self.optimizer,
            self.average,
            processes,
            SmallParts(
                self.objective, model, lambda text: report(Noted(text)), autocast
            ),
            autocast,
        )

    def epoch(
        self, number: int, budget: Budget, stop_requested: Callable[[], bool]
    ) -> tuple[float, bool]:
        """Pass over the images once, or until the budget is exhausted.

        Parameters
        ----------
        number : int
            Number of the epoch, from 1.
        budget : Budget
            The learning rate falls with it.
        stop_requested : callable
            Asked at every step.

        Returns
        -------
        tuple of float and bool
            The mean loss, and whether it was cut short on request.

        Raises
        ------
        InputError
            If the loss is not finite any more.
        """
        self.batches.epoch = number
        self.objective.train()
        with fast_products(), freed_memory_given_back(self._frugal):
            return self._pass(number, budget, stop_requested)

    def _pass(
        self, number: int, budget: Budget, stop_requested: Callable[[], bool]
    ) -> tuple[float, bool]:
        losses: list[float] = []
        steps, device = len(self.loader), self.processes.device
        for n, batch in enumerate(self.loader, start=1):
            begun, ended = number - 1 + (n - 1) / steps, number - 1 + n / steps
            (spent,) = self.processes.broadcast(budget.fraction(begun))
            self.objective.part_done = spent
            views = View(*(t.to(device) for t in batch))
            losses.append(self.step(views, (number - 1) * steps + n, spent))
            if not math.isfinite(losses[-1]):
                raise InputError(
                    f"Training diverged in epoch {number} (the loss is {losses[-1]}): "
                    "train into a new output folder with a lower --rate and "
                    "--decoder-rate."
                )
            self.report(Stepped(number, n, steps, losses[-1], budget.left(ended)))
            stop, exhausted = self.processes.broadcast(
                stop_requested(), bool(budget.exhausted(ended))
            )
            if stop or exhausted:
                return sum(losses) / len(losses), bool(stop)
        return sum(losses) / len(losses), False

    @property
    def _frugal(self) -> bool:
        """Whether memory counts more than time: wanted, or found out meanwhile."""
        return self.model.checkpointing and self.processes.device.type == "cpu"


def _parameter_groups(peft: PeftModel, config: TrainConfig) -> list[dict[str, Any]]:
    rates = {
        "lora": config.rate,
        "encoder": config.encoder_rate,
        "decoder": config.decoder_rate,
    }
    found: dict[str, list[torch.nn.Parameter]] = {name: [] for name in rates}
    for name, parameter in peft.named_parameters():
        if parameter.requires_grad:
            encoder = "encoder" if ".image_encoder." in name else "decoder"
            found["lora" if ".lora_" in name else encoder].append(parameter)
    return [
        {"params": found[name], "lr": rate, "peak": rate}
        for name, rate in rates.items()
        if found[name]
    ]
