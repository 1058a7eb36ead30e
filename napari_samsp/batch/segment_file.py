"""One file: opened, segmented plane by plane, and its labels written.

This is all that a worker does, in this process, another one, or on another machine.
"""

from __future__ import annotations

import errno
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samsp.batch.job import Job, Outcome, Settings
from napari_samsp.batch.objects import measured
from napari_samsp.batch.output_labels import OutputLabels
from napari_samsp.batch.prompted_planes import label_prompted
from napari_samsp.data.image_source import StoredImage, is_large, open_image
from napari_samsp.data.plane_view import PlaneView
from napari_samsp.data.training_sets.class_tables import class_table
from napari_samsp.data.training_sets.classes import meaning_of
from napari_samsp.inference.interactive.correct_next import look_as_text
from napari_samsp.inference.planes import PlaneSkipped, SegmentOptions
from napari_samsp.inference.plausibility import count_labels
from napari_samsp.inference.stack import segment_stack
from napari_samsp.utils.atomic_files import write_atomically
from napari_samsp.utils.errors import (
    ConstantImageError,
    InputError,
    in_words,
    is_disk_error,
    is_out_of_memory,
)
from napari_samsp.utils.notes import about

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from napari_samsp.data.rgb import Scaling
    from napari_samsp.data.tables.object_table import Columns
    from napari_samsp.data.training_sets.class_tables import PlaneClasses
    from napari_samsp.inference.scale.object_scale import ObjectScale
    from napari_samsp.inference.segmenter import Segmenter

_one_at_a_time = threading.RLock()
"""A scheduler's worker runs tasks in threads, which would compete for the cores."""

# Errors that every other file would meet, too.
_FOR_ALL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@dataclass
class _Said:
    """What the model says of a file, besides its labels."""

    scores: dict[tuple[int | None, ...], tuple[float, ...]] = field(
        default_factory=dict
    )
    scales: list[ObjectScale] = field(default_factory=list)
    count: int = 0
    classes: list[PlaneClasses] = field(default_factory=list)
    looks: list[np.ndarray] = field(default_factory=list)


def segment_file(
    job: Job,
    settings: Settings,
    progress: Callable[[float], None] | None = None,
    segmenter: Segmenter | None = None,
    scaling: Scaling | None = None,
) -> Outcome:
    """Segment an image file and write its labels.

    Parameters
    ----------
    job : Job
        Which file, and where its labels go.
    settings : Settings
        How it is segmented and written.
    progress : callable, optional
        Called with the part that is done, 0 to 1.
    segmenter : Segmenter, optional
        Default: the model of the settings, loaded once in a process.
    scaling : Scaling, optional
        Of the intensities, of images without prompts; default: the segmenter's own.

    Returns
    -------
    Outcome
        With an error if the file, not the settings, is to blame.
    """
    start = time.perf_counter()
    files: tuple[Path, ...] = ()
    objects: tuple[Columns, ...] = ()
    error, said, classes = "", _Said(), None
    with _one_at_a_time:
        segmenter = segmenter or load(settings)
        try:
            with about(job.image):
                files = _segment(segmenter, job, settings, progress, said, scaling)
                if settings.prompts is None:
                    classes = meaning_of(segmenter.classes, settings.objects)
                if settings.measure:
                    objects = measured(files[0], job.image, settings.axes, classes)
        except (InputError, OSError, MemoryError, RuntimeError) as reason:
            error = _blame(job.image, reason)
            if not error:
                raise
    return Outcome(
        job,
        files,
        time.perf_counter() - start,
        error,
        objects,
        tuple(said.scores.values()),
        said.count,
        tuple(said.scales),
        look_as_text(said.looks),
        classes,
    )


def _blame(image: Path, reason: Exception) -> str:
    """What is wrong with one file; empty if no other file would fare better."""
    if isinstance(reason, InputError) or (
        isinstance(reason, OSError)
        and reason.errno not in _FOR_ALL
        and is_disk_error(reason)
    ):
        text = in_words(reason)
        return text if str(image) in text else f"{image}: {text}"
    if is_out_of_memory(reason):
        return (
            f"{image} needs more memory than there is; use fewer --workers, or a "
            "smaller --tile."
        )
    return ""


def load(settings: Settings) -> Segmenter:
    """The model, loaded once in a process.

    Raises
    ------
    InputError
        If the model, the adapter or the device cannot be used.
    """
    return _load(
        settings.model,
        settings.adapter,
        settings.device,
        settings.input_size,
        settings.threads,
    )


