"""One file: opened, segmented plane by plane, and its labels written.

This is all that a worker does, in this process, another one, or on another machine.
"""

from __future__ import annotations

import errno
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_samsp.batch.prompted_plane import check_planes, label_prompted
from napari_samsp.batch.prompts_file import PromptsFile
from napari_samsp.core.errors import (
    ConstantImageError,
    InputError,
    in_words,
    is_disk_error,
    is_out_of_memory,
)
from napari_samsp.core.image_files import is_ome_zarr
from napari_samsp.core.label_files import collected, write_ome_zarr, write_tiff
from napari_samsp.core.nifti_files import is_nifti, write_nifti
from napari_samsp.core.notes import about
from napari_samsp.core.object_files import measure_file
from napari_samsp.core.plausibility import count_labels
from napari_samsp.core.stored_image import is_large, open_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_samsp.core.object_table import Columns
    from napari_samsp.core.segmenter import Segmenter

_one_at_a_time = threading.RLock()
"""A scheduler's worker runs tasks in threads, and they would fight for the cores."""

# What no other file would fare better with.
_FOR_ALL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@dataclass(frozen=True)
class Settings:
    """How files are segmented.

    Attributes
    ----------
    model, adapter, device, input_size
        As for `napari_samsp.core.segmenter.Segmenter`.
    iterations, objects, prompt, tile
        As for its `segment`.
    all_iterations : bool
        Whether each iteration's labels are written too.
    follow_slices : bool
        Whether a plane of a stack is prompted by the result of the one before.
    channels : tuple of int or None
        The channels that are red, green and blue, or one that is gray.
    axes : str or None
        Instead of what the files say.
    series : int or None
        Which image of a file that holds several; None: the largest.
    output_format : {"auto", "tif", "ome-zarr"}
        ``auto``: OME-Zarr for large OME-Zarr images, NIfTI for NIfTI, TIFF for all
        others.
    measure : bool
        Whether the objects are measured too.
    threads : int
        Of torch; 0 leaves them as they are.
    prompts : str or None
        A CSV file of points or boxes, see `napari_samsp.batch.prompts_file`.
    single_channels : tuple of int or None
        As ``channels``, of images alone whose channels are no colours.
    """

    model: str
    adapter: str | None = None
    device: str = "auto"
    input_size: int | None = None
    iterations: int = 3
    objects: bool = False
    prompt: str | None = None
    tile: Literal["auto", "on", "off"] | int = "auto"
    all_iterations: bool = False
    follow_slices: bool = False
    channels: tuple[int, ...] | None = None
    axes: str | None = None
    series: int | None = None
    output_format: Literal["auto", "tif", "ome-zarr"] = "auto"
    measure: bool = False
    threads: int = 0
    prompts: str | None = None
    single_channels: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Job:
    """An image file and its labels.

    Attributes
    ----------
    image : Path
        The file.
    labels : Path
        Without their ending.
    spared : tuple of Path
        Files beside the labels that must not be replaced.
    """

    image: Path
    labels: Path
    spared: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes
    ----------
    job : Job
        Which.
    files : tuple of Path
        Written; the last iteration's labels first.
    seconds : float
        It took so long.
    error : str
        One sentence if it could not be segmented, else empty.
    objects : tuple of dict
        What was measured, a table a slice.
    scores : tuple of tuple of float
        SAM's predicted IoU of each plane, iteration by iteration; of a blank plane
        none.
    count : int
        How many labels the last iteration has, of several planes the sum.
    """

    job: Job
    files: tuple[Path, ...]
    seconds: float
    error: str = ""
    objects: tuple[Columns, ...] = ()
    scores: tuple[tuple[float, ...], ...] = ()
    count: int = 0


@dataclass
class _Said:
    """What the model says of a file, besides its labels."""

    scores: list[tuple[float, ...]] = field(default_factory=list)
    count: int = 0


def segment_file(
    job: Job,
    settings: Settings,
    progress: Callable[[float], None] | None = None,
    segmenter: Segmenter | None = None,
) -> Outcome:
    """Segment an image file and write its labels.

    Parameters
    ----------
    job : Job
        The file.
    settings : Settings
        How.
    progress : callable, optional
        Called with the part that is done, 0 to 1.
    segmenter : Segmenter, optional
        Default: the model of the settings, loaded once in a process.

    Returns
    -------
    Outcome
        With an error if the file, not the settings, is to blame.
    """
    start = time.perf_counter()
    files: tuple[Path, ...] = ()
    objects: tuple[Columns, ...] = ()
    error, said = "", _Said()
    with _one_at_a_time:
        segmenter = segmenter or load(settings)
        try:
            with about(job.image):
                files = _segment(segmenter, job, settings, progress, said)
                if settings.measure:
                    objects = tuple(
                        measure_file(files[0], job.image, axes=settings.axes)
                    )
        except (InputError, OSError) as reason:
            if isinstance(reason, OSError) and (
                reason.errno in _FOR_ALL or not is_disk_error(reason)
            ):
                raise
            error = in_words(reason)
            if str(job.image) not in error:
                error = f"{job.image}: {error}"
        except (MemoryError, RuntimeError) as reason:
            if not is_out_of_memory(reason):
                raise
            error = (
                f"{job.image} needs more memory than there is; use fewer --workers, "
                "or a smaller --tile."
            )
    seconds, scores = time.perf_counter() - start, tuple(said.scores)
    return Outcome(job, files, seconds, error, objects, scores, said.count)


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

    from napari_samsp.core.segmenter import Segmenter

    if threads:
        torch.set_num_threads(threads)
    return Segmenter(model, adapter, device, input_size=size)


def _segment(
    segmenter: Segmenter,
    job: Job,
    settings: Settings,
    progress: Callable[[float], None] | None,
    said: _Said,
) -> tuple[Path, ...]:
    from napari_samsp.core.following import SliceFollower

    with (
        open_image(job.image, settings.axes, series=settings.series) as image,
        ExitStack() as stack,
    ):
        shape = image.labels_shape
        large = is_large(shape[-2:])
        if large and settings.follow_slices:
            raise InputError(
                f"{job.image} is too large for --follow-slices: leave it out, and its "
                "slices are segmented one by one."
            )
        last = settings.iterations - 1
        names = {job.labels.name: last}
        if settings.all_iterations:
            names |= {f"{job.labels.name}.iter{t}": t for t in range(last + 1)}
        ending = _ending(job, settings, large)
        written = {job.labels.with_name(f"{n}{ending}"): t for n, t in names.items()}
        if spared := [path for path in written if path in job.spared]:
            raise InputError(
                f"{spared[0]} would be replaced, and earlier calls of this command did "
                "not write it: use another --output, or add --overwrite."
            )
        job.labels.parent.mkdir(parents=True, exist_ok=True)
        arrays = {
            t: stack.enter_context(
                collected(shape, job.labels.parent, f"{job.labels.name}.labels")
            )
            for t in set(written.values())
        }
        planes = image.planes()
        prompts = None
        if settings.prompts is not None:
            prompts = PromptsFile(Path(settings.prompts)).of(job.image)
            check_planes(prompts, planes)
        axis = len(image.plane_axes) - 1
        follow = settings.follow_slices and axis >= 0
        follower = SliceFollower(planes, axis if follow else None, settings.objects)
        for n, index in enumerate(planes):
            report = None
            if progress is not None:
                report = _part(progress, n, len(planes))
            channels = settings.channels
            if channels is None and image.channel_axis == "C":
                channels = settings.single_channels
            plane, channel_axis = image.plane(index, channels)
            said.scores.append(())
            outs = [
                _Plane(arrays[t], index) if t in arrays else None
                for t in range(settings.iterations)
            ]
            # What is blank in a stack has no objects.
            with suppress(*[ConstantImageError] if len(planes) > 1 else []):
                if prompts is not None:
                    mine = {
                        label: prompt
                        for label, prompt in enumerate(prompts, start=1)
                        if prompt.plane == tuple(index)
                    }
                    label_prompted(
                        segmenter, plane, channel_axis, mine, settings, outs[-1], report
                    )
                    said.count += count_labels(arrays[last][index])
                    continue
                if large:
                    results = segmenter.segment_each_into(
                        plane, outs, settings.objects, channel_axis, settings.prompt,
                        settings.tile, report,
                    )  # fmt: skip
                    said.scores[-1] = tuple(one.score for one in results)
                    said.count += results[-1].objects
                    continue
                for found in segmenter.iterate(
                    plane, settings.iterations, settings.objects, channel_axis,
                    settings.prompt, settings.tile, report, follower.before(index),
                ):  # fmt: skip
                    step = follower.take(index, found)
                    said.scores[-1] += (step.score,)
                    if (out := outs[step.iteration]) is not None:
                        out[...] = step.labels
                said.count += count_labels(step.labels)
        # The last iteration's at the end: where they are, all are.
        for path, t in reversed(written.items()):
            if ending == ".nii.gz":
                write_nifti(path, arrays[t], image.labels_axes, job.image)
                continue
            write = write_ome_zarr if ending == ".ome.zarr" else write_tiff
            write(path, arrays[t], image.labels_axes, image.voxels)
    return tuple(written)


class _Plane:
    """One plane of an array of labels, which takes and gives windows."""

    def __init__(self, array: Any, index: tuple[int, ...]) -> None:
        self._array, self._index = array, index
        self.shape = tuple(array.shape[-2:])
        self.dtype = array.dtype
        chunks = getattr(array, "chunks", None)
        if chunks is not None:
            self.chunks = tuple(chunks[-2:])

    def __getitem__(self, window: Any) -> Any:
        return self._array[self._at(window)]

    def __setitem__(self, window: Any, values: Any) -> None:
        self._array[self._at(window)] = values

    def _at(self, window: Any) -> tuple[Any, ...]:
        return (*self._index, *(window if isinstance(window, tuple) else (window,)))


def as_nifti(image: Path, settings: Settings) -> bool:
    """Whether labels become NIfTI: as the image is, if nothing else is asked for."""
    return (
        settings.output_format == "auto"
        and settings.axes is None
        and image.is_file()
        and is_nifti(image)
    )


def _ending(job: Job, settings: Settings, large: bool) -> str:
    kind = settings.output_format
    if as_nifti(job.image, settings):
        return ".nii.gz"
    if kind == "ome-zarr" or (kind == "auto" and large and is_ome_zarr(job.image)):
        return ".ome.zarr"
    return ".tif"


def _part(
    progress: Callable[[float], None], number: int, count: int
) -> Callable[[float], None]:
    return lambda done: progress((number + done) / count)
