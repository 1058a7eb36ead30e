"""The training loop: LoRA and decoder on self-prompted iterations."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from torch.utils.data import DataLoader

from napari_samsp.core.adapter import (
    add_lora,
    freeze_blocks,
    load_adapter,
    save_adapter,
)
from napari_samsp.core.adapter_card import AdapterCard, read_card
from napari_samsp.core.checkpoints import load_sam
from napari_samsp.core.chunked_attention import fast_products
from napari_samsp.core.device import choose_device, free_cores, likes_bfloat16
from napari_samsp.core.errors import InputError
from napari_samsp.core.images import Scaling
from napari_samsp.core.memory import freed_memory_given_back
from napari_samsp.core.training_encoder import WORTH_IT_TOKENS
from napari_samsp.core.training_set import TrainingSet
from napari_samsp.train.augment import View
from napari_samsp.train.data import (
    Batches,
    Views,
    best_fields,
    check_labelled,
    read_pictures,
    split,
)
from napari_samsp.train.events import (
    EpochEnded,
    Event,
    Figures,
    Finished,
    Noted,
    Started,
    Stepped,
)
from napari_samsp.train.judge import judge, merit
from napari_samsp.train.model import ModelInTraining
from napari_samsp.train.objective import Objective
from napari_samsp.train.processes import Processes
from napari_samsp.train.run_folder import Progress, RunFolder
from napari_samsp.train.running_mean import RunningMean
from napari_samsp.train.speed import (
    choose_speed,
    frozen_blocks,
    kept_views,
    operations_per_second,
)
from napari_samsp.train.step import Step

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from segment_anything.modeling import ImageEncoderViT

    from napari_samsp.train.config import TrainConfig

WARM_UP_STEPS = 10
RATE_FALLS_FROM = 0.5
"""The part of a run after which the learning rate falls."""
LEAST_GAIN = 1e-4
"""A smaller rise of the merit is noise, and no improvement."""
LONGEST_SILENCE = timedelta(hours=6)
"""While the main process judges, the others wait; then they take it for dead."""
LIBRARIES = ("torch", "peft", "segment-anything", "accelerate")


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
        The figures before and after, and the best adapter's folder.

    Raises
    ------
    InputError
        If the training set, the model or a setting cannot be used.
    """
    run = _Run(training_set, output, config, resume, report, stop_requested)
    return run.go()


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
        self,
        training_set: Path,
        output: Path,
        config: TrainConfig,
        resume: bool,
        report: Callable[[Event], None],
        stop_requested: Callable[[], bool],
    ) -> None:
        self.stop_requested = stop_requested
        source = TrainingSet(training_set)
        samples = source.check()
        fitting, held_out = split(samples, config.validation, config.seed)
        device = choose_device(config.device)
        if device.type == "cpu":
            torch.set_num_threads(
                config.threads
                if config.threads > 0
                else max(1, free_cores() + config.threads)
            )
        self.accelerator = Accelerator(
            cpu=device.type == "cpu",
            kwargs_handlers=[InitProcessGroupKwargs(timeout=LONGEST_SILENCE)],
        )
        self.processes = Processes(self.accelerator)
        if config.batch < self.processes.count:
            raise InputError(
                f"A step of {config.batch} images cannot be shared by "
                f"{self.processes.count} processes; raise --batch."
            )
        if device.type == "cpu":
            torch.set_num_threads(
                max(1, torch.get_num_threads() // self.processes.count)
            )
        self.main = self.processes.main
        self.report = report if self.main else lambda event: None
        self.folder = RunFolder(output)
        earlier = read_card(config.adapter) if config.adapter else None
        scaling = earlier.scaling if earlier else Scaling()
        if config.scaling:
            scaling = Scaling.parse(config.scaling)
        size = config.input_size or (earlier.image_size if earlier else None)
        loaded = load_sam(config.model, size)
        encoder = loaded.sam.image_encoder
        size, patch = int(encoder.img_size), int(encoder.patch_embed.proj.stride[0])
        large = (size // patch) ** 2 > WORTH_IT_TOKENS
        self.bfloat16 = likes_bfloat16(device) and (large or device.type != "cpu")
        config = replace(config, speed=self._speed(config, encoder, len(fitting)))
        self.config = config
        frozen = frozen_blocks(config.speed, encoder)
        torch.manual_seed(config.seed)
        if config.adapter:
            self.peft, _ = load_adapter(
                loaded.sam, config.adapter, loaded.sha256, trainable=True
            )
        else:
            self.peft = add_lora(loaded.sam, config.rank, loaded.name, frozen)
        freeze_blocks(self.peft, frozen)
        pictures = read_pictures(fitting, scaling)
        check_labelled(pictures)
        self.judged_by = read_pictures(held_out, scaling) or pictures
        # Only now is all input known to be good: nothing was written before.
        fingerprint = source.fingerprint()
        if self.main:
            self.folder.start(config, training_set, fingerprint, resume)
        self.accelerator.wait_for_everyone()
        self.held_out = len(held_out)
        self.pictures = pictures
        fields = best_fields(pictures, size, patch)
        if config.field_of_view:
            fields = [config.field_of_view] * len(pictures)
        self.field = min(fields), max(fields)
        views = Views(
            pictures,
            size,
            config.views,
            config.augment,
            fields,
            kept_views(encoder) if frozen != 0 else None,
            config.seed,
        )
        self.model = ModelInTraining(
            self.peft.get_base_model(),
            config.prompt,
            config.objects,
            frozen,
            config.checkpointing,
        )
        self.optimizer = torch.optim.AdamW(self._parameter_groups(), weight_decay=0.01)
        self.batches = Batches(
            len(views),
            config.batch,
            config.seed,
            self.processes.number,
            self.processes.count,
        )
        self.loader = DataLoader(
            views, batch_sampler=self.batches, collate_fn=views.batch
        )
        self.objective = Objective(
            self.model, config, self.processes.total, self.processes.count
        ).to(self.accelerator.device)
        self.step = Step(
            self.objective,
            self.model,
            lambda text: self.report(Noted(text)),
            partial(torch.autocast, device.type, torch.bfloat16, self.bfloat16),
        )
        self.average = RunningMean(self.peft)
        self.card = AdapterCard(
            base=loaded.name,
            base_sha256=loaded.sha256,
            image_size=size,
            field_of_view=self.field,
            scaling=scaling,
            prompt=config.prompt,
            iterations=config.iterations,
            objects=config.objects,
            speed=config.speed,
            fingerprint=fingerprint,
            images=len(pictures),
            held_out=bool(held_out),
            versions={name: version(name) for name in LIBRARIES},
        )
        self.progress = self._restore() if resume else None

    def go(self) -> Finished:
        config = self.config
        progress = self.progress or Progress(0, 0.0, 0, self._judge(), None)
        clock = _Clock(config, progress.seconds, time.monotonic())
        self.report(
            Started(
                run=str(self.folder.folder),
                images=len(self.pictures),
                held_out=self.held_out,
                epochs=config.most_epochs,
                parameters=sum(
                    p.numel() for p in self.peft.parameters() if p.requires_grad
                ),
                device=str(self.accelerator.device),
                before=progress.before,
            )
        )
        reason = "epochs"
        while progress.epoch < config.most_epochs or progress.best is None:
            begun = clock.elapsed()
            with fast_products(), freed_memory_given_back(self._frugal):
                loss, stopped = self._epoch(progress.epoch + 1, clock)
            figures = self._judge()
            progress.epoch += 1
            best = (
                progress.best is None
                or merit(figures) > merit(progress.best) + LEAST_GAIN
            )
            progress.since_best = 0 if best else progress.since_best + 1
            progress.seconds = clock.elapsed()
            if best:
                progress.best = figures
            if self.main:
                self._keep(
                    progress, loss, figures, best, progress.seconds - begun, clock
                )
            reason = self._why_end(progress, clock, stopped)
            if reason:
                break
        assert progress.best is not None
        finished = Finished(
            reason=reason or "epochs",
            adapter=str(self.folder.adapter),
            before=progress.before,
            after=progress.best,
            held_out=self.held_out > 0,
            better=merit(progress.best) > merit(progress.before) + LEAST_GAIN,
        )
        if self.main:
            self.folder.write_report(finished)
            self.report(finished)
        self.accelerator.end_training()
        return finished

    @property
    def _frugal(self) -> bool:
        """Whether memory counts more than time: wanted, or found out meanwhile."""
        return self.model.checkpointing and self.accelerator.device.type == "cpu"

    def _epoch(self, epoch: int, clock: _Clock) -> tuple[float, bool]:
        """One pass; returns the mean loss and whether it was cut short on request."""
        self.batches.epoch = epoch
        self.objective.train()
        losses: list[float] = []
        steps = len(self.loader)
        device = self.accelerator.device
        trained = [p for p in self.peft.parameters() if p.requires_grad]
        for step, batch in enumerate(self.loader, start=1):
            part = epoch - 1 + (step - 1) / steps
            done = (epoch - 1) * steps + step
            (time_done,) = self.processes.told(clock.part_done(part))
            factor = min(1.0, done / WARM_UP_STEPS) * _fall(time_done)
            for group in self.optimizer.param_groups:
                group["lr"] = group["peak"] * factor
            loss = self.step.backward(View(*(t.to(device) for t in batch)))
            self.processes.sum_gradients(trained)
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            self.optimizer.step()
            self.average.update()
            losses.append(float(self.processes.total(loss)))
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
        if falling and patience and progress.since_best >= patience:
            return "early stop"
        return ""

    def _keep(
        self,
        progress: Progress,
        loss: float,
        figures: Figures,
        best: bool,
        seconds: float,
        clock: _Clock,
    ) -> None:
        if best:
            card = AdapterCard(
                **{
                    **self.card.__dict__,
                    "before": _plain(progress.before),
                    "after": _plain(figures),
                    "created": datetime.now(UTC).isoformat(timespec="seconds"),
                }
            )
            with self.average.in_place():
                save_adapter(self.peft, self.folder.adapter, card)
        event = EpochEnded(
            epoch=progress.epoch,
            epochs=self.config.most_epochs,
            loss=loss,
            dice=figures.dice,
            seconds=seconds,
            best=best,
            seconds_left=clock.left(progress.epoch),
        )
        self.folder.append_metrics(event)
        self.folder.save_progress(
            progress,
            {
                "adapter": get_peft_model_state_dict(
                    self.peft, save_embedding_layers=False
                ),
                "average": self.average.state(),
                "optimizer": self.optimizer.state_dict(),
            },
        )
        self.report(event)

    def _restore(self) -> Progress | None:
        stored = self.folder.load_progress()
        if stored is None:
            return None
        progress, tensors = stored
        set_peft_model_state_dict(self.peft, tensors["adapter"])
        self.average.restore(**tensors["average"])
        self.optimizer.load_state_dict(tensors["optimizer"])
        return progress

    def _judge(self) -> Figures:
        def work() -> Figures:
            return judge(self.model, self.judged_by, self.config.iterations, self.field)

        with self.average.in_place():
            return self.processes.done_by_main(work)

    def _speed(self, config: TrainConfig, encoder: ImageEncoderViT, images: int) -> str:
        """The speed that was asked for, or else begun with, or else fits the time."""
        if config.speed != "auto":
            return config.speed

        def work() -> str:
            if begun := self.folder.begun_with("speed"):
                return str(begun)
            dtype = torch.bfloat16 if self.bfloat16 else torch.float32
            possible = operations_per_second(self.accelerator.device, dtype)
            return choose_speed(encoder, images, config.minutes, possible)

        return self.processes.done_by_main(work)

    def _parameter_groups(self) -> list[dict[str, Any]]:
        lora: list[torch.nn.Parameter] = []
        decoder: list[torch.nn.Parameter] = []
        for name, parameter in self.peft.named_parameters():
            if parameter.requires_grad:
                (lora if ".lora_" in name else decoder).append(parameter)
        config = self.config
        return [
            {"params": lora, "lr": config.rate, "peak": config.rate},
            {"params": decoder, "lr": config.decoder_rate, "peak": config.decoder_rate},
        ]


def _fall(part: float) -> float:
    """Constant, then linear to a fiftieth."""
    return max(0.02, min(1.0, (1 - part) / (1 - RATE_FALLS_FROM)))


def _plain(figures: Figures) -> dict[str, Any]:
    return {k: v for k, v in figures.__dict__.items() if v is not None}
