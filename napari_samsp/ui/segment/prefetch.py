"""The next slice of a stack is encoded while the user looks at this one.

At low cost: one thread, of low priority where the system has that for threads, which
ends at its next part when anything else begins. Nothing is shown of it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from napari_samsp.ui.planes import next_plane
from napari_samsp.ui.segment.large_plane import LazyPlane
from napari_samsp.utils.cancellation import StoppedError, interruptible

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Image

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.inference.segmenter import Segmenter
    from napari_samsp.ui.segment.segment_steps import SegmentRequest

THREAD = "samsp-look-ahead"
PAUSE_S = 0.3
"""Pause before it begins, in which the GUI draws the result."""
MOST_PIXELS = 2**24
"""A larger plane waits until it is asked for."""
FREE_BYTES = 2**30
"""Memory that must be free beside what the plane itself needs."""
BYTES_A_PIXEL = 64
"""Memory per pixel: as it was read, as RGB, and on the way there."""

_log = logging.getLogger(__name__)


class Prefetcher:
    """Encodes one slice at a time into the segmenter's cache.

    Its methods are for the GUI's thread and return at once.

    Parameters
    ----------
    dims : Dims
        The viewer's: how the user moved last is where the next slice lies.
    """

    def __init__(self, dims: Dims) -> None:
        self._dims = dims
        self._seen = tuple(dims.current_step)
        self._moved: tuple[int, int] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._task: _Task | None = None
        self._allowed = True

    @property
    def running(self) -> bool:
        """Whether it is at work."""
        return self._thread is not None and self._thread.is_alive()

    def follow(self, *_: Any) -> None:
        """Note where the user moved to."""
        now = tuple(self._dims.current_step)
        if len(now) == len(self._seen):
            moved = [
                (axis - len(now), 1 if step > before else -1)
                for axis, (step, before) in enumerate(zip(now, self._seen, strict=True))
                if step != before
            ]
            if len(moved) == 1:
                self._moved = moved[0]
        self._seen = now

    def allow(self, allowed: bool) -> None:
        """Say whether the machine is free for it; if not, it stops."""
        self._allowed = allowed
        if not allowed:
            self.stop()

    def stop(self, *_: Any) -> None:
        """End it soon, whatever it does."""
        self._stop.set()

    def give_way(self, request: SegmentRequest) -> threading.Thread | None:
        """End it soon, unless it does what a request will need.

        Parameters
        ----------
        request : SegmentRequest
            What the user wants now.

        Returns
        -------
        threading.Thread or None
            To be waited for: half of the work may be done.
        """
        if self.running and self._task is not None and self._task.is_for(request):
            return self._thread
        self.stop()
        return None

    def start(
        self, image: Image, request: SegmentRequest, segmenter: Segmenter
    ) -> None:
        """Encode what the user is likely to segment after a plane.

        Parameters
        ----------
        image : Image
            The image of which a plane was segmented.
        request : SegmentRequest
            How it was segmented; of several planes, nothing is left to encode.
        segmenter : Segmenter
            Its cache gets the embeddings.
        """
        self.stop()
        plane = self._next(image, request)
        if plane is None or not self._allowed:
            return
        self._stop = threading.Event()
        task = _Task(request, plane, segmenter, self._stop, self._thread)
        self._task = task
        self._thread = threading.Thread(target=task.run, name=THREAD)
        self._thread.start()

    def _next(self, image: Image, request: SegmentRequest) -> PlaneIndex | None:
        if request.stack is not None or len(request.planes) != 1:
            return None
        if request.region is not None:
            return None  # few are drawn for the next slice too
        (plane,) = request.planes
        channels = request.read.channels
        axes = [
            axis
            for axis, index in enumerate(plane)
            if index is not None and (channels is None or axis != channels.axis)
        ]
        if not axes:
            return None
        if self._moved is not None:
            # Layers share their last axes.
            axis, direction = self._moved[0] + image.ndim, self._moved[1]
            if axis in axes:
                return next_plane(image, plane, axis, direction)
        return next_plane(image, plane, axes[-1], 0)


@dataclass(frozen=True)
class _Task:
    """What the thread does."""

    request: SegmentRequest
    plane: PlaneIndex
    segmenter: Segmenter
    stop: threading.Event
    earlier: threading.Thread | None

    def is_for(self, request: SegmentRequest) -> bool:
        mine = self.request
        return (
            request.planes == (self.plane,)
            and request.stack is None
            and request.region is None
            and request.read.data is mine.read.data
            and request.read.channels == mine.read.channels
            and (request.model, request.adapter) == (mine.model, mine.adapter)
            and (request.objects, request.scaling) == (mine.objects, mine.scaling)
            and request.object_size == mine.object_size
        )

    def run(self) -> None:
        _lower_priority()
        try:
            if self.earlier is not None:
                self.earlier.join()
            self.stop.wait(PAUSE_S)
            self._check()
            if self._fits():
                self._encode()
        except StoppedError:
            return
        except Exception:
            # It is told when the user asks for this slice, and not before.
            _log.debug("The next slice was not encoded", exc_info=True)

    def _encode(self) -> None:
        pixels = self.request.read(self.plane)
        self._check()
        request = self.request
        with interruptible(self.segmenter.sam, self._check):
            self.segmenter.embed(
                pixels,
                request.objects,
                scaling=request.scaling,
                object_size=request.object_size,
            )

    def _fits(self) -> bool:
        import torch

        from napari_samsp.utils.memory import free_bytes

        pixels = prod(LazyPlane(self.request.read, self.plane).shape[:2])
        device = self.segmenter.device
        return (
            pixels <= MOST_PIXELS
            and free_bytes(torch.device("cpu")) >= FREE_BYTES + BYTES_A_PIXEL * pixels
            and (device.type == "cpu" or free_bytes(device) >= FREE_BYTES)
        )

    def _check(self) -> None:
        # A thread that is no daemon keeps Python from ending.
        if self.stop.is_set() or not threading.main_thread().is_alive():
            raise StoppedError


def _lower_priority() -> None:
    """On Linux threads have priorities, which those that they start inherit."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
