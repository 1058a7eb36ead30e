"""The training loop: LoRA and decoder on self-prompted iterations."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict

from napari_samsp.core.adapter import save_adapter
from napari_samsp.core.adapter_card import AdapterCard
from napari_samsp.core.chunked_attention import fast_products
from napari_samsp.core.errors import InputError
from napari_samsp.core.memory import freed_memory_given_back
from napari_samsp.train.augment import View
from napari_samsp.train.events import (
    EpochEnded,
    Event,
    Figures,
    Finished,
    Noted,
    Started,
    Stepped,
)
from napari_samsp.train.judge import Judgement, is_better, is_kept, judge
from napari_samsp.train.run_folder import Progress
from napari_samsp.train.setup import Parts, set_up

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_samsp.train.config import TrainConfig

WARM_UP_STEPS = 10
RATE_FALLS_FROM = 0.5
"""The part of a run after which the learning rate falls."""


def train(
    training_set: Path,
    output: Path,
    config: TrainConfig,
    *,
    resume: bool = False,
    report: Callable[[Event], None] = lambda event: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Finished:
    """Train an adapter on a training set.

    Parameters
    ----------
    training_set : Path
        A folder, see `napari_samsp.core.training_set.TrainingSet`.
    output : Path
        The run's folder.
    config : TrainConfig
        Settings.
    resume : bool
        Continue the run in ``output`` after its last finished epoch.
    report : callable
        Hears every event, on the main process.
    stop_requested : callable
        Asked at every step; True ends the run after judging what there is.

    Returns
    -------
    Finished
        The figures before and after, and the adapter's folder.

    Raises
    ------
    InputError
        If the training set, the model, a setting or what is to be resumed cannot be
        used, or the loss grows beyond all bounds.
    """
    parts = set_up(training_set, output, config, resume, report)
    return _Run(parts, resume, stop_requested).go()


@dataclass
class _Clock:
    """Time and epochs spent and allowed."""

    config: TrainConfig
    spent: float
    begun: float

    def elapsed(self) -> float:
        return self.spent + time.monotonic() - self.begun

    def is_up(self) -> bool:
        return bool(self.config.minutes) and self.elapsed() >= 60 * self.config.minutes

    def part_done(self, epoch: float) -> float:
        part = epoch / self.config.most_epochs
        if self.config.minutes:
            part = max(part, self.elapsed() / (60 * self.config.minutes))
        return min(part, 1.0)

    def left(self, epoch: float) -> float:
        part = self.part_done(epoch)
        return self.elapsed() * (1 - part) / part if part else 0.0


class _Run:
    def __init__(
        self, parts: Parts, resume: bool, stop_requested: Callable[[], bool]
    ) -> None:
        self.parts = parts
        self.config = parts.config
        self.folder, self.processes = parts.folder, parts.processes
        self.report, self.main = parts.report, parts.processes.main
        self.stop_requested = stop_requested
        self.progress = self._restore() if resume else None

    def go(self) -> Finished:
        config = self.config
        progress = self.progress or Progress(0, 0.0, 0, self._judge())
        clock = _Clock(config, progress.seconds, time.monotonic())
        self.report(
            Started(
                run=str(self.folder.folder),
                images=len(self.parts.pictures),
                held_out=self.parts.held_out,
                epochs=config.most_epochs,
                parameters=sum(
                    p.numel() for p in self.parts.peft.parameters() if p.requires_grad
                ),
                device=str(self.parts.accelerator.device),
                before=progress.before.figures,
            )
        )
        if self.parts.note:
            self.report(Noted(self.parts.note))
        reason = "epochs"
        while progress.epoch < config.most_epochs or progress.kept is None:
            begun = clock.elapsed()
            with fast_products(), freed_memory_given_back(self._frugal):
                loss, stopped = self._epoch(progress.epoch + 1, clock)
            now = self._judge()
            progress.epoch += 1
            kept = is_kept(now, progress.best, progress.before)
            progress.since_kept = 0 if kept else progress.since_kept + 1
            progress.seconds = clock.elapsed()
            if kept:
                progress.kept = now
            if progress.best is None or now.merit > progress.best.merit:
                progress.best = now
            if self.main:
                self._keep(progress, loss, now, kept, progress.seconds - begun, clock)
            reason = self._why_end(progress, clock, stopped)
            if reason:
                break
        assert progress.kept is not None
        finished = Finished(
            reason=reason or "epochs",
            adapter=str(self.folder.adapter),
            before=progress.before.figures,
            after=progress.kept.figures,
            judged_by="validation set" if self.parts.held_out else "training images",
            better=is_better(
                progress.kept, progress.before, held_out=self.parts.held_out > 0
            ),
        )
        if self.main:
            self.folder.check_adapter()
            self.folder.write_report(finished)
            self.report(finished)
        self.parts.accelerator.end_training()
        return finished

    @property
    def _frugal(self) -> bool:
        """Whether memory counts more than time: wanted, or found out meanwhile."""
        return (
            self.parts.model.checkpointing
            and self.parts.accelerator.device.type == "cpu"
        )

    def _epoch(self, epoch: int, clock: _Clock) -> tuple[float, bool]:
        """One pass; returns the mean loss and whether it was cut short on request."""
        self.parts.batches.epoch = epoch
        self.parts.objective.train()
        losses: list[float] = []
        steps = len(self.parts.loader)
        device = self.parts.accelerator.device
        trained = [p for p in self.parts.peft.parameters() if p.requires_grad]
        for step, batch in enumerate(self.parts.loader, start=1):
            part = epoch - 1 + (step - 1) / steps
            done = (epoch - 1) * steps + step
            (time_done,) = self.processes.told(clock.part_done(part))
            factor = min(1.0, done / WARM_UP_STEPS) * _fall(time_done)
            for group in self.parts.optimizer.param_groups:
                group["lr"] = group["peak"] * factor
            loss = self.parts.step.backward(View(*(t.to(device) for t in batch)))
            self.processes.sum_gradients(trained)
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            self.parts.optimizer.step()
            self.parts.average.update()
            losses.append(float(self.processes.total(loss)))
            if not math.isfinite(losses[-1]):
                raise InputError(
                    f"Training diverged in epoch {epoch} (the loss is {losses[-1]}): "
                    "train into a new output folder with a lower --rate and "
                    "--decoder-rate."
                )
            left = clock.left(part + 1 / steps)
            self.report(Stepped(epoch, step, steps, losses[-1], left))
            stop, time_up = self.processes.told(self.stop_requested(), clock.is_up())
            if stop:
                return sum(losses) / len(losses), True
            if time_up:
                break
        return sum(losses) / len(losses), False

    def _why_end(self, progress: Progress, clock: _Clock, stopped: bool) -> str:
        if stopped:
            return "stopped"
        time_up, part = self.processes.told(
            clock.is_up(), clock.part_done(progress.epoch)
        )
        if time_up:
            return "minutes"
        # Not before the learning rate falls: until then figures go up and down.
        falling = part >= RATE_FALLS_FROM
        patience = self.config.patience
        if falling and patience and progress.since_kept >= patience:
            return "early stop"
        return ""

    def _keep(
        self,
        progress: Progress,
        loss: float,
        now: Judgement,
        kept: bool,
        seconds: float,
        clock: _Clock,
    ) -> None:
        if kept:
            card = AdapterCard(
                **{
                    **self.parts.card.__dict__,
                    "before": _plain(progress.before.figures),
                    "after": _plain(now.figures),
                    "created": datetime.now(UTC).isoformat(timespec="seconds"),
                }
            )
            with self.parts.average.in_place():
                save_adapter(self.parts.peft, self.folder.adapter, card)
        event = EpochEnded(
            epoch=progress.epoch,
            epochs=self.config.most_epochs,
            loss=loss,
            dice=now.figures.dice,
            seconds=seconds,
            best=kept,
            seconds_left=clock.left(progress.epoch),
        )
        self.folder.append_metrics(event)
        self.folder.save_progress(
            progress,
            {
                "adapter": get_peft_model_state_dict(
                    self.parts.peft, save_embedding_layers=False
                ),
                "average": self.parts.average.state(),
                "optimizer": self.parts.optimizer.state_dict(),
            },
        )
        self.report(event)

    def _restore(self) -> Progress | None:
        stored = self.folder.load_progress()
        if stored is None:
            return None
        progress, tensors = stored
        try:
            adapter = tensors["adapter"]
            own = get_peft_model_state_dict(
                self.parts.peft, save_embedding_layers=False
            )
            if adapter.keys() != own.keys():
                raise ValueError("it is another model's")
            set_peft_model_state_dict(self.parts.peft, adapter)
            self.parts.average.restore(**tensors["average"])
            self.parts.optimizer.load_state_dict(tensors["optimizer"])
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            raise self.folder.broken() from error
        return progress

    def _judge(self) -> Judgement:
        def work() -> Judgement:
            return judge(
                self.parts.model,
                self.parts.judged_by,
                self.config.iterations,
                self.parts.field,
            )

        with self.parts.average.in_place():
            return self.processes.done_by_main(work)


def _fall(part: float) -> float:
    """Constant, then linear to a fiftieth."""
    return max(0.02, min(1.0, (1 - part) / (1 - RATE_FALLS_FROM)))


def _plain(figures: Figures) -> dict[str, Any]:
    return {k: v for k, v in figures.__dict__.items() if v is not None}
