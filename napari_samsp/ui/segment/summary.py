"""Figures of an iteration: of one plane, or the mean over many."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.inference.plausibility import count_labels, separate_parts

if TYPE_CHECKING:
    from napari_samsp.inference.segmenter import Iteration


@dataclass(frozen=True)
class Summary:
    """An iteration in figures.

    Attributes
    ----------
    iteration, iterations : int
        Number of the iteration, from 0, and how many there are.
    prompt : str
        What it was prompted with.
    score : float
        SAM's predicted IoU.
    iou_to_previous : float or None
        IoU of its foreground with that of the iteration before.
    area_fraction : float
        Part of the plane that is foreground.
    object_count : int
        How many labels it has; of several planes the sum.
    parts : int
        Separate parts of one region, also summed; 0 if nobody counted them.
    object_size : float or None
        Width in pixels that a typical object was taken to have; None if it is not
        known. Of several planes the mean of those that tell.
    size_is_certain : bool
        Whether it was told, or the model is sure of it on every plane.
    look : numpy.ndarray or None
        As for `napari_samsp.inference.results.Iteration`; None of several planes.
    """

    iteration: int
    iterations: int
    prompt: str
    score: float
    iou_to_previous: float | None
    area_fraction: float
    object_count: int
    parts: int = 0
    object_size: float | None = None
    size_is_certain: bool = True
    look: np.ndarray | None = field(default=None, compare=False)

    @classmethod
    def of(cls, iteration: Iteration, objects: bool) -> Summary:
        """Sum up an iteration of one plane.

        Parameters
        ----------
        iteration : Iteration
            Result of the segmentation.
        objects : bool
            Whether its labels are separate objects; the parts of one region are
            counted in its last iteration.

        Returns
        -------
        Summary
            To be made in a worker: it looks at every pixel.
        """
        found = cls.of_labels(
            iteration.labels,
            objects,
            iteration=iteration.iteration,
            iterations=iteration.iterations,
            prompt=iteration.prompt or "none",
            score=iteration.score,
            iou_to_previous=iteration.iou_to_previous,
            object_size=iteration.scale.object_size,
            size_is_certain=iteration.scale.certain,
        )
        return replace(found, look=iteration.look)

    @classmethod
    def of_labels(
        cls,
        labels: np.ndarray,
        objects: bool,
        *,
        iteration: int,
        iterations: int,
        prompt: str,
        score: float,
        iou_to_previous: float | None,
        object_size: float | None = None,
        size_is_certain: bool = True,
    ) -> Summary:
        """Sum up the labels of one plane, and what is known besides.

        Parameters
        ----------
        labels : numpy.ndarray
            ``(Y, X)`` integers.
        objects
            As for `of`.
        iteration, iterations, prompt, score, iou_to_previous
            As for `Summary`.
        object_size, size_is_certain
            As for `Summary`.

        Returns
        -------
        Summary
            As `of`.
        """
        last = iteration == iterations - 1
        return cls(
            iteration=iteration,
            iterations=iterations,
            prompt=prompt,
            score=score,
            iou_to_previous=iou_to_previous,
            area_fraction=float(np.count_nonzero(labels) / labels.size),
            object_count=count_labels(labels),
            parts=separate_parts(labels) if last and not objects else 0,
            object_size=object_size,
            size_is_certain=size_is_certain,
        )

    def with_another(self, other: Summary, count: int) -> Summary:
        """The mean with one plane more.

        Parameters
        ----------
        other : Summary
            Figures of that plane, of the same iteration.
        count : int
            Number of planes that this is the mean of.

        Returns
        -------
        Summary
            The mean of one plane more.
        """

        def mean(mine: float, its: float) -> float:
            return mine + (its - mine) / (count + 1)

        previous = None
        if self.iou_to_previous is not None and other.iou_to_previous is not None:
            previous = mean(self.iou_to_previous, other.iou_to_previous)
        size = self.object_size
        return Summary(
            self.iteration,
            self.iterations,
            self.prompt,
            mean(self.score, other.score),
            previous,
            mean(self.area_fraction, other.area_fraction),
            self.object_count + other.object_count,
            self.parts + other.parts,
            size
            if other.object_size is None
            else other.object_size
            if size is None
            else mean(size, other.object_size),
            self.size_is_certain and other.size_is_certain,
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a layer's metadata, whose keys others rely on."""
        plain = asdict(self)
        for name in ("parts", "object_size", "size_is_certain", "look"):
            del plain[name]
        return plain
