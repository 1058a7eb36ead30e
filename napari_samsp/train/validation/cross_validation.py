"""What a few corrections teach, measured on images that were left out of training.

All corrections train the adapter. How much that helps on other images is told by models
that never become it: each is trained for a short while without one fold of the images,
and judged by that fold.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from napari_samsp.train.budget import Budget, Limits
from napari_samsp.train.events import FoldEnded, FoldStepped, Noted, Stepped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_samsp.inference.results import Iteration
    from napari_samsp.train.config import TrainConfig
    from napari_samsp.train.events import Event
    from napari_samsp.train.examples.example import Example
    from napari_samsp.train.setup import Parts
    from napari_samsp.train.trainer import Trainer
    from napari_samsp.train.validation.validate import ValidationResult

SHARE = 0.25
"""Share of a run's time that all folds get together."""
LEAST_STEPS = 5
"""A model that took fewer has learnt nothing, and its figures would say so."""
TOO_SHORT = Noted(
    "The run is too short to test what it learns on images that it leaves out, so the "
    "figures will be of the images that it trains on. More minutes mend that."
)


def fold_limits(config: TrainConfig, count: int) -> Limits:
    """Limits of one fold.

    Parameters
    ----------
    config : TrainConfig
        Settings of the run.
    count : int
        Number of folds.

    Returns
    -------
    Limits
        `SHARE` of the run's, divided.
    """
    share = SHARE / count
    return Limits(
        max(1, round(share * config.most_epochs)),
        max(1, round(share * config.steps)) if config.steps else 0,
        share * 60 * config.minutes,
    )


def cross_validate(
    parts: Parts,
    clock: Callable[[], float],
    stop_requested: Callable[[], bool],
    done: int = 0,
    see: Callable[[Example, Iteration], None] | None = None,
) -> Iterator[ValidationResult]:
    """Validate on every image with a model that learnt from the others.

    Parameters
    ----------
    parts : Parts
        With folds. At every yield the model is as it was before.
    clock : callable
        Returns seconds, such as `time.monotonic`.
    stop_requested : callable
        Asked at every step.
    done : int
        The first folds, which an interrupted run has judged.
    see : callable, optional
        As for `napari_samsp.train.validation.validate.judge`.

    Yields
    ------
    ValidationResult
        Of the next fold. It ends before the last if it is stopped, or if there is too
        little time to learn anything.
    """
    begun = clock()
    for number in range(done, len(parts.folds)):

        def left(fraction: float, number: int = number) -> float:
            over = (number - done + fraction) / (len(parts.folds) - done)
            return (clock() - begun) * (1 / SHARE / max(over, 1e-6) - 1)

        judged = _judge_fold(parts, number, clock, stop_requested, left, see)
        if judged is None:
            return
        yield judged


def _judge_fold(
    parts: Parts,
    number: int,
    clock: Callable[[], float],
    stop_requested: Callable[[], bool],
    left: Callable[[float], float],
    see: Callable[[Example, Iteration], None] | None,
) -> ValidationResult | None:
    """Train without a fold, then validate on it; None if that ends cross-validation."""
    begun, count = clock(), len(parts.folds)

    def hear(event: Event) -> None:
        if isinstance(event, Stepped):
            spent = clock() - begun
            fraction = spent / max(spent + event.seconds_left, 1e-6)
            event = FoldStepped(number + 1, count, left(fraction))
        parts.report(event)

    fold, limits = parts.folds[number], fold_limits(parts.config, count)
    trainer = parts.new_trainer(
        [n for n in range(len(parts.pictures)) if n not in fold], hear
    )
    if limits.epochs * len(trainer.loader) < LEAST_STEPS:
        parts.report(TOO_SHORT)
        return None
    weights = [parameter.detach().clone() for parameter in trainer.learning]
    try:
        if _fit(trainer, limits, clock, stop_requested):
            return None
        if trainer.average.steps < LEAST_STEPS:
            parts.report(TOO_SHORT)
            return None
        judged = parts.judge(trainer, [parts.pictures[n] for n in fold], see)
    finally:
        with torch.no_grad():
            for parameter, value in zip(trainer.learning, weights, strict=True):
                parameter.copy_(value)
    parts.report(FoldEnded(number + 1, count, judged.figures.dice))
    return judged


def _fit(
    trainer: Trainer,
    limits: Limits,
    clock: Callable[[], float],
    stop_requested: Callable[[], bool],
) -> bool:
    """Train until a limit; True if it was cut short on request."""
    budget = Budget(limits, len(trainer.loader), clock)
    epoch, reason, stopped = 0, "", False
    while not reason and not stopped:
        epoch += 1
        _, stopped = trainer.epoch(epoch, budget, stop_requested)
        reason = trainer.processes.run_on_main(partial(budget.exhausted, epoch))
    return stopped
