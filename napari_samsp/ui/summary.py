"""What is told about an iteration: of one plane, or on the mean of many."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_samsp.core.segmenter import Iteration


@dataclass(frozen=True)
class Summary:
    """An iteration in figures.

    Attributes
    ----------
    iteration, iterations : int
        Its number, from 0, of how many.
    prompt : str
        What it was prompted with.
    score : float
        SAM's predicted IoU.
    iou_to_previous : float or None
        IoU of its foreground with that of the iteration before.
    area_fraction : float
        Part of the plane that is foreground.
    """

    iteration: int
    iterations: int
    prompt: str
    score: float
    iou_to_previous: float | None
    area_fraction: float

    @classmethod
    def of(cls, iteration: Iteration) -> Summary:
        """Of one plane."""
        return cls(
            iteration.iteration,
            iteration.iterations,
            iteration.prompt or "none",
            iteration.score,
            iteration.iou_to_previous,
            iteration.area_fraction,
        )

    def with_another(self, other: Summary, count: int) -> Summary:
        """The mean with one plane more.

        Parameters
        ----------
        other : Summary
            Of that plane, of the same iteration.
        count : int
            Of planes that this is the mean of.

        Returns
        -------
        Summary
            Of one plane more.
        """

        def mean(mine: float, its: float) -> float:
            return mine + (its - mine) / (count + 1)

        previous = None
        if self.iou_to_previous is not None and other.iou_to_previous is not None:
            previous = mean(self.iou_to_previous, other.iou_to_previous)
        return Summary(
            self.iteration,
            self.iterations,
            self.prompt,
            mean(self.score, other.score),
            previous,
            mean(self.area_fraction, other.area_fraction),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a layer's metadata."""
        return asdict(self)
