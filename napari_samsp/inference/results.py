"""Results of one self-prompting iteration."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from napari_samsp.data.tiling import Grid
from napari_samsp.inference.plausibility import count_labels
from napari_samsp.inference.scale.object_scale import SEEN_WHOLE, ObjectScale


@dataclass(frozen=True, kw_only=True)
class IterationResult:
    """Figures of an iteration, wherever its labels are.

    Attributes
    ----------
    iteration : int
        Its number, from 0.
    score : float
        SAM's predicted IoU; with objects or tiles the mean, 0 if there are none.
    iou_to_previous : float or None
        IoU of the foregrounds of this iteration and the one before, if that is known.
    seconds : float
        Wall time; iteration 0 includes the image encoder.
    scale : ObjectScale
        How large the objects are, as was told or estimated, and how much of the image
        the model saw at once.
    object_classes : numpy.ndarray or None
        With objects of several classes, ``(objects + 1,)`` int32: the class's label of
        each object; that of 0 is 0.
    look : numpy.ndarray or None
        ``(C,)`` float32, the mean embedding of what the model saw: images that look
        alike have like ones.
    """

    iteration: int
    score: float
    iou_to_previous: float | None
    seconds: float
    scale: ObjectScale = SEEN_WHOLE
    object_classes: np.ndarray | None = None
    look: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Iteration(IterationResult):
    """Result of one self-prompting iteration.

    Attributes
    ----------
    labels : numpy.ndarray
        ``(Y, X)`` int32: 0 and 1, with classes their labels, or with objects 0 and
        the instances 1, 2, ...
    logits : numpy.ndarray
        ``(Y, X)`` float32, foreground above 0; with objects or classes the largest of
        their maps.
    prompt : str or None
        What it was prompted with; None for iteration 0, unless it follows a slice.
    iterations : int
        How many there are.
    """

    labels: np.ndarray
    logits: np.ndarray
    prompt: str | None
    iterations: int

    @property
    def objects(self) -> int:
        """How many labels there are."""
        return count_labels(self.labels)

    @property
    def area_fraction(self) -> float:
        """Part of the image that is foreground."""
        return float(np.count_nonzero(self.labels) / self.labels.size)


@dataclass(frozen=True, kw_only=True)
class Written(IterationResult):
    """Result of one iteration whose labels were written to an array.

    Its ``seconds`` are those of all iterations together.

    Attributes
    ----------
    objects : int
        How many labels there are.
    area_fraction : float
        Part of the image that is foreground.
    tiles : int
        How many tiles the image was cut into.
    tile : int
        Side of a tile in pixels: how much the model saw at once.
    """

    objects: int
    area_fraction: float
    tiles: int
    tile: int

    @classmethod
    def of_part(cls, iteration: Iteration, shape: tuple[int, ...]) -> Written:
        """Figures of an iteration that was written to a part of a plane.

        Parameters
        ----------
        iteration : Iteration
            Result of the part.
        shape : tuple of int
            The plane's height and width.
        """
        seen, side = iteration.labels.shape, iteration.scale.field_of_view
        return cls(
            iteration=iteration.iteration,
            objects=iteration.objects,
            area_fraction=np.count_nonzero(iteration.labels) / prod(shape),
            score=iteration.score,
            iou_to_previous=iteration.iou_to_previous,
            tiles=len(Grid((seen[0], seen[1]), side).tiles),
            tile=side or max(seen),
            seconds=iteration.seconds,
            scale=iteration.scale,
            object_classes=iteration.object_classes,
            look=iteration.look,
        )
