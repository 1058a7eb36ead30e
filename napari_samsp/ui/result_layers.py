"""The Labels layers that iterations become, and what they remember."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from napari.layers import Image, Labels, Layer

from napari_samsp.ui.placement import placement_of
from napari_samsp.ui.planes import Channels, disagreement, first_scale
from napari_samsp.ui.widgets.layer_chooser import MAP_KEY
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.ui.segment.stack_result import StackResult
    from napari_samsp.ui.segment.summary import Summary

RESULT_KEY = "samsp"
SOURCE_KEY = "samsp_source"
SAMPLE_KEY = "samsp_sample"
"""In the metadata of layers of a training set: the image's file, which pairs them."""


@dataclass(frozen=True)
class Source:
    """What a result layer was made of.

    Attributes
    ----------
    image_id : object
        ``unique_id`` of the image layer, which stays the same when it is renamed; None
        of a result that is about to go.
    plane : PlaneIndex or None
        Plane of the image; None if the layer holds several.
    prediction : numpy.ndarray or None
        ``(Y, X)`` as predicted, whatever the user has painted since.
    channels : Channels or None
        The channels that were read.
    scalings : dict
        Of each plane how its intensities were scaled, for a correction's info.
    stack : StackResult or None
        Holds the predictions of several planes.
    iteration : int
        The iteration that the layer shows.
    pixels : callable
        Gives the image's data as they were, if they are still alive.
    window : tuple of slice or None
        Rows and columns of the region that was segmented; None: everything.
    by_slice : bool
        Whether each slice counts its objects by itself, so that a label is another
        object in each.
    """

    image_id: Any
    plane: PlaneIndex | None
    prediction: np.ndarray | None = None
    channels: Channels | None = None
    scalings: dict[PlaneIndex, dict[str, Any]] = field(default_factory=dict)
    stack: StackResult | None = None
    iteration: int = 0
    pixels: Callable[[], Any] = lambda: None
    window: tuple[slice, slice] | None = None
    by_slice: bool = False

    def prediction_of(self, plane: PlaneIndex) -> np.ndarray | None:
        """Labels of a plane as they were predicted; None if it was not segmented."""
        if self.stack is not None:
            return self.stack.prediction(self.iteration, plane)
        return self.prediction

    def is_outdated(self, image: Image) -> bool:
        """Whether the image got other data since."""
        before = self.pixels()
        return before is not None and before is not first_scale(image)

    def check(self, labels: Labels, image: Image) -> None:
        """Raise `InputError` if the image got other data since labels were made."""
        if self.is_outdated(image):
            raise InputError(
                f"{image.name} got other pixels after {labels.name} was made of it: "
                "segment it again."
            )


# Not in the layers' metadata, which writers of other plugins turn into text.
_sources: WeakKeyDictionary[Labels, Source] = WeakKeyDictionary()


def remember_source(layer: Labels, source: Source) -> None:
    """Note what a layer was made of.

    Parameters
    ----------
    layer : Labels
        Its metadata gets, under `SOURCE_KEY`, what of it is plain text and numbers,
        so that copies of the layer know their image too.
    source : Source
        Where the labels come from.
    """
    _sources[layer] = source
    plain: dict[str, Any] = {
        "image_id": str(source.image_id),
        "plane": None if source.plane is None else list(source.plane),
        "by_slice": source.by_slice,
    }
    if source.channels is not None:
        plain["channels"] = [source.channels.axis, *source.channels.picked]
    layer.metadata[SOURCE_KEY] = plain


def forget_image(layer: Labels) -> None:
    """Let a result belong to no image any more, so that nothing keeps or edits it.

    Parameters
    ----------
    layer : Labels
        Of a layer that is not a result, nothing changes.
    """
    source = source_of(layer)
    if source is not None:
        remember_source(layer, replace(source, image_id=None))


def weakly(data: Any) -> Callable[[], Any]:
    """Refer to data without keeping them in memory.

    Parameters
    ----------
    data : object
        Such as an array.

    Returns
    -------
    callable
        Gives them, or None if they are gone or cannot be referred to.
    """
    try:
        return ref(data)
    except TypeError:
        return lambda: None


