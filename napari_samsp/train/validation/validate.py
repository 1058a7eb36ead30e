"""How good a model is on images with masks, and which of two states to keep."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from napari_samsp.inference.embedding_cache import EmbeddingCache, ModelCache
from napari_samsp.inference.sinks import InMemory
from napari_samsp.inference.sliding_window import iterate_picture
from napari_samsp.metrics import average_precision, class_scores, dice, iou
from napari_samsp.train.events import Figures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_samsp.inference.results import Iteration
    from napari_samsp.inference.scale.field_of_view import Tiling
    from napari_samsp.self_prompting.model import SelfPrompting
    from napari_samsp.train.examples.example import Example

LEAST_GAIN = 1e-4
"""A smaller rise of the score is noise, and no improvement."""
CERTAINTY = 0.95
"""Confidence of the paired test with which one state counts as worse than another."""


@dataclass(frozen=True)
class ValidationResult:
    """Scores of one state of the model on some images.

    Attributes
    ----------
    figures : Figures
        Means over the images.
    merits : list of float
        One an image, by which states are compared: the last iteration's Dice; with
        objects its mean with AP at 0.5.
    class_dice : list of dict
        With classes, of each image: each iteration's Dice by the name of the class,
        for classes that the image has.
    """

    figures: Figures
    merits: list[float]
    class_dice: list[dict[str, list[float]]] = field(default_factory=list)

    @property
    def score(self) -> float:
        """The mean over the images."""
        return float(np.mean(self.merits))

    def is_better_than(self, other: ValidationResult) -> bool:
        """Whether the mean is higher by more than `LEAST_GAIN`.

        Parameters
        ----------
        other : ValidationResult
            By the same images.
        """
        return self.score > other.score + LEAST_GAIN

    def is_worse_than(self, other: ValidationResult) -> bool:
        """Whether the images tell that this state is worse: a paired t-test.

        Parameters
        ----------
        other : ValidationResult
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


def joined(
    parts: list[ValidationResult], positions: list[list[int]]
) -> ValidationResult:
    """Join results on different images to one.

    Parameters
    ----------
    parts : list of ValidationResult
        One or more.
    positions : list of list of int
        Positions of each part's images in the whole.

    Returns
    -------
    ValidationResult
        By all of the images, in the order of their places.
    """
    figures = [part.figures for part in parts]
    weights = [figure.n for figure in figures]

    def mean(rows: list[list[float]]) -> list[float]:
        return np.average(rows, axis=0, weights=weights).round(6).tolist()

    merits, classes = (
        {
            place: value
            for part, places in zip(parts, positions, strict=True)
            for place, value in zip(places, getattr(part, name), strict=False)
        }
        for name in ("merits", "class_dice")
    )
    class_dice = [classes[place] for place in sorted(classes)]
    return ValidationResult(
        Figures(
            mean([figure.dice for figure in figures]),
            mean([figure.iou for figure in figures]),
            sum(weights),
            ap50=mean([figure.ap50 for figure in figures if figure.ap50])
            if figures[0].ap50
            else None,
            class_dice=_class_means(class_dice),
        ),
        [merits[place] for place in sorted(merits)],
        class_dice,
    )


def _class_means(images: list[dict[str, list[float]]]) -> dict[str, list[float]] | None:
    """The Dice of each class, the mean over the images that have it."""
    names = dict.fromkeys(name for image in images for name in image)
    return {
        name: np.mean([one[name] for one in images if name in one], axis=0)
        .round(6)
        .tolist()
        for name in names
    } or None


