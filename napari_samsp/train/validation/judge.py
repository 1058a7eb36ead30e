"""How good a model is on images with masks, and which of two states is to be kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from napari_samsp.inference.sliding_window import iterate_picture
from napari_samsp.metrics import average_precision, dice, iou
from napari_samsp.train.events import Figures

if TYPE_CHECKING:
    from napari_samsp.self_prompting.model import SelfPrompting
    from napari_samsp.train.examples.dataset import Example

LEAST_GAIN = 1e-4
"""A smaller rise of the merit is noise, and no improvement."""
CERTAINTY = 0.95
"""With which images have to tell that a state is worse than another."""


@dataclass(frozen=True)
class Judgement:
    """What images say of one state of the model.

    Attributes
    ----------
    figures : Figures
        Means over the images.
    merits : list of float
        One an image, by which states are compared: the last iteration's Dice; with
        objects its mean with AP at 0.5.
    """

    figures: Figures
    merits: list[float]

    @property
    def merit(self) -> float:
        """The mean over the images."""
        return float(np.mean(self.merits))

    def is_better_than(self, other: Judgement) -> bool:
        """Whether the mean is higher by more than `LEAST_GAIN`.

        Parameters
        ----------
        other : Judgement
            By the same images.
        """
        return self.merit > other.merit + LEAST_GAIN

    def is_worse_than(self, other: Judgement) -> bool:
        """Whether the images tell that this state is worse: a paired t-test.

        Parameters
        ----------
        other : Judgement
            By the same images.

        Returns
        -------
        bool
            False if they are too few or too much at odds to tell, as one always is.
        """
        drop = np.subtract(other.merits, self.merits)
        if len(drop) < 2:
            return False
        error = drop.std(ddof=1) / len(drop) ** 0.5
        return bool(drop.mean() > stats.t.ppf(CERTAINTY, len(drop) - 1) * error)


def joined(parts: list[Judgement], positions: list[list[int]]) -> Judgement:
    """One judgement of several that are of different images.

    Parameters
    ----------
    parts : list of Judgement
        One or more.
    positions : list of list of int
        Where the images of each have their place.

    Returns
    -------
    Judgement
        By all of the images, in the order of their places.
    """
    figures = [part.figures for part in parts]
    weights = [figure.n for figure in figures]

    def mean(rows: list[list[float]]) -> list[float]:
        return np.average(rows, axis=0, weights=weights).round(6).tolist()

    merits = {
        place: merit
        for part, places in zip(parts, positions, strict=True)
        for place, merit in zip(places, part.merits, strict=True)
    }
    return Judgement(
        Figures(
            mean([figure.dice for figure in figures]),
            mean([figure.iou for figure in figures]),
            sum(weights),
            ap50=mean([figure.ap50 for figure in figures if figure.ap50])
            if figures[0].ap50
            else None,
        ),
        [merits[place] for place in sorted(merits)],
    )


def judge(
    model: SelfPrompting,
    pictures: list[Example],
    iterations: int,
    field: tuple[int, int],
) -> Judgement:
    """Segment images as a user would, and compare with their masks.

    Parameters
    ----------
    model : SelfPrompting
        With objects, AP at 0.5 is judged too. Left in evaluation mode.
    pictures : list of Example
        What to judge by.
    iterations : int
        How many to run.
    field : tuple of int
        Least and most image pixels, along a side, that the model sees at once.

    Returns
    -------
    Judgement
        By these images.
    """
    scores: list[list[tuple[float, float, float]]] = []
    for picture in pictures:
        steps = iterate_picture(model.eval(), picture.image, iterations, field)
        scores.append(
            [
                (
                    dice(step.labels, picture.labels),
                    iou(step.labels, picture.labels),
                    average_precision(step.labels, picture.labels, (0.5,))[0]
                    if model.objects
                    else np.nan,
                )
                for step in steps
            ]
        )
    mean = np.mean(scores, axis=0).round(6)
    figures = Figures(
        dice=mean[:, 0].tolist(),
        iou=mean[:, 1].tolist(),
        n=len(pictures),
        ap50=mean[:, 2].tolist() if model.objects else None,
    )
    judged_by = [0, 2] if model.objects else [0]
    last = np.array(scores)[:, -1, judged_by]
    return Judgement(figures, last.mean(axis=1).tolist())


def is_kept(now: Judgement, best: Judgement | None, before: Judgement) -> bool:
    """Whether the newest state takes the place of the saved one.

    The best epoch by one or two held-out images is the luckiest: on other images the
    newest was found better (training/RESULTS.md, *Which epoch is kept*). So it is kept
    unless the images tell that it is worse than the best, or it is no better than what
    the run began with.

    Parameters
    ----------
    now, best, before : Judgement
        Of the newest epoch, of the best of those before it, if there are any, and of
        the model that the run began with.

    Returns
    -------
    bool
        True for the first epoch, and for one better than all before it.
    """
    if best is None or now.is_better_than(best):
        return True
    return now.is_better_than(before) and not now.is_worse_than(best)


def is_better(after: Judgement, before: Judgement, *, held_out: bool) -> bool | None:
    """Whether a run made the model better.

    Parameters
    ----------
    after, before : Judgement
        Of what was kept, and of the model that the run began with.
    held_out : bool
        Whether the images were not trained on.

    Returns
    -------
    bool or None
        True if held-out images tell (a paired t-test), False if the mean did not rise.
        None if it rose, but on images that were trained on, or too few or too much at
        odds to tell of others.
    """
    if not after.is_better_than(before):
        return False
    return True if held_out and before.is_worse_than(after) else None