@lru_cache(maxsize=1)
def _load(
    model: str, adapter: str | None, device: str, size: int | None, threads: int
) -> Segmenter:
    import torch

    from napari_samsp.inference.segmenter import Segmenter

    if threads:
        torch.set_num_threads(threads)
    return Segmenter(model, adapter, device, input_size=size)


def _segment(
    segmenter: Segmenter,
    job: Job,
    settings: Settings,
    progress: Callable[[float], None] | None,
    said: _Said,
    scaling: Scaling | None,
) -> tuple[Path, ...]:
    with (
        open_image(job.image, settings.axes, series=settings.series) as image,
        ExitStack() as stack,
    ):
        if settings.follow_slices and is_large(image.labels_shape[-2:]):
            raise InputError(
                f"{job.image} is too large for --follow-slices: leave it out, and its "
                "slices are segmented one by one."
            )
        files = OutputLabels.of(job, settings, image)
        files.check(job.spared)
        arrays = files.allocate(image, stack)
        planes = _Planes(image, _channels(image, settings))
        said.scores = dict.fromkeys(planes.planes, ())
        if settings.prompts is not None:
            last = arrays[settings.iterations - 1]
            label_prompted(segmenter, planes, job.image, settings, last, progress)
            said.count = sum(count_labels(last[plane]) for plane in planes.planes)
        else:
            _label(segmenter, planes, settings, arrays, progress, said, scaling)
        if not files.has_classes:
            files.table.unlink(missing_ok=True)
        else:
            names = {one.label: one.name for one in segmenter.classes}
            whole = said.classes and not said.classes[0][0]
            axes = "" if whole else image.plane_axes.lower()
            table = class_table(axes, said.classes, names)
            write_atomically(files.table, table)
        files.write(arrays, image, job.image)
    return files.paths


def _channels(image: StoredImage, settings: Settings) -> tuple[int, ...] | None:
    """The channels that are segmented; None: all, or there are none to choose from."""
    if settings.channels is None and image.channel_axis == "C":
        return settings.single_channels
    return settings.channels


def _label(
    segmenter: Segmenter,
    planes: _Planes,
    settings: Settings,
    arrays: dict[int, Any],
    progress: Callable[[float], None] | None,
    said: _Said,
    scaling: Scaling | None,
) -> None:
    """Write the labels of some iterations of all planes, and note what is said."""
    axis = len(planes.image.plane_axes) - 1
    options = SegmentOptions(
        iterations=settings.iterations,
        objects=settings.objects,
        prompt=settings.prompt,
        tile=settings.tile,
        object_size=settings.object_size,
        scaling=scaling,
        shared_limits=settings.limits == "stack",
        follow_axis=axis if settings.follow_slices and axis >= 0 else None,
        link_axis=axis if settings.link_slices and axis >= 0 else None,
        cleanup=settings.cleanup,
    )
    count, last = len(planes.planes), settings.iterations - 1
    linked = options.follow_axis is not None or options.link_axis is not None

    def tell(number: int, done: float) -> None:
        if progress is not None:
            progress((number + done) / count)

    for found in segment_stack(segmenter, planes, options, _Arrays(arrays), tell):
        if isinstance(found, PlaneSkipped):
            # What is blank in a stack has no objects; whatever else it is, is an error.
            if not isinstance(found.error, ConstantImageError):
                raise found.error
            continue
        iteration = found.iteration
        said.scores[found.plane] += (iteration.score,)
        if iteration.iteration != last:
            continue
        said.scales.append(iteration.scale)
        if iteration.look is not None:
            said.looks.append(iteration.look)
        if iteration.object_classes is not None:
            told = found.plane, iteration.object_classes
            # Of linked slices those of all so far, each object once.
            said.classes = [((), told[1])] if linked else [*said.classes, told]
        said.count += iteration.objects


@dataclass(frozen=True)
class _Planes:
    """The planes of an image file."""

    image: StoredImage
    channels: tuple[int, ...] | None

    @property
    def planes(self) -> list[tuple[int, ...]]:
        return self.image.planes()

    def open(self, plane: tuple[int | None, ...]) -> Any:
        return self.image.plane(plane, self.channels)[0]


@dataclass(frozen=True)
class _Arrays:
    """An array of labels for each iteration that is wanted."""

    arrays: dict[int, Any]

    def target(self, iteration: int, plane: tuple[int | None, ...]) -> Any | None:
        array = self.arrays.get(iteration)
        return None if array is None else PlaneView(array, plane)

    def complete(self, *_: object) -> None:
        """Nothing is left to do: files are written when all planes are done."""
