"""Segmenting, step by step; runs in a worker thread and touches no layer."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.data.rgb import Scaling
from napari_samsp.inference.cleanup import Cleanup, Meaning
from napari_samsp.ui.models.workplace import Loaded, Workplace, model_key
from napari_samsp.ui.segment.large_plane import LargeResult, LazyPlane
from napari_samsp.ui.segment.summary import Summary
from napari_samsp.utils.cancellation import StoppedError
from napari_samsp.utils.errors import InputError, is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.inference.planes import PlaneResult
    from napari_samsp.inference.region import Region
    from napari_samsp.inference.results import Iteration
    from napari_samsp.inference.segmenter import Segmenter
    from napari_samsp.ui.planes import PlaneReader
    from napari_samsp.ui.segment.stack_result import StackResult

POLL_S = 0.05
KEPT_PIXELS = 2**24
"""Pixels of the largest image whose maps are kept, at six bytes per pixel and round."""


class SegmentationError(Exception):
    """Raised for whatever goes wrong in a worker.

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
        The planes to segment, in this order.
    model : str
        Name or file of the base model.
    adapter : Path or None
        Folder of the adapter, if there is one.
    iterations : int
        Number of iterations.
    objects : bool
        One prompt per object.
    scaling : Scaling
        How intensities become 8 bits.
    same_limits : bool
        Percentiles are of all planes together, not of each by itself.
    stack : StackResult or None
        Where the results of several planes go, or of large ones; allocated in the
        worker.
    follow_axis : int or None
        Along which a plane is prompted by its neighbour's result.
    object_size : float or None
        Width of a typical object in pixels; None: estimated.
    link_axis : int or None
        Along which objects that overlap get one number.
    cleanup : Cleanup
        What is done with the labels.
    region : Region or None
        What of each plane is segmented; None: all.
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
    object_size: float | None = None
    link_axis: int | None = None
    cleanup: Cleanup = field(default_factory=Cleanup)
    region: Region | None = None

    def open(self, plane: PlaneIndex) -> LazyPlane:
        """A plane, read window by window; called in the worker."""
        return LazyPlane(self.read, plane)

    @property
    def model_key(self) -> tuple[Any, ...]:
        """Equal keys mean that a loaded model can be used again."""
        return model_key(self.model, self.adapter)


@dataclass(frozen=True)
class Segmented:
    """An iteration of a plane.

    Attributes
    ----------
    plane : PlaneIndex
        Index of the plane.
    summary : Summary
        Figures of the iteration.
    labels : numpy.ndarray
        ``(Y, X)``; of a large plane in a file.
    scaling : Scaling
        What its pixels were scaled by.
    object_classes : numpy.ndarray or None
        The class's label of each object, as for `Iteration`.
    found : Iteration or None
        Before it was cleaned up, with float16 logits, to be cleaned up otherwise; None
        if that would take too much memory.
    """

    plane: PlaneIndex
    summary: Summary
    labels: np.ndarray
    scaling: Scaling
    found: Iteration | None = None
    object_classes: np.ndarray | None = None


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
        What to segment, and how.
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

    def progress(_: int, part: float) -> None:
        workplace.part_of_plane = part

    try:
        loaded = workplace.load(request.model, request.adapter, stop)
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
    progress: Callable[[int, float], None],
) -> Iterator[Step]:
    from napari_samsp.inference.planes import PlaneSkipped, SegmentOptions
    from napari_samsp.inference.stack import segment_stack

    options = SegmentOptions(
        iterations=request.iterations,
        objects=request.objects,
        scaling=request.scaling,
        shared_limits=request.same_limits,
        follow_axis=request.follow_axis,
        object_size=request.object_size,
        link_axis=request.link_axis,
        cleanup=request.cleanup,
        region=request.region,
    )
    stack = request.stack
    if stack is not None:
        stack.allocate()
    for found in segment_stack(
        segmenter, request, options, stack, progress, stop_if_asked
    ):
        if isinstance(found, PlaneSkipped):
            yield Refused(str(found.error), found.plane)
            continue
        summary = _summary(found, request, segmenter)
        kept = None if stack is not None else _kept(found.found)
        yield Segmented(
            found.plane,
            summary,
            found.labels,
            found.scaling,
            kept,
            _object_classes(found, request, segmenter),
        )


def _object_classes(
    found: PlaneResult, request: SegmentRequest, segmenter: Segmenter
) -> np.ndarray | None:
    """The class's label of each object; what has one class does not vote on it."""
    told, classes = found.iteration.object_classes, segmenter.classes
    if told is not None or not request.objects or len(classes) != 1:
        return told
    labels = found.labels
    count = labels.max() if isinstance(labels, np.ndarray) else found.iteration.objects
    only = np.full(int(count) + 1, classes[0].label, np.int32)
    only[0] = 0
    return only


def _kept(found: Iteration | None) -> Iteration | None:
    if found is None or found.labels.size > KEPT_PIXELS:
        return None
    return replace(found, logits=found.logits.astype(np.float16))


def _summary(
    found: PlaneResult, request: SegmentRequest, segmenter: Segmenter
) -> Summary:
    from napari_samsp.inference.results import Iteration as InMemory

    iteration, stack = found.iteration, request.stack
    told_apart = Meaning.of(request.objects, segmenter.classes).region is None
    if isinstance(iteration, InMemory):
        return Summary.of(iteration, told_apart)
    assert isinstance(stack, LargeResult)
    parts = 0 if told_apart else stack.parts(iteration.iteration, found.plane)
    return Summary(
        iteration=iteration.iteration,
        iterations=request.iterations,
        prompt=segmenter.kind if iteration.iteration else "none",
        score=iteration.score,
        iou_to_previous=iteration.iou_to_previous,
        area_fraction=iteration.area_fraction,
        object_count=iteration.objects,
        parts=parts,
        object_size=iteration.scale.object_size,
        size_is_certain=iteration.scale.certain,
    )


def explain(error: Exception) -> str:
    """Say in a sentence what torch's error means."""
    if is_out_of_memory(error):
        return (
            "There is not enough memory for this image and model: choose a smaller "
            "model, or a part of the image."
        )
    return f"Segmenting failed: {error}"