def judge(
    model: SelfPrompting,
    pictures: list[Example],
    iterations: int,
    tile: Tiling,
    names: Sequence[str] = (),
    see: Callable[[Example, Iteration], None] | None = None,
) -> ValidationResult:
    """Segment images as a user would, and compare with their masks.

    Parameters
    ----------
    model : SelfPrompting
        With objects, AP at 0.5 is judged too. Left in evaluation mode.
    pictures : list of Example
        Images with masks to validate on.
    iterations : int
        How many to run.
    tile : {"auto", "on", "off"}, int or tuple of int
        How much of an image the model sees at once, as for
        `napari_samsp.inference.scale.field_of_view.field_of_view`.
    names : sequence of str
        Of the model's classes, whose figures are then means over the classes.
    see : callable, optional
        Called with each image and its last iteration.

    Returns
    -------
    ValidationResult
        Scores on these images.
    """
    scores: list[list[dict[str, float]]] = []
    class_dice: list[dict[str, list[float]]] = []
    # What is seen to estimate how large objects are is not encoded again after it.
    held = EmbeddingCache(disk_bytes=0)
    cache = ModelCache(held, model.eval().sam.image_encoder)
    for picture in pictures:
        steps = iterate_picture(
            model, picture.image, InMemory(iterations), tile, cache=cache
        )
        each = []
        for step in steps:
            each.append(_by_class(model, step, picture))
            if see is not None and len(each) == iterations:
                see(picture, step)
        scores.append([_mean(found) for found in each])
        if names:
            kinds = picture.labels[picture.labels > 0] - 1
            class_dice.append(
                {
                    names[n]: [float(found[n + 1]["dice"]) for found in each]
                    for n in np.unique(kinds % model.class_count)
                }
            )
    return _summed_up(scores, class_dice, model.objects)


def _summed_up(
    scores: list[list[dict[str, float]]],
    class_dice: list[dict[str, list[float]]],
    objects: bool,
) -> ValidationResult:
    """Sum up the figures of each image and iteration."""

    def mean(name: str) -> list[float]:
        values = [[step[name] for step in image] for image in scores]
        return np.mean(values, axis=0).round(6).tolist()

    figures = Figures(
        dice=mean("dice"),
        iou=mean("iou"),
        n=len(scores),
        ap50=mean("ap50") if objects else None,
        class_dice=_class_means(class_dice),
    )
    judged_by = ["dice", "ap50"] if objects else ["dice"]
    merits = [float(np.mean([image[-1][key] for key in judged_by])) for image in scores]
    return ValidationResult(figures, merits, class_dice)


def _by_class(
    model: SelfPrompting, step: Iteration, picture: Example
) -> dict[int, dict[str, float]]:
    """Figures of one iteration, by class from 1; of one class alone, of all labels."""

    def figures(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        found = {"dice": dice(prediction, truth), "iou": iou(prediction, truth)}
        if model.objects:
            found["ap50"] = average_precision(prediction, truth, (0.5,))[0]
        return found

    prediction, truth, count = step.labels, picture.labels, model.class_count
    if picture.ignored is not None:
        prediction = np.where(picture.ignored, 0, prediction)
    if count == 1:
        return {1: figures(prediction, truth)}
    kinds = prediction
    if step.object_classes is not None:
        kinds = step.object_classes[prediction]
    true_kinds = np.where(truth > 0, (truth - 1) % count + 1, 0)
    every = range(1, count + 1)
    found = class_scores((prediction, kinds), (truth, true_kinds), every, figures)
    return found or {1: figures(prediction, truth)}  # no object in either


def _mean(figures: dict[int, dict[str, float]]) -> dict[str, float]:
    rows = list(figures.values())
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def should_checkpoint(
    now: ValidationResult, best: ValidationResult | None, before: ValidationResult
) -> bool:
    """Whether the latest state replaces the saved one.

    The best epoch by one or two held-out images is the luckiest: on other images the
    newest was found better (training/RESULTS.md, *Which epoch is kept*). So it is kept
    unless the images tell that it is worse than the best, or it is no better than what
    the run began with.

    Parameters
    ----------
    now, best, before : ValidationResult
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


def is_better(
    after: ValidationResult, before: ValidationResult, *, held_out: bool
) -> bool | None:
    """Whether a run made the model better.

    Parameters
    ----------
    after, before : ValidationResult
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
