"""The training loop: LoRA and decoder on self-prompted iterations."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from peft import get_peft_model_state_dict, set_peft_model_state_dict

from napari_samsp.data.judged_pictures import AFTER, BEFORE
from napari_samsp.sam.adapters.adapter import save_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard
from napari_samsp.train.budget import RATE_FALLS_FROM, Budget, Limits
from napari_samsp.train.events import (
    EpochEnded,
    Event,
    Figures,
    Finished,
    Noted,
    Started,
)
from napari_samsp.train.run_folder import Progress
from napari_samsp.train.setup import Parts, set_up
from napari_samsp.train.validation.cross_validation import cross_validate
from napari_samsp.train.validation.pictures import Pictures
from napari_samsp.train.validation.validate import (
    ValidationResult,
    is_better,
    joined,
    should_checkpoint,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_samsp.train.config import TrainConfig


JUDGING = 0.2
"""Share of a time limit that goes into judging epochs, about: images of many tiles take
longer to judge than an epoch to train."""


def train(
    training_set: Path,
    output: Path,
    config: TrainConfig,
    *,
    resume: bool = False,
    report: Callable[[Event], None] = lambda event: None,
    stop_requested: Callable[[], bool] = lambda: False,
    seconds: Callable[[], float] = time.monotonic,
) -> Finished:
    """Train an adapter on a training set.

    Parameters
    ----------
    training_set : Path
        A folder, see `napari_samsp.data.training_sets.training_set.TrainingSet`.
    output : Path
        The run's folder.
    config : TrainConfig
        Settings of the run.
    resume : bool
        Continue the run in ``output`` after its last finished epoch.
    report : callable
        Hears every event, on the main process.
    stop_requested : callable
        Asked at every step; True ends the run after judging what there is.
    seconds : callable
        The clock that `TrainConfig.minutes` is measured with. `time.process_time`
        makes runs on a busy computer comparable.

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
    return _Run(parts, resume, stop_requested, seconds).go()


