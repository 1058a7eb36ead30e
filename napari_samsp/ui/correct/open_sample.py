"""A stored correction, shown as layers again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.data.image_files import read_labels
from napari_samsp.data.rgb import Scaling
from napari_samsp.data.training_sets.class_tables import read_table
from napari_samsp.data.training_sets.classes import read_classes
from napari_samsp.ui.planes import Channels
from napari_samsp.ui.result_layers import Source, remember_source
from napari_samsp.ui.widgets.object_classes import set_classes
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.data.training_sets.sample import Sample

MOST_CHANNELS = 4
PIXELS_LOOKED_AT = 1_000_000
"""Pixels, at most, from which the contrast limits are taken."""


def open_sample(viewer: napari.viewer.Viewer, sample: Sample) -> Labels:
    """Add a correction as an image and a labels layer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer that gets the layers.
    sample : Sample
        Of a training set.

    Returns
    -------
    Labels
        The labels layer, which knows its image.

    Raises
    ------
    InputError
        If a file cannot be read, or shown.
    """
    image, labels = sample.read()
    prediction = read_labels(sample.prediction) if sample.prediction else None
    count = image.shape[-1] if image.ndim == 3 else 0
    if count > MOST_CHANNELS:
        raise InputError(f"{sample.name} has {count} channels.")
    if image.dtype.kind not in "biuf" or not image.size:
        raise InputError(
            f"{sample.name} has {image.size} values of {image.dtype}, which cannot "
            "be shown."
        )
    options: dict[str, Any] = {"rgb": count in (3, 4)}
    plane: PlaneIndex = (None, None)
    channels = None
    if count in (1, 2):
        image, plane = np.moveaxis(image, -1, 0), (0, None, None)
        channels = Channels(0, tuple(range(count)))
        options["axis_labels"] = ("c", "y", "x")
    if not options["rgb"] and image.dtype.kind in "uif":
        options |= _contrast(image)
    image_layer = viewer.add_image(image, name=sample.name, **options)
    seen: dict[str, Any] = {
        k: sample.info[k] for k in ("scaling", "limits") if k in sample.info
    }
    source = Source(image_layer.unique_id, plane, prediction, channels, {plane: seen})
    layer = viewer.add_labels(labels, name=f"{sample.name} correction")
    remember_source(layer, source)
    return layer


def show_classes(layer: Labels, sample: Sample) -> None:
    """Let a layer know the classes of a correction's objects.

    Parameters
    ----------
    layer : Labels
        From `open_sample`.
    sample : Sample
        Of a training set; if its labels are no objects with classes, nothing happens.

    Raises
    ------
    InputError
        If the table is broken; the layer is there, and its objects have no class.
    """
    classes = read_classes(sample.mask.parent.parent)
    if sample.table is None or classes is None or classes.kind != "instances":
        return
    index = read_table(sample.table, classes)
    set_classes(layer, {label: classes.names[n] for label, n in index.items()})


def _contrast(image: np.ndarray) -> dict[str, Any]:
    """Contrast limits from the pixels: of the whole range, dim images look black."""
    step = max(1, int((image.size / PIXELS_LOOKED_AT) ** 0.5))
    low, high = Scaling().limits(image[..., ::step, ::step])
    known = np.isfinite([low, high]).all() and low < high
    return {"contrast_limits": (low, high)} if known else {}