def result_layer(
    image: Image, iteration: Summary, labels: Any, **options: Any
) -> Labels:
    """Make the layer of an iteration.

    Parameters
    ----------
    image : Image
        What was segmented.
    iteration : Summary
        Its figures, which go into the layer's metadata.
    labels : array_like, or list of such
        Data of the layer; a list of levels makes it multiscale.
    **options
        Of `napari.layers.Labels`, with ``metadata`` about how it was made.

    Returns
    -------
    Labels
        Named ``SAM-SP t · IMAGE``; not yet in a viewer, which numbers a name that is
        taken.
    """
    about = {"image": image.name, **iteration.as_dict(), **options.pop("metadata")}
    return Labels(
        labels,
        name=result_name(iteration.iteration, image),
        metadata={RESULT_KEY: about},
        **options,
    )


def result_name(iteration: int, image: Image) -> str:
    """What the layer of an iteration of an image is called."""
    return f"SAM-SP {iteration} · {image.name}"


def source_of(layer: Labels) -> Source | None:
    """What a layer was made of, None if not by us.

    Parameters
    ----------
    layer : Labels
        Any labels layer.

    Returns
    -------
    Source or None
        As remembered; of a copy of a layer, without the prediction.
    """
    if layer in _sources:
        return _sources[layer]
    copied = layer.metadata.get(SOURCE_KEY)
    if copied is None:
        return None
    plane, channels = copied["plane"], copied.get("channels")
    return Source(
        copied["image_id"],
        None if plane is None else tuple(plane),
        channels=Channels(channels[0], tuple(channels[1:])) if channels else None,
        by_slice=bool(copied.get("by_slice")),
    )


def is_untouched(layer: Labels) -> bool:
    """Whether a layer shows one plane as it was predicted, and nobody edited it."""
    source = source_of(layer)
    if source is None or source.prediction is None:
        return False
    data = np.asarray(layer.data)
    return data.size == source.prediction.size and np.array_equal(
        data.reshape(source.prediction.shape), source.prediction
    )


def image_of(viewer: napari.viewer.Viewer, labels: Labels) -> Image | None:
    """The image that labels belong to, as far as their layer tells.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer that has the layers.
    labels : Labels
        A result, or the mask of a training set's sample.

    Returns
    -------
    Image or None
        None if it is not in the viewer any more.
    """
    source = source_of(labels)
    if source is not None:
        found = layer_by_id(viewer, source.image_id)
        return found if isinstance(found, Image) else None
    sample = labels.metadata.get(SAMPLE_KEY)
    return next(
        (
            layer
            for layer in viewer.layers
            if isinstance(layer, Image) and layer.metadata.get(SAMPLE_KEY) == sample
        ),
        None,
    )


def image_to_label(
    viewer: napari.viewer.Viewer, labels: Labels, chosen: Image | None
) -> Image | None:
    """As `image_of`; for labels that are not ours, the image that the user chose.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer that has the layers.
    labels : Labels
        Any labels layer.
    chosen : napari.layers.Image or None
        The image that the user chose, if any.
    """
    if source_of(labels) is None and SAMPLE_KEY not in labels.metadata:
        return chosen
    return image_of(viewer, labels)


def layer_by_id(viewer: napari.viewer.Viewer, unique_id: Any) -> Layer | None:
    """Find a layer of the viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer that has the layers.
    unique_id : object
        The layer's ``unique_id``, or its text.

    Returns
    -------
    Layer or None
        None if it is not in the viewer any more.
    """
    wanted = str(unique_id)
    return next((la for la in viewer.layers if str(la.unique_id) == wanted), None)


def add_disagreement(
    viewer: napari.viewer.Viewer, layers: list[Labels]
) -> Image | None:
    """Show where iterations of an image disagree.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer that has the layers.
    layers : list of Labels
        Result layers, first iteration first; what was predicted counts, not what was
        painted since.

    Returns
    -------
    Image or None
        None if there are fewer than two iterations.
    """
    sources = [source for layer in layers if (source := source_of(layer)) is not None]
    if len(sources) < 2:
        return None
    last = layers[-1]
    counts: Any
    if sources[-1].stack is not None:
        counts = sources[-1].stack.disagreement()
    else:
        predictions = [s.prediction for s in sources if s.prediction is not None]
        if len(predictions) < 2:
            return None
        counts = disagreement(predictions).reshape(last.data.shape)
    layer = Image(
        counts,
        multiscale=isinstance(counts, list),
        name=f"SAM-SP disagreement · {last.metadata[RESULT_KEY]['image']}",
        colormap="inferno",
        blending="additive",
        contrast_limits=(0, len(sources) - 1),
        metadata={MAP_KEY: True},
        axis_labels=last.axis_labels,
        **placement_of(last),
    )
    active = viewer.layers.selection.active
    viewer.add_layer(layer)
    # The brush goes on with the labels, and napari's own keys with it.
    viewer.layers.selection.active = active
    return layer
