"""An image of the list with its result, ready to be shown; read in the background."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.layers._source import layer_source

from napari_samsp.data.image_source import StoredImage, is_large, open_image
from napari_samsp.data.rgb import as_lazy_rgb
from napari_samsp.data.shared_limits import resolve_percentiles
from napari_samsp.metrics import iou
from napari_samsp.sam.adapters.adapter_card import read_card
from napari_samsp.ui.images.stored.edits import DRAFT, KEPT, Edits, content_key
from napari_samsp.ui.planes import Channels, PlaneReader
from napari_samsp.ui.result_files import placement
from napari_samsp.ui.segment.segment_steps import Segmented, SegmentRequest
from napari_samsp.ui.segment.stack_result import StackResult
from napari_samsp.ui.segment.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.data.training_sets.classes import LabelClass
    from napari_samsp.ui.images.stored.results import Rounds, Wanted
    from napari_samsp.ui.widgets.object_classes import Pages

PROMPT = "box+mask"


@dataclass
class Opened:
    """An image that was read.

    Attributes
    ----------
    path : Path
        The image file.
    layer : Image
        Not in a viewer yet.
    axes : str
        Of its labels, one letter per axis.
    stored : StoredImage
        As it was read.
    content : str
        `content_key` of its pixels.
    shown : Shown or None
        Its result; None as long as there is none.
    edited : numpy.ndarray or None
        Labels of all its planes that a person made, which take the place of the result.
    was_kept : bool
        Whether they were kept; else they are a draft.
    classes : dict
        Of the objects of those labels.
    """

    path: Path
    layer: Image
    axes: str
    stored: StoredImage
    content: str
    shown: Shown | None = None
    edited: np.ndarray | None = None
    was_kept: bool = False
    classes: Pages = field(default_factory=dict)
    _open: ExitStack = field(default_factory=ExitStack)

    @property
    def is_flat(self) -> bool:
        """Whether it is one plane of a size that is held in memory."""
        return len(self.axes) == 2 and not is_large(self.stored.labels_shape)

    @property
    def channel_axis(self) -> int | None:
        """The layer's axis of channels that are no colours."""
        return 0 if self.stored.channel_axis == "C" else None

    def close(self) -> None:
        """Let go of the file."""
        self._open.close()


@dataclass(frozen=True)
class Shown:
    """A stored result as `RunResults` takes it.

    Attributes
    ----------
    request : SegmentRequest
        As if it had just been asked for.
    along : tuple of int
        The layer's axes of several planes.
    steps : list of Segmented
        All rounds of all planes.
    classes : tuple of LabelClass
        Of the adapter that made it, if it tells any apart.
    """

    request: SegmentRequest
    along: tuple[int, ...]
    steps: list[Segmented]
    classes: tuple[LabelClass, ...] = ()