class _Run:
    def __init__(
        self,
        parts: Parts,
        resume: bool,
        stop_requested: Callable[[], bool],
        seconds: Callable[[], float],
    ) -> None:
        self.parts = parts
        self.config = parts.config
        self.folder, self.processes = parts.folder, parts.processes
        self.report, self.main = parts.report, parts.processes.main
        self.stop_requested, self.seconds = stop_requested, seconds
        self.trainer = parts.new_trainer(range(len(parts.pictures)))
        names = [one.name for one in parts.judged_by]
        self.pictures = Pictures(self.folder.folder, names, parts.model.class_count)
        self._judging, self._judged_at = 0.0, seconds()
        self._figures: Figures | None = None
        self.progress = self._restore() if resume else None

    def go(self) -> Finished:
        progress = self.progress
        if progress is None:
            progress = Progress(0, 0.0, 0, self._judge(before=True))
            self.pictures.keep(BEFORE)
        self._tell_start(progress)
        if self.parts.folds and not progress.epoch:
            self._cross_validate(progress)
        budget = self._budget(progress)
        self._judged_at = self.seconds()
        reason = self._why_end(progress, budget)
        while not reason or progress.kept is None:
            reason = self._epoch(progress, budget)
        finished = self._finished(progress, reason)
        if self.main:
            self.folder.check_adapter()
            self.folder.write_report(finished)
            self.report(finished)
        self.parts.accelerator.end_training()
        return finished

    def _tell_start(self, progress: Progress) -> None:
        self.report(
            Started(
                run=str(self.folder.folder),
                images=len(self.parts.pictures),
                held_out=self.parts.held_out,
                folds=len(self.parts.folds),
                epochs=self.config.most_epochs,
                parameters=sum(p.numel() for p in self.trainer.learning),
                device=str(self.parts.accelerator.device),
                before=progress.before.figures,
            )
        )
        for note in self.parts.notes:
            self.report(Noted(note))

    def _budget(self, progress: Progress) -> Budget:
        """The budget that earlier calls and validation have left."""
        seconds = 60 * self.config.minutes
        if seconds:
            seconds = max(seconds - progress.seconds_judging, 1.0)
        return Budget(
            Limits(self.config.most_epochs, self.config.steps, seconds),
            len(self.trainer.loader),
            self.seconds,
            progress.seconds,
        )

    def _epoch(self, progress: Progress, budget: Budget) -> str:
        """Train an epoch, judge it if it is time to; why the run ends, if it does."""
        begun = budget.elapsed()
        loss, stopped = self.trainer.epoch(
            progress.epoch + 1, budget, self.stop_requested
        )
        progress.epoch += 1
        reason = "stopped" if stopped else self._why_end(progress, budget)
        now = self._judge() if reason or self._is_due() else None
        kept = now is not None and self._is_kept(progress, now)
        progress.seconds = budget.elapsed()
        if self.main:
            self._keep(progress, loss, now, kept, progress.seconds - begun, budget)
        return reason or self._why_end(progress, budget)

    def _is_due(self) -> bool:
        """Whether an epoch is judged that is not the last; without a limit each is."""
        rest = self._judging * (1 / JUDGING - 1)
        return not self.config.minutes or self.processes.run_on_main(
            lambda: self.seconds() - self._judged_at >= rest
        )

    def _is_kept(self, progress: Progress, now: ValidationResult) -> bool:
        """Note what an epoch was judged; whether it replaces what was saved."""
        kept = should_checkpoint(now, progress.best, progress.before)
        progress.since_kept = 0 if kept else progress.since_kept + 1
        if kept:
            progress.kept = now
        if progress.best is None or now.score > progress.best.score:
            progress.best = now
        return kept

    def _finished(self, progress: Progress, reason: str) -> Finished:
        after, judged_by = self._after(progress)
        return Finished(
            reason=reason,
            adapter=str(self.folder.adapter),
            before=progress.before.figures,
            after=after.figures,
            judged_by=judged_by,
            better=is_better(
                after, progress.before, held_out=judged_by != "training images"
            ),
        )

    def _cross_validate(self, progress: Progress) -> None:
        begun = self.seconds() - progress.seconds_judging
        for judged in cross_validate(
            self.parts, self.seconds, self.stop_requested, len(progress.folds),
            self.pictures.see,
        ):  # fmt: skip
            self.pictures.keep(AFTER)
            progress.folds.append(judged)
            progress.seconds_judging = self.seconds() - begun
            if self.main:
                self._save(progress)
        progress.seconds_judging = self.seconds() - begun

    def _after(self, progress: Progress) -> tuple[ValidationResult, str]:
        """Figures of the adapter, and what they were measured on."""
        assert progress.kept is not None
        if self.parts.held_out:
            return progress.kept, "validation set"
        if progress.folds and len(progress.folds) == len(self.parts.folds):
            return joined(progress.folds, self.parts.folds), "cross-validation"
        return progress.kept, "training images"

    def _why_end(self, progress: Progress, budget: Budget) -> str:
        """Why the run ends here; nothing if it goes on."""
        limit = self.processes.run_on_main(lambda: budget.exhausted(progress.epoch))
        if limit:
            return limit
        (part,) = self.processes.broadcast(budget.fraction(progress.epoch))
        # Not before the learning rate falls: until then figures go up and down.
        patience = self.config.patience
        falling = part >= RATE_FALLS_FROM
        if falling and patience and progress.since_kept >= patience:
            return "early stop"
        return ""

    def _keep(
        self,
        progress: Progress,
        loss: float,
        now: ValidationResult | None,
        kept: bool,
        seconds: float,
        budget: Budget,
    ) -> None:
        if kept:
            after, judged_by = self._after(progress)
            card = AdapterCard(
                **{
                    **self.parts.card.__dict__,
                    "held_out": judged_by != "training images",
                    "before": _plain(progress.before.figures),
                    "after": _plain(after.figures),
                    "created": datetime.now(UTC).isoformat(timespec="seconds"),
                }
            )
            with self.trainer.average.in_place():
                save_adapter(self.parts.peft, self.folder.adapter, card)
            if judged_by != "cross-validation":  # which has shown its own
                self.pictures.keep(AFTER)
        event = EpochEnded(
            epoch=progress.epoch,
            epochs=self.config.most_epochs,
            loss=loss,
            dice=(self._figures or (progress.kept or progress.before).figures).dice,
            seconds=seconds,
            best=kept,
            judged=now is not None,
            seconds_left=budget.left(progress.epoch),
        )
        self.folder.append_metrics(event)
        self._save(progress)
        self.report(event)

    def _save(self, progress: Progress) -> None:
        self.folder.save_progress(
            progress,
            {
                "adapter": get_peft_model_state_dict(
                    self.parts.peft, save_embedding_layers=False
                ),
                "average": self.trainer.average.state(),
                "optimizer": self.trainer.optimizer.state_dict(),
            },
        )

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
            self.trainer.average.restore(**tensors["average"])
            self.trainer.optimizer.load_state_dict(tensors["optimizer"])
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            raise self.folder.broken() from error
        return progress

    def _judge(self, before: bool = False) -> ValidationResult:
        begun = self.seconds()
        self.pictures.forget()
        judged = self.parts.judge(
            self.trainer, self.parts.judged_by, self.pictures.see, before
        )
        self._judged_at = self.seconds()
        self._judging, self._figures = self._judged_at - begun, judged.figures
        return judged


def _plain(figures: Figures) -> dict[str, Any]:
    return {k: v for k, v in figures.__dict__.items() if v is not None}
