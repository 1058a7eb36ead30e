"""Segmenting, step by step; runs in a worker thread and touches no layer."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_samsp.core.errors import InputError, is_out_of_memory
from napari_samsp.core.images import Scaling
from napari_samsp.core.interrupt import StoppedError, interruptible
from napari_samsp.ui.large_plane import LargeResult, LazyPlane
from napari_samsp.ui.summary import Summary
from napari_samsp.ui.workplace import Loaded, Workplace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np

    from napari_samsp.core.segmenter import Iteration, Segmenter
    from napari_samsp.ui.planes import PlaneIndex, PlaneReader
    from napari_samsp.ui.stack_result import StackResult

POLL_S = 0.05


class SegmentationError(Exception):
    """What went wrong in a worker.

    Not a RuntimeError: superqt's generator workers swallow those, and with them
    everything that torch raises.
    """


@dataclass(frozen=True)
class SegmentRequest:
    """What to segment, and how.

    Attributes
    ----------
    read : PlaneReader
        Gives a plane's pixels; called in the worker, for the data may be lazy.
    planes : tuple of PlaneIndex
        Which, in this order.
    model : str
        Base model.
    adapter : Path or None
        Adapter's folder.
    iterations : int
        How many.
    objects : bool
        One prompt per object.
    scaling : Scaling
        Of the intensities.
    same_limits : bool
        Percentiles are of all planes together, not of each by itself.
    stack : StackResult or None
        Where the results of several planes go, or of large ones; allocated in the
        worker.
    follow_axis : int or None
        Along which a plane is prompted by its neighbour's result.
    """

    read: PlaneReader
    planes: tuple[PlaneIndex, ...]
    model: str
    adapter: Path | None
    iterations: int
    objects: bool
    scaling: Scaling = field(default_factory=Scaling)
    same_limits: bool = True
    stack: StackResult | None = None
    follow_axis: int | None = None

    @property
    def model_key(self) -> tuple[Any, ...]:
        """Equal keys mean that a loaded model can be used again."""
        if self.adapter is None:
            return (self.model,)
        files = sorted(self.adapter.glob("*.safetensors"))
        times = tuple(f.stat().st_mtime_ns for f in files)
        return self.model, self.adapter, times


@dataclass(frozen=True)
class Segmented:
    """An iteration of a plane.

    Attributes
    ----------
    plane : PlaneIndex
        Which.
    summary : Summary
        What is told about the iteration.
    labels : numpy.ndarray
        ``(Y, X)``; of a large plane in a file.
    scaling : Scaling
        What its pixels were scaled by.
    """

    plane: PlaneIndex
    summary: Summary
    labels: np.ndarray
    scaling: Scaling


@dataclass(frozen=True)
class Refused:
    """A plane, or with None the whole input, cannot be used.

    ``reason`` is one sentence for the user.
    """

    reason: str
    plane: PlaneIndex | None = None


Step = Loaded | Segmented | Refused


def segment_steps(
    request: SegmentRequest,
    workplace: Workplace,
    stop: threading.Event,
    after: threading.Thread | None = None,
) -> Iterator[Step]:
    """Load the model and segment.

    Parameters
    ----------
    request : SegmentRequest
        The job.
    workplace : Workplace
        Its model is used again if it is the same.
    stop : threading.Event
        When set, the work ends at the model's next part.
    after : threading.Thread, optional
        Is waited for, before the first plane.

    Yields
    ------
    Loaded or Segmented or Refused
        First `Loaded`; of each plane its iterations, or `Refused` with the plane; if
        nothing can be used, `Refused` without one.

    Raises
    ------
    SegmentationError
        If torch fails.
    """

    def stop_if_asked() -> None:
        if stop.is_set():
            raise StoppedError

    def progress(part: float) -> None:
        workplace.part_of_plane = part
        stop_if_asked()

    try:
        loaded = workplace.load(request, stop)
        yield loaded
        while after is not None and after.is_alive():
            after.join(POLL_S)
            stop_if_asked()
        yield from _planes(request, loaded.segmenter, stop_if_asked, progress)
    except StoppedError:
        return
    except InputError as error:
        yield Refused(str(error))
    except (RuntimeError, MemoryError) as error:
        raise SegmentationError(explain(error)) from error


def _planes(
    request: SegmentRequest,
    segmenter: Segmenter,
    stop_if_asked: Callable[[], None],
    progress: Callable[[float], None],
) -> Iterator[Step]:
    def by_windows(plane: PlaneIndex) -> LazyPlane:
        stop_if_asked()
        return LazyPlane(request.read, plane)

    from napari_samsp.core.common_limits import fixed
    from napari_samsp.core.following import SliceFollower

    stack, scaling = request.stack, request.scaling
    several = len(request.planes) > 1
    if stack is not None:
        stack.allocate()
    if several and request.same_limits:
        scaling = fixed(scaling, by_windows, request.planes)
    follower = SliceFollower(request.planes, request.follow_axis, request.objects)
    for plane in request.planes:
        progress(0.0)
        try:
            if isinstance(stack, LargeResult):
                segmenter.scaling, lazy = scaling, by_windows(plane)
                yield from _large(
                    request, stack, lazy, segmenter, stop_if_asked, progress
                )
                continue
            stop_if_asked()
            pixels = request.read(plane)
            seen = segmenter.scaling = fixed(scaling, pixels.__getitem__, [...])
            before = follower.before(plane)
            for found in _iterations(
                request, segmenter, pixels, before, stop_if_asked, progress
            ):
                iteration = follower.take(plane, found)
                if stack is not None:
                    t, labels = iteration.iteration, iteration.labels
                    stack.remember(t, plane, labels, iteration.score)
                summary = Summary.of(iteration, request.objects)
                yield Segmented(plane, summary, iteration.labels, seen)
        except InputError as error:
            if not several:
                raise
            # An empty slice does not end a stack.
            yield Refused(str(error), plane)


def _large(
    request: SegmentRequest,
    stack: LargeResult,
    pixels: LazyPlane,
    segmenter: Segmenter,
    stop_if_asked: Callable[[], None],
    progress: Callable[[float], None],
) -> Iterator[Segmented]:
    plane = pixels.plane
    targets = [stack.target(t, plane) for t in range(request.iterations)]
    with interruptible(segmenter.sam, stop_if_asked):
        written = segmenter.segment_each_into(
            pixels, targets, request.objects, progress=progress
        )
    for said, labels in zip(written, targets, strict=True):
        stack.complete(said.iteration, plane, said.score, stop_if_asked)
        summary = Summary(
            iteration=said.iteration,
            iterations=request.iterations,
            prompt=segmenter.kind if said.iteration else "none",
            score=said.score,
            iou_to_previous=said.iou_to_previous,
            area_fraction=said.area_fraction,
            object_count=said.objects,
            parts=0 if request.objects else stack.parts(said.iteration, plane),
        )
        yield Segmented(plane, summary, labels, segmenter.scaling)


def _iterations(
    request: SegmentRequest,
    segmenter: Segmenter,
    pixels: np.ndarray,
    before: Iteration | None,
    stop_if_asked: Callable[[], None],
    progress: Callable[[float], None],
) -> Iterator[Iteration]:
    going = segmenter.iterate(
        pixels, request.iterations, request.objects, progress=progress, before=before
    )
    while True:
        # Not around a yield: a worker that is told to quit stays there for ever.
        with interruptible(segmenter.sam, stop_if_asked):
            iteration = next(going, None)
        if iteration is None:
            return
        yield iteration


def explain(error: Exception) -> str:
    """Say in a sentence what torch's error means."""
    if is_out_of_memory(error):
        return (
            "There is not enough memory for this image and model: choose a smaller "
            "model, or a part of the image."
        )
    return f"Segmenting failed: {error}"
