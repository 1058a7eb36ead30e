"""The limits of a run, what is spent of them, and the learning rate that follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


RATE_FALLS_FROM = 0.5
"""The part of a run after which the learning rate falls."""


def learning_rate(
    peak: float, step: int, warm_up: int, left: float, least: float = 0.0
) -> float:
    """Learning rate of a step: a linear warm-up from 0, a plateau, a linear decay.

    Parameters
    ----------
    peak : float
        The rate of the plateau.
    step : int
        Number of the step, from 1.
    warm_up : int
        Steps until the peak.
    left : float
        How much of the fall is still to come; above 1 before it begins.
    least : float
        Of the peak: the fall ends there.
    """
    return peak * min(1.0, step / warm_up) * max(least, min(1.0, left))


@dataclass(frozen=True)
class Limits:
    """What ends a run; whichever comes first.

    Attributes
    ----------
    epochs : int
        Passes over the images.
    steps : int
        Optimiser steps; 0 for no limit.
    seconds : float
        Wall time in seconds; 0 for no limit.
    """

    epochs: int
    steps: int = 0
    seconds: float = 0.0


class Budget:
    """Time, epochs and steps, spent and allowed.

    Parameters
    ----------
    limits : Limits
        What ends the run.
    steps_an_epoch : int
        Optimiser steps of one pass.
    clock : callable
        Gives seconds, such as `time.monotonic`.
    spent : float
        Seconds spent before now.
    """

    def __init__(
        self,
        limits: Limits,
        steps_an_epoch: int,
        clock: Callable[[], float],
        spent: float = 0.0,
    ) -> None:
        self.limits, self.steps_an_epoch = limits, steps_an_epoch
        self._clock, self._begun = clock, clock() - spent

    def elapsed(self) -> float:
        """Seconds spent, with those of earlier calls."""
        return self._clock() - self._begun

    def exhausted(self, epoch: float) -> str:
        """Name the limit that is reached.

        Parameters
        ----------
        epoch : float
            Epochs finished, with the part of the current one.

        Returns
        -------
        str
            ``"minutes"``, ``"steps"``, ``"epochs"``, or empty if none is.
        """
        limits = self.limits
        if limits.seconds and self.elapsed() >= limits.seconds:
            return "minutes"
        if limits.steps and self._steps(epoch) >= limits.steps:
            return "steps"
        return "epochs" if epoch >= limits.epochs else ""

    def fraction(self, epoch: float) -> float:
        """How much of the run is over after so many epochs, 0 to 1."""
        limits = self.limits
        part = epoch / limits.epochs
        if limits.seconds:
            part = max(part, self.elapsed() / limits.seconds)
        if limits.steps:
            part = max(part, self._steps(epoch) / limits.steps)
        return min(part, 1.0)

    def left(self, epoch: float) -> float:
        """Seconds until the run ends by itself, estimated from those spent."""
        part = self.fraction(epoch)
        return self.elapsed() * (1 - part) / part if part else 0.0

    def _steps(self, epoch: float) -> int:
        return round(epoch * self.steps_an_epoch)
