"""The trainer's events as a progress bar on standard error."""

from __future__ import annotations

import time
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from napari_samsp.train.events import (
    EpochEnded,
    Event,
    Failed,
    Figures,
    Finished,
    FoldEnded,
    FoldStepped,
    Noted,
    Started,
    Stepped,
)
from napari_samsp.utils.errors import printable


class Terminal:
    """Hears events and draws them; a context manager that ends the bar."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[status]}"),
            console=self._console,
        )
        self._begun = time.monotonic()
        self._task = self._bar.add_task("loading", total=None, status="")

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar.live.is_started:  # else it would print an empty line
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Draw an event."""
        if isinstance(event, Started):
            if event.held_out:
                what = f"{event.held_out} held out"
            elif event.folds:
                what = f"judged by cross-validation in {event.folds} folds"
            else:
                what = "none held out, so figures are of the training images"
            self._console.print(
                f"{event.images} training images, {what}; {event.parameters:,} "
                f"trainable parameters on {event.device}"
            )
            self._console.print(f"before: Dice {_row(event.before)}")
            self._bar.start()
            self._bar.update(self._task, total=1)
            self._begun = time.monotonic()
        elif isinstance(event, FoldStepped):
            name = f"cross-validation, fold {event.fold} of {event.folds}"
            self._advance(name, event.seconds_left)
        elif isinstance(event, FoldEnded):
            dice = " ".join(f"{value:.3f}" for value in event.dice)
            self._console.print(f"fold {event.fold} of {event.folds}: Dice {dice}")
        elif isinstance(event, Stepped):
            loss = f"loss {event.loss:.3f}, "
            self._advance(f"epoch {event.epoch}", event.seconds_left, loss)
        elif isinstance(event, Noted):
            self._console.print(printable(event.message), markup=False)
        elif isinstance(event, EpochEnded):
            dice = " ".join(f"{value:.3f}" for value in event.dice)
            line = f"epoch {event.epoch}: loss {event.loss:.3f}"
            if event.judged:
                line += f", Dice {dice}{', kept' if event.best else ''}"
            self._console.print(line)
        elif isinstance(event, Finished):
            self._console.print(
                f"ended ({event.reason}); Dice on {event.after.n} images per iteration "
                f"({event.judged_by}): {_row(event.before)} before, "
                f"{_row(event.after)} after"
            )
            place = printable(f"adapter: {event.adapter}")
            self._console.print(place, soft_wrap=True, markup=False)
        elif isinstance(event, Failed):
            pass  # the command's own last line says it

    def _advance(self, name: str, seconds_left: float, status: str = "") -> None:
        spent = time.monotonic() - self._begun
        left = timedelta(seconds=round(seconds_left))
        self._bar.update(
            self._task,
            completed=spent / max(spent + seconds_left, 1e-6),
            description=name,
            status=f"{status}at most {left} left",
        )


def _row(figures: Figures) -> str:
    return " ".join(f"{value:.3f}" for value in figures.dice)
