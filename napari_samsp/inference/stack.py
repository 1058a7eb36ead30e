"""The planes of an image, one or many, from pixels to labels.

The widget, `predict` and the image list all segment through `segment_stack`: whether
planes share their intensity limits, which of them are large, what a blank slice means
and how slices follow each other is decided here and nowhere else. Needs no torch.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.data.image_source import LARGE_PIXELS, is_large
from napari_samsp.data.lazy_rgb import LazyRGB
from napari_samsp.data.shared_limits import PLANES_LOOKED_AT, resolve_percentiles
from napari_samsp.inference.cleanup import Meaning, clean, without_missing
from napari_samsp.inference.planes import (
    LabelSink,
    PlaneResult,
    PlaneSkipped,
    PlaneSource,
    SegmentOptions,
)
from napari_samsp.inference.region import read_part
from napari_samsp.inference.results import Written
from napari_samsp.inference.slice_propagator import (
    SliceLinker,
    SlicePropagator,
    StackClasses,
)
from napari_samsp.utils.cancellation import interruptible
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.data.rgb import Scaling
    from napari_samsp.inference.results import Iteration
    from napari_samsp.inference.segmenter import Segmenter

KEPT_BYTES = 2**28
"""Memory for planes that were read for shared limits: they are kept until they are
segmented, since reading them again may mean computing or fetching them again."""


def segment_stack(
    segmenter: Segmenter,
    source: PlaneSource,
    options: SegmentOptions,
    sink: LabelSink | None = None,
    progress: Callable[[int, float], None] | None = None,
    check: Callable[[], None] | None = None,
) -> Iterator[PlaneResult | PlaneSkipped]:
    """Segment the planes of an image, one after the other.

    Parameters
    ----------
    segmenter : Segmenter
        Model and adapter.
    source : PlaneSource
        The image, plane by plane.
    options : SegmentOptions
        Iterations, objects, limits and the rest.
    sink : LabelSink, optional
        Where labels are written; needed by large planes.
    progress : callable, optional
        Called with a plane's number, from 0, and the part of it that is done, 0 to 1.
    check : callable, optional
        Called often, also within the model. An exception raised by it aborts the run.

    Yields
    ------
    PlaneResult or PlaneSkipped
        Each iteration of a plane in order, of a large one all at its end.

    Raises
    ------
    InputError
        If a setting makes no sense, or a single plane cannot be segmented.
    """
    planes = source.planes
    several = len(planes) > 1
    if options.link_axis is not None and not options.objects:
        raise InputError(
            "Only separate objects can be linked from slice to slice: switch Separate "
            "objects on, or leave linking out."
        )
    scaling = options.scaling or segmenter.scaling
    kept: dict[PlaneIndex, np.ndarray] = {}
    if several and options.shared_limits:
        scaling, kept = _shared_limits(scaling, source, check)
    propagator = SlicePropagator(planes, options.follow_axis, options.objects)
    linker = SliceLinker(options.link_axis)
    linked = options.follow_axis is not None or options.link_axis is not None
    stack_classes = StackClasses() if linked else None
    for number, plane in enumerate(planes):
        tell = None if progress is None else partial(progress, number)
        run = _PlaneRun(segmenter, options, sink, plane, scaling, tell, check)
        run.say(0.0)
        try:
            pixels = kept.pop(plane, None)
            if pixels is None:
                pixels = source.open(plane)
            if is_large(run.shape_of(pixels)):
                yield from run.by_strips(pixels)
            else:
                yield from run.at_once(pixels, propagator, linker, stack_classes)
        except InputError as error:
            if not several:
                raise
            # One slice that cannot be used does not end a stack.
            yield PlaneSkipped(plane, error)


def _shared_limits(
    scaling: Scaling, source: PlaneSource, check: Callable[[], None] | None
) -> tuple[Scaling, dict[PlaneIndex, np.ndarray]]:
    """The limits of all planes together, and the planes that were read for them."""
    kept: dict[PlaneIndex, np.ndarray] = {}

    def opened(plane: PlaneIndex) -> Any:
        if check is not None:
            check()
        pixels = source.open(plane)
        size = prod(pixels.shape) * np.dtype(pixels.dtype).itemsize
        if is_large(pixels.shape[:2]) or size > KEPT_BYTES // PLANES_LOOKED_AT:
            return pixels
        kept[plane] = np.asarray(pixels[:, :])
        return kept[plane]

    return resolve_percentiles(scaling, opened, source.planes), kept


@dataclass(frozen=True)
class _PlaneRun:
    """Segments one plane."""

    segmenter: Segmenter
    options: SegmentOptions
    sink: LabelSink | None
    plane: PlaneIndex
    scaling: Scaling
    tell: Callable[[float], None] | None
    check: Callable[[], None] | None

    def shape_of(self, pixels: Any) -> tuple[int, ...]:
        """Height and width of what is segmented."""
        region = self.options.region
        return pixels.shape[:2] if region is None else region.shape

    def at_once(
        self,
        pixels: Any,
        propagator: SlicePropagator,
        linker: SliceLinker,
        stack_classes: StackClasses | None,
    ) -> Iterator[PlaneResult]:
        """A plane that fits into memory, iteration by iteration."""
        options, region = self.options, self.options.region
        image = read_part(pixels, region, self.scaling, self.beat)
        iterations = self.segmenter.iterate(
            image, options.iterations, options.objects, prompt=options.prompt,
            tile=options.tile, object_size=options.object_size, progress=self.say,
            before=propagator.before(self.plane),
        )  # fmt: skip
        meaning = Meaning.of(options.objects, self.segmenter.classes)
        before = None
        while True:
            # Not around a yield: whoever closes this generator is elsewhere by then.
            with self._stoppable():
                iteration = next(iterations, None)
            if iteration is None:
                return
            iteration = propagator.take(self.plane, iteration)
            found = without_missing(iteration, image)
            if region is not None:
                found = region.place(found, pixels.shape[:2])
            shown = clean(found, options.cleanup, meaning, before)
            before = shown.labels
            shown = linker.take(self.plane, shown)
            if stack_classes is not None:
                shown = stack_classes.take(shown)
            yield self._written(shown, found, image, pixels)

    def _written(
        self, shown: Iteration, found: Iteration, image: LazyRGB, pixels: Any
    ) -> PlaneResult:
        """Hand an iteration to the sink, and say what came of it."""
        labels, shape, region = shown.labels, pixels.shape[:2], self.options.region
        if labels.shape != shape:
            assert region is not None
            return self._written_part(shown, region.window, image, shape)
        if self.sink is not None:
            target = self.sink.target(shown.iteration, self.plane)
            if target is not None:
                target[...] = labels
                self.sink.complete(self.plane, shown, self.beat)
        return PlaneResult(self.plane, shown, labels, image.scaling, found)

    def _written_part(
        self,
        shown: Iteration,
        window: tuple[slice, slice],
        image: LazyRGB,
        shape: tuple[int, ...],
    ) -> PlaneResult:
        """As `_written`, of a region whose plane is too large to hold."""
        assert self.sink is not None, "a region of a large plane needs a sink"
        target: Any = self.sink.target(shown.iteration, self.plane)
        target[window] = shown.labels
        said = Written.of_part(shown, shape)
        self.sink.complete(self.plane, said, self.beat)
        return PlaneResult(self.plane, said, target, image.scaling)

    def by_strips(self, pixels: Any) -> Iterator[PlaneResult]:
        """A large plane, of which only strips are in memory."""
        options, sink = self.options, self.sink
        self._check_large()
        if sink is None or options.follow_axis is not None:
            raise ValueError("large planes need a sink, and cannot follow each other")
        targets = [sink.target(t, self.plane) for t in range(options.iterations)]
        with self._stoppable():
            image = LazyRGB(pixels, None, self.scaling, self.beat)
            written = self.segmenter.segment_each_into(
                image, targets, options.objects, prompt=options.prompt,
                tile=options.tile, object_size=options.object_size, progress=self.say,
            )  # fmt: skip
        for iteration in written:
            sink.complete(self.plane, iteration, self.beat)
            labels = targets[iteration.iteration]
            yield PlaneResult(self.plane, iteration, labels, image.scaling)

    def _check_large(self) -> None:
        many = f"more than {LARGE_PIXELS / 1e6:.0f} million pixels"
        if self.options.region is not None:
            raise InputError(f"The region has {many}: draw a smaller one.")
        if not self.options.cleanup.is_off or self.options.link_axis is not None:
            raise InputError(
                f"An image of {many} is written strip by strip: no threshold, least "
                "size, filled holes or linked slices; leave them out, or take a part."
            )

    def say(self, done: float) -> None:
        """Report which part of the plane is done."""
        self.beat()
        if self.tell is not None:
            self.tell(done)

    def beat(self) -> None:
        """Raise what the caller's check raises, to stop."""
        if self.check is not None:
            self.check()

    def _stoppable(self) -> AbstractContextManager[None]:
        if self.check is None:
            return nullcontext()
        return interruptible(self.segmenter.networks, self.check)
