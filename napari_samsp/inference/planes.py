"""What `segment_stack` takes and gives: planes, options, results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from napari_samsp.inference.cleanup import Cleanup

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.data.rgb import Scaling
    from napari_samsp.inference.region import Region
    from napari_samsp.inference.results import Iteration, Written
    from napari_samsp.inference.scale.field_of_view import Tiling
    from napari_samsp.utils.errors import InputError


class PlaneSource(Protocol):
    """An image, plane by plane.

    Attributes
    ----------
    planes : sequence of PlaneIndex
        In the order in which they are segmented.
    """

    @property
    def planes(self) -> Sequence[PlaneIndex]: ...  # noqa: D102

    def open(self, plane: PlaneIndex) -> Any:
        """Open a plane without reading it.

        Returns
        -------
        array_like
            ``(Y, X)`` or ``(Y, X, C)`` with ``shape``, ``dtype`` and windows
            ``[rows, columns]``.
        """


class LabelSink(Protocol):
    """Takes the labels of all planes."""

    def target(self, iteration: int, plane: PlaneIndex) -> Any | None:
        """Where an iteration's labels of a plane are written.

        Returns
        -------
        array_like or None
            ``(Y, X)`` integers of at least 32 bits that take windows; None if they
            are not wanted.
        """

    def complete(
        self,
        plane: PlaneIndex,
        iteration: Iteration | Written,
        tick: Callable[[], None],
    ) -> None:
        """An iteration's labels of a plane are written; ``tick`` may raise to stop."""


@dataclass(frozen=True)
class SegmentOptions:
    """How an image is segmented.

    Attributes
    ----------
    iterations, objects, prompt, tile, object_size
        As for `napari_samsp.inference.segmenter.Segmenter.segment`.
    scaling : Scaling or None
        None: the segmenter's own.
    shared_limits : bool
        Percentiles are of all planes together, not of each by itself: a dim slice
        stays dim, and the noise of a blank one stays noise.
    follow_axis : int or None
        Entry of the plane indices along which each plane is prompted by its
        neighbour's result.
    link_axis : int or None
        Entry of the plane indices along which objects that overlap get one number,
        after each plane was segmented by itself; planes come in ascending order.
    cleanup : Cleanup
        What is done with the labels; prompts are made of the uncleaned ones.
    region : Region or None
        What of each plane is segmented, with the intensity limits of the whole plane;
        the rest is background.
    """

    iterations: int = 3
    objects: bool = False
    prompt: str | None = None
    tile: Tiling = "auto"
    object_size: float | None = None
    scaling: Scaling | None = None
    shared_limits: bool = True
    follow_axis: int | None = None
    link_axis: int | None = None
    cleanup: Cleanup = field(default_factory=Cleanup)
    region: Region | None = None


@dataclass(frozen=True)
class PlaneResult:
    """One iteration of a plane.

    Attributes
    ----------
    plane : PlaneIndex
        Index of the plane.
    iteration : Iteration or Written
        `Written` of a large plane, whose labels are only in the sink.
    labels : array_like
        ``(Y, X)``; of a large plane the sink's target.
    scaling : Scaling
        How the plane's intensities were scaled.
    found : Iteration or None
        The iteration before it was cleaned up, of the whole plane; its logits are
        minus infinity where nothing can be found. None of a large plane.
    """

    plane: PlaneIndex
    iteration: Iteration | Written
    labels: Any
    scaling: Scaling
    found: Iteration | None = None


@dataclass(frozen=True)
class PlaneSkipped:
    """A plane of several that cannot be segmented, such as a constant one.

    Attributes
    ----------
    plane : PlaneIndex
        Index of the plane.
    error : InputError
        Why, in a sentence.
    """

    plane: PlaneIndex
    error: InputError
