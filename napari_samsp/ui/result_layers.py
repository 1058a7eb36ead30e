"""The Labels layers that iterations become, and what they remember."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari.layers import Image, Labels, Layer

from napari_samsp.ui.layer_chooser import MAP_KEY
from napari_samsp.ui.planes import PlaneIndex, disagreement, labels_onto_plane

if TYPE_CHECKING:
    import napari
    import numpy as np

    from napari_samsp.core.segmenter import Iteration

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
        ``unique_id`` of the image layer, which stays the same when it is renamed.
    plane : PlaneIndex
        Plane of the image.
    prediction : numpy.ndarray or None
        ``(Y, X)`` as predicted, whatever the user has painted since.
    """

    image_id: Any
    plane: PlaneIndex
    prediction: np.ndarray | None


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
        What to remember.
    """
    _sources[layer] = source
    layer.metadata[SOURCE_KEY] = {
        "image_id": str(source.image_id),
        "plane": list(source.plane),
    }


def add_iteration(
    viewer: napari.viewer.Viewer,
    image: Image,
    plane: PlaneIndex,
    iteration: Iteration,
    model: str,
    adapter: str | None,
    objects: bool,
) -> Labels:
    """Show an iteration as a new Labels layer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where.
    image : Image
        What was segmented.
    plane : PlaneIndex
        Which plane of it.
    iteration : Iteration
        The result.
    model, adapter : str, str or None
        Names of what made it.
    objects : bool
        How it was made.

    Returns
    -------
    Labels
        Named ``SAM-SP t · IMAGE``; a name that is taken gets napari's number.
    """
    labels, placement = labels_onto_plane(iteration.labels, image, plane)
    result = {
        "image": image.name,
        "iteration": iteration.iteration,
        "iterations": iteration.iterations,
        "model": model,
        "adapter": adapter,
        "prompt": iteration.prompt or "none",
        "objects": objects,
        "score": iteration.score,
        "iou_to_previous": iteration.iou_to_previous,
        "area_fraction": iteration.area_fraction,
    }
    if image.ndim > 2:
        result["slice"] = list(plane)
    layer = Labels(
        labels,
        name=f"SAM-SP {iteration.iteration} · {image.name}",
        metadata={RESULT_KEY: result},
        **placement,
    )
    remember_source(layer, Source(image.unique_id, plane, iteration.labels.copy()))
    return viewer.add_layer(layer)


def source_of(layer: Labels) -> Source | None:
    """What a layer was made of, None if not by us.

    Parameters
    ----------
    layer : Labels
        Any.

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
    return Source(copied["image_id"], tuple(copied["plane"]), None)


def image_of(viewer: napari.viewer.Viewer, labels: Labels) -> Image | None:
    """The image that labels belong to, as far as their layer tells.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where.
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


def layer_by_id(viewer: napari.viewer.Viewer, unique_id: Any) -> Layer | None:
    """Find a layer of the viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where.
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
        Where.
    layers : list of Labels
        Result layers, first iteration first; what was predicted counts, not what was
        painted since.

    Returns
    -------
    Image or None
        None if there are fewer than two iterations.
    """
    predictions = [
        source.prediction
        for layer in layers
        if (source := source_of(layer)) is not None and source.prediction is not None
    ]
    if len(predictions) < 2:
        return None
    last = layers[-1]
    counts = disagreement(predictions).reshape(last.data.shape)
    layer = Image(
        counts,
        name=f"SAM-SP disagreement · {last.metadata[RESULT_KEY]['image']}",
        colormap="inferno",
        blending="additive",
        contrast_limits=(0, len(predictions) - 1),
        metadata={MAP_KEY: True},
        scale=last.scale,
        translate=last.translate,
        rotate=last.rotate,
        shear=last.shear,
        affine=last.affine,
        units=last.units,
        axis_labels=last.axis_labels,
    )
    return viewer.add_layer(layer)
