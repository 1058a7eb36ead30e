"""What the workers of clicks do; they outlive the widget for as long as one works."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from napari_samsp.data.rgb import Scaling
from napari_samsp.data.shared_limits import resolve_percentiles
from napari_samsp.ui.correct.clicks.edits import Edit, Place, Plane
from napari_samsp.ui.planes import first_scale
from napari_samsp.ui.segment.segment_steps import explain
from napari_samsp.utils.cancellation import StoppedError, interruptible
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.layers import Labels

    from napari_samsp.data.tiling import Tile
    from napari_samsp.inference.interactive.clicks import ClickedImage
    from napari_samsp.ui.correct.clicks.work import ClickJob
    from napari_samsp.ui.correct.labelled_plane import LabelledPlane
    from napari_samsp.ui.models.workplace import Loaded, Workplace


MANY = 2**16
"""More objects than one click finds."""


class Desk:
    """Does jobs, one at a time.

    Parameters
    ----------
    workplace : Workplace
        Gives the loaded model, and takes one that is loaded here.

    Attributes
    ----------
    stop : threading.Event
        Set when the widget is gone.
    dropped : bool
        Nobody wants the result of the job at hand any more.
    highest : WeakKeyDictionary
        Highest label of a layer, where it is known.
    """

    def __init__(self, workplace: Workplace) -> None:
        self.stop = threading.Event()
        self.dropped = False
        self._workplace = workplace
        self.highest: WeakKeyDictionary[Labels, int] = WeakKeyDictionary()
        self._limits: tuple[ClickJob, Scaling] | None = None
        self._cancelled = False
        self._seen: Tile | None = None
        self._waiting: list[Place | None] = []

    def begin(self) -> None:
        """Nothing is known of the next job yet."""
        self.dropped = self._cancelled = False
        self._seen, self._waiting = None, []

    def cancel(self) -> None:
        """End the job at hand, if it only encodes ahead."""
        self._cancelled = True

    def hurry(self, at: Place | None) -> None:
        """Somebody waits: a job that only encodes ahead ends, unless it helps.

        Parameters
        ----------
        at : tuple of int or None
            Where what is waited for is seen, in the same image.
        """
        self._waiting.append(at)

    def sees(self, tile: Tile) -> None:
        """Note what is being encoded."""
        self._seen = tile

    def waits_for(self, job: ClickJob) -> str:
        """What takes long in a job, if anything does."""
        loaded = self._workplace.loaded
        if loaded is None or loaded.key != job.request.model_key:
            return "loading the model"
        opened = self._workplace.opened
        if opened is None or opened[0] != job.image_key or not opened[1].is_read:
            return "encoding the image"
        return ""

    def do(self, job: ClickJob) -> tuple[ClickJob, Edit | str | None]:
        """Do a job, in a worker; a sentence says why it cannot be done."""
        try:
            with ExitStack() as watched:
                self._watch(job, watched)
                plane = Plane(
                    job.pair.numbers[:, :],
                    lambda: self._open(job, watched),
                    lambda pair: self._open_beside(job, pair, watched),
                    partial(next, self._unused(job.pair)),
                    job.objects,
                    job.request.iterations,
                )
                return job, job.make(plane)
        except StoppedError:
            return job, None
        except InputError as error:
            return job, str(error)
        except (RuntimeError, MemoryError) as error:
            return job, explain(error)

    def _watch(self, job: ClickJob, watched: ExitStack) -> None:
        """Let the model stop within its forward passes, if it is loaded."""
        loaded = self._workplace.loaded
        if loaded is not None and loaded.key == job.request.model_key:
            check = partial(self._check, job)
            watched.enter_context(interruptible(loaded.segmenter.networks, check))

    def _load(self, job: ClickJob, watched: ExitStack) -> Loaded:
        self._check(job)
        before = self._workplace.loaded
        loaded = self._workplace.load(job.request.model, job.request.adapter, self.stop)
        if loaded is not before:
            self._watch(job, watched)
            self._check(job)
        return loaded

    def _open(self, job: ClickJob, watched: ExitStack) -> ClickedImage:
        loaded = self._load(job, watched)
        opened, key = self._workplace.opened, job.image_key
        if opened is not None and opened[0] == key:
            return opened[1]
        self._workplace.opened = opened = None  # before another image is read
        image = loaded.segmenter.clicked(
            job.pair.pixels,
            job.objects,
            scaling=job.scaling,
            object_size=job.request.object_size,
        )
        self._workplace.opened = (key, image)
        return image

    def _open_beside(
        self, job: ClickJob, pair: LabelledPlane, watched: ExitStack
    ) -> ClickedImage:
        """Another slice; the one that was clicked stays open."""
        loaded = self._load(job, watched)
        own = pair.scaling.get("limits")
        return loaded.segmenter.clicked(
            pair.pixels,
            job.objects,
            scaling=Scaling("limits", *own) if own else self._shared_scaling(job),
            object_size=job.request.object_size,
        )

    def _shared_scaling(self, job: ClickJob) -> Scaling:
        """The limits of the slice that is followed from: a dim one stays dim."""
        if self._limits is None or self._limits[0] is not job:
            pixels = job.pair.pixels
            found = resolve_percentiles(job.scaling, lambda plane: plane, [pixels])
            self._limits = (job, found)
        return self._limits[1]

    def _unused(self, pair: LabelledPlane) -> Iterator[int]:
        """Labels that no object of the layer has, one after the other."""
        labels = pair.labels
        data = first_scale(labels)
        # All slices are looked at once: a stack may be large.
        known = self.highest.get(labels)
        if known is None:
            known = int(np.max(data, initial=0))
        known = max(known, int(np.max(pair.numbers[:, :], initial=0)))
        most = int(np.iinfo(data.dtype).max)
        for label in range(known + 1, most + 1):
            self.highest[labels] = label
            yield label
        used = np.unique(data)
        low = np.arange(1, min(most, len(used) + MANY) + 1)
        free = np.setdiff1d(low, used)
        yield from free[free <= known].tolist()
        raise InputError(
            f"{labels.name} holds labels up to {most}, and all are in use: convert "
            "it to int32 (right-click the layer, Convert data type)."
        )

    def _check(self, job: ClickJob) -> None:
        if self.stop.is_set() or (job.long and self.dropped):
            raise StoppedError
        if job.ahead and (self._cancelled or not all(map(self._helps, self._waiting))):
            raise StoppedError

    def _helps(self, at: Place | None) -> bool:
        """Whether what is encoded is what is waited for, as far as that is known."""
        tile = self._seen
        if at is None or tile is None:
            return at is not None
        return tile.top <= at[0] < tile.bottom and tile.left <= at[1] < tile.right