def open_path(path: Path, name: str) -> Opened:
    """Read an image and make its layer.

    Parameters
    ----------
    path : Path
        The image file.
    name : str
        Name of the layer.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    with ExitStack() as stack:
        stored = stack.enter_context(open_image(path))
        order = [stored.axes.index(axis) for axis in stored.labels_axes]
        options = placement(stored)
        if stored.channel_axis == "S":
            order.append(stored.axes.index("S"))
            options["rgb"] = True
        elif stored.channel_axis == "C":
            order.insert(0, stored.axes.index("C"))
            for key, value in (("scale", 1.0), ("translate", 0.0), ("units", "pixel")):
                options[key] = [value, *options[key]]
            options["axis_labels"] = ["c", *options["axis_labels"]]
        array = stored.array.transpose(order)
        if options.get("rgb") and array.shape[-1] not in (3, 4):
            array = np.repeat(array[..., :1], 3, -1)
        with layer_source(path=str(path)):
            layer = Image(array, name=name, **options)
        content = content_key(array)
        return Opened(
            path, layer, stored.labels_axes, stored, content, _open=stack.pop_all()
        )


def read_edits(opened: Opened, edits: Edits) -> None:
    """Take over the labels that a person made: a draft, or else what was kept."""
    for kind in (DRAFT, KEPT):
        labels = edits.read(kind, opened.path, opened.content)
        if labels is not None and labels.shape == opened.stored.labels_shape:
            opened.edited, opened.was_kept = labels, kind == KEPT
            opened.classes = edits.classes(kind, opened.path, opened.content)
            return


def read_rounds(
    opened: Opened, rounds: Rounds, wanted: Wanted, check: Callable[[], None]
) -> None:
    """Make a stored result ready to be shown.

    Parameters
    ----------
    opened : Opened
        The image, whose `shown` is set.
    rounds : Rounds
        The result; of an image of another size nothing is taken.
    wanted : Wanted
        How it was made.
    check : callable
        Called at every plane. An exception raised by it aborts the run.
    """
    stored = opened.stored
    if any(labels.shape != stored.labels_shape for labels in rounds.labels):
        return
    channels = _channels(opened, wanted)
    planes = {place: _index(place, channels) for place in stored.planes()}
    request = _request(opened, rounds, wanted, channels, tuple(planes.values()))
    scaling = wanted.scaling
    if request.stack is not None and request.same_limits:
        scaling = resolve_percentiles(scaling, request.open, request.planes)
    listed = read_card(wanted.adapter).classes if wanted.adapter else ()
    told_apart = listed if len(listed) > 1 else ()
    steps: list[Segmented] = []
    for number, (place, plane) in enumerate(planes.items()):
        check()
        scores = rounds.scores[number] if number < len(rounds.scores) else []
        if len(scores) != len(rounds.labels):
            continue  # a blank slice
        seen = as_lazy_rgb(request.read(plane), scaling=scaling).scaling
        labels = [one[place] for one in rounds.labels]
        classes = _numbers(rounds.classes.get(place, {}), told_apart)
        for summary in _summaries(labels, scores, wanted):
            t = summary.iteration
            if request.stack is not None:
                request.stack.target(t, plane)[...] = labels[t]
                request.stack.complete(plane, summary, check)
            named = classes if t == len(labels) - 1 else None
            steps.append(Segmented(plane, summary, labels[t], seen, None, named))
    along = tuple(range(opened.layer.ndim - len(opened.axes), opened.layer.ndim - 2))
    opened.shown = Shown(request, along, steps, told_apart)


def _channels(opened: Opened, wanted: Wanted) -> Channels | None:
    """The channels that were segmented; None of an image without."""
    axis, settings = opened.channel_axis, wanted.settings
    if axis is None:
        return None
    picked = settings.channels or settings.single_channels
    return Channels(axis, picked or tuple(range(opened.stored.channel_count)))


def _request(
    opened: Opened,
    rounds: Rounds,
    wanted: Wanted,
    channels: Channels | None,
    planes: tuple[PlaneIndex, ...],
) -> SegmentRequest:
    """What would have been asked for if the result were a fresh one."""
    settings, ndim, count = wanted.settings, opened.layer.ndim, len(rounds.labels)
    stack = None
    if len(planes) > 1:
        shape = [1] * (ndim - len(opened.axes)) + list(opened.stored.labels_shape)
        stack = StackResult(tuple(shape), (ndim - 2, ndim - 1), count)
        stack.allocate()
    return SegmentRequest(
        read=PlaneReader.of(opened.layer, channels),
        planes=planes,
        model=settings.model,
        adapter=wanted.adapter,
        iterations=count,
        objects=settings.objects,
        scaling=wanted.scaling,
        same_limits=settings.limits == "stack",
        stack=stack,
        cleanup=settings.cleanup,
    )


def _summaries(
    rounds: list[np.ndarray], scores: list[float], wanted: Wanted
) -> list[Summary]:
    """The figures of each round of a plane."""
    return [
        Summary.of_labels(
            labels,
            wanted.settings.objects,
            iteration=t,
            iterations=len(rounds),
            prompt=PROMPT if t else "none",
            score=score,
            iou_to_previous=iou(labels, rounds[t - 1]) if t else None,
        )
        for t, (labels, score) in enumerate(zip(rounds, scores, strict=True))
    ]


def _numbers(
    named: dict[int, str], classes: tuple[LabelClass, ...]
) -> np.ndarray | None:
    """The class's label of each object, as a segmenter says it."""
    if not named:
        return None
    labels = {one.name: one.label for one in classes}
    found = np.zeros(max(named) + 1, np.int32)
    for label, name in named.items():
        found[label] = labels.get(name, 0)
    return found


def _index(place: tuple[int, ...], channels: Channels | None) -> PlaneIndex:
    first = () if channels is None else (channels.picked[0],)
    return (*first, *place, None, None)


def whole_labels(
    opened: Opened, labels: Any, plane: PlaneIndex | None
) -> np.ndarray | None:
    """Labels of a layer in the axes of the image's labels.

    Parameters
    ----------
    opened : Opened
        The image.
    labels : array_like
        A layer's data; of one plane or of all.
    plane : PlaneIndex or None
        Of the image, if the labels are of one plane.

    Returns
    -------
    numpy.ndarray or None
        A copy; None if the layer is of another size. Beside one plane there is what was
        known of the others.
    """
    shape = opened.stored.labels_shape
    found = np.asarray(labels, np.int32)
    while found.ndim > len(shape) and found.shape[0] == 1:
        found = found[0]
    if found.shape == shape:
        return found.copy()
    if (
        plane is None
        or found.shape[-2:] != shape[-2:]
        or found.size != np.prod(shape[-2:])
    ):
        return None
    whole = np.zeros(shape, np.int32) if opened.edited is None else opened.edited.copy()
    whole[tuple(plane[-len(shape) : -2])] = found.reshape(shape[-2:])
    return whole
