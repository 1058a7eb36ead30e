"""How good a model is on images with masks, iteration by iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_samsp.core.inference import iterate_picture
from napari_samsp.core.metrics import average_precision, dice, iou
from napari_samsp.train.events import Figures

if TYPE_CHECKING:
    from napari_samsp.core.self_prompting import SelfPrompting
    from napari_samsp.train.data import Picture


def judge(
    model: SelfPrompting,
    pictures: list[Picture],
    iterations: int,
    field: tuple[int, int],
) -> Figures:
    """Segment images as a user would, and compare with their masks.

    Parameters
    ----------
    model : SelfPrompting
        With objects, AP at 0.5 is judged too. Left in evaluation mode.
    pictures : list of Picture
        What to judge by.
    iterations : int
        How many to run.
    field : tuple of int
        Least and most image pixels, along a side, that the model sees at once.

    Returns
    -------
    Figures
        Means over the images.
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
    return Figures(
        dice=mean[:, 0].tolist(),
        iou=mean[:, 1].tolist(),
        n=len(pictures),
        ap50=mean[:, 2].tolist() if model.objects else None,
    )


def merit(figures: Figures) -> float:
    """The one number by which the best adapter is chosen.

    Parameters
    ----------
    figures : Figures
        Of one state of the model.

    Returns
    -------
    float
        The last iteration's Dice; with objects its mean with AP at 0.5.
    """
    if figures.ap50 is None:
        return figures.dice[-1]
    return (figures.dice[-1] + figures.ap50[-1]) / 2
