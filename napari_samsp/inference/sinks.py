"""Where the sliding window's labels go: into memory, or into arrays of any size."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from napari_samsp.data.blocks import blocks, chunk_sides
from napari_samsp.inference.results import Iteration, Written
from napari_samsp.metrics import iou
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from napari_samsp.inference.scale.object_scale import ObjectScale
    from napari_samsp.inference.stitching import Stitcher
    from napari_samsp.inference.tile_encoder import TileMaps

R_co = TypeVar("R_co", covariant=True)


@dataclass
class Stitched:
    """An iteration in the making.

    Attributes
    ----------
    iteration : int
        Its number, from 0.
    stitcher : Stitcher
        Writes ``labels``, and ``logits`` if there are any.
    labels : array_like
        ``(Y, X)`` integers, of which only finished rows are written.
    logits : numpy.ndarray or None
        ``(Y, X)`` float32.
    prompt : str or None
        As for `napari_samsp.inference.results.Iteration`.
    scale : ObjectScale
        How much the model sees at once.
    tiles : int
        How many there are.
    scores : list of float
        SAM's predicted IoU of every map so far.
    objects : int
        How many, once it is complete.
    seconds, since_start : float
        Wall time of this iteration alone, and of all until it was complete.
    look : numpy.ndarray or None
        As for `napari_samsp.inference.results.Iteration`.
    """

    iteration: int
    stitcher: Stitcher
    labels: Any
    logits: np.ndarray | None
    prompt: str | None
    scale: ObjectScale
    tiles: int
    scores: list[float] = field(default_factory=list)
    objects: int = 0
    seconds: float = 0.0
    since_start: float = 0.0
    look: np.ndarray | None = None

    def add(self, maps: TileMaps) -> None:
        """Add the maps of the next tile."""
        self.stitcher.add(maps.tile, maps.logits, maps.objects)
        self.scores += maps.scores

    def finish(self, tick: Callable[[], None]) -> None:
        """Complete the labels; an exception raised by ``tick`` aborts the run."""
        self.objects = self.stitcher.finish(tick)

    @property
    def score(self) -> float:
        """The mean of all maps, 0 if there are none."""
        return float(np.mean(self.scores)) if self.scores else 0.0


class Sink(Protocol[R_co]):
    """Takes the labels of a picture.

    Attributes
    ----------
    iterations : int
        How many are run.
    wanted : collection of int
        Those whose labels are taken.
    in_strips : bool
        Only a strip of tiles is in memory at a time.
    """

    iterations: int
    wanted: Collection[int]
    in_strips: bool

    def arrays(
        self, iteration: int, shape: tuple[int, int]
    ) -> tuple[Any, np.ndarray | None]:
        """Where an iteration's ``(Y, X)`` labels go, and its logits if wanted."""

    def result(self, done: Stitched, tick: Callable[[], None]) -> R_co:
        """Make the result of a complete iteration; iterations come in order."""


class InMemory:
    """A sink that makes an `Iteration` of each, with labels and logits.

    Parameters
    ----------
    iterations : int
        How many, the prompt-free one included.
    """

    in_strips = False

    def __init__(self, iterations: int) -> None:
        self.iterations = iterations
        self.wanted: Collection[int] = range(iterations)
        self._previous: np.ndarray | None = None

    def arrays(
        self, _iteration: int, shape: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Allocate arrays for the whole picture."""
        return np.zeros(shape, np.int32), np.empty(shape, np.float32)

    def result(self, done: Stitched, _tick: Callable[[], None]) -> Iteration:
        """Make an `Iteration` of the labels, the logits and the figures."""
        assert done.logits is not None
        previous, self._previous = self._previous, done.labels
        return Iteration(
            labels=done.labels,
            logits=done.logits,
            prompt=done.prompt,
            score=done.score,
            iou_to_previous=None if previous is None else iou(done.labels, previous),
            seconds=done.seconds,
            iteration=done.iteration,
            iterations=self.iterations,
            object_classes=done.stitcher.object_classes,
            scale=done.scale,
            look=done.look,
        )


class IntoArrays:
    """A sink that writes labels where it is told to, strip by strip.

    Parameters
    ----------
    outs : sequence of array_like or None
        For each iteration, the prompt-free one first, ``(Y, X)`` integers of at least
        32 bits: zarr, numpy or the like; None if its labels are not wanted. Each that
        is wanted takes a strip of tiles in memory.
    shape : tuple of int
        Height and width of the picture.

    Raises
    ------
    InputError
        If one of ``outs`` cannot take the labels.
    """

    in_strips = True

    def __init__(self, outs: Sequence[Any | None], shape: tuple[int, int]) -> None:
        self.iterations = len(outs)
        self._outs = {t: out for t, out in enumerate(outs) if out is not None}
        self.wanted: Collection[int] = self._outs.keys()
        for out in self._outs.values():
            _check_target(out, shape)

    def arrays(self, iteration: int, _shape: tuple[int, int]) -> tuple[Any, None]:
        """The array that was given; logits are not kept."""
        return self._outs[iteration], None

    def result(self, done: Stitched, tick: Callable[[], None]) -> Written:
        """Make the figures; the labels are in their array."""
        previous, agreement = self._outs.get(done.iteration - 1), None
        if previous is not None:
            agreement = _foreground_iou(previous, done.labels, tick)
        shape = done.labels.shape
        return Written(
            iteration=done.iteration,
            objects=done.objects,
            area_fraction=done.stitcher.foreground / (shape[0] * shape[1]),
            score=done.score,
            iou_to_previous=agreement,
            tiles=done.tiles,
            tile=done.scale.field_of_view or max(shape),
            seconds=done.since_start,
            object_classes=done.stitcher.object_classes,
            scale=done.scale,
            look=done.look,
        )


def _foreground_iou(one: Any, other: Any, tick: Callable[[], None]) -> float:
    """IoU of the foregrounds of two arrays of labels, read in blocks."""
    both = either = 0
    rows, columns = chunk_sides(other) or (1, 1)
    for window in blocks(other.shape, 4, (rows, columns)):
        tick()
        a, b = np.asarray(one[window]) > 0, np.asarray(other[window]) > 0
        both += int(np.count_nonzero(a & b))
        either += int(np.count_nonzero(a | b))
    return both / either if either else 1.0


def _check_target(out: Any, shape: tuple[int, int]) -> None:
    """Raise `InputError` unless ``out`` can take labels of a picture of a shape."""
    if not hasattr(out, "shape") or not hasattr(out, "dtype"):
        raise InputError(f"Labels are written to an array, not to {out!r}.")
    if tuple(out.shape) != shape:
        raise InputError(
            f"The labels have shape {shape}, but the array to write them to has "
            f"{tuple(out.shape)}."
        )
    dtype = np.dtype(out.dtype)
    if dtype.kind not in "iu" or dtype.itemsize < 4:
        raise InputError(
            f"The array to write labels to holds {dtype}; it must be int32."
        )
