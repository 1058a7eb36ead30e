"""What "Keep correction" stores: pixels, labels, and the prediction before them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Shapes

from napari_samsp.data.image_files import read_image
from napari_samsp.data.training_sets.classes import IGNORE
from napari_samsp.data.training_sets.sample import content_hash, size_text
from napari_samsp.ui.correct.labelled_plane import LabelledPlane
from napari_samsp.ui.result_layers import RESULT_KEY
from napari_samsp.utils.errors import InputError, some

if TYPE_CHECKING:
    from napari.components import Dims

    from napari_samsp.data.training_sets.classes import Classes
    from napari_samsp.data.training_sets.sample import Sample
    from napari_samsp.data.training_sets.training_set import TrainingSet
    from napari_samsp.ui.planes import Channels

ORIGIN = ("layer", "file", "source", "slice", "region")
"""Keys of a correction's info that tell where its pixels come from."""
Region = tuple[int, int, int, int]
"""First and last row, first and last column; the last ones are outside."""


@dataclass(frozen=True)
class Correction:
    """A corrected plane, or a part of one.

    Attributes
    ----------
    image : numpy.ndarray
        ``(Y, X)`` or ``(Y, X, C)``.
    labels : numpy.ndarray
        ``(Y, X)``, as corrected.
    prediction : numpy.ndarray or None
        The same before the correction.
    info : dict
        For the set's ``samples.jsonl``.
    """

    image: np.ndarray
    labels: np.ndarray
    prediction: np.ndarray | None
    info: dict[str, Any] = field(default_factory=dict)


def collect(
    labels: Labels | None,
    image: Image | None,
    dims: Dims,
    shapes: Shapes | None = None,
    channels: Channels | None = None,
) -> Correction:
    """Take a correction from layers.

    Parameters
    ----------
    labels : Labels or None
        What the user corrected.
    image : Image or None
        What it belongs to.
    dims : Dims
        The viewer's: of a stack, the slice that is shown is taken.
    shapes : Shapes, optional
        Its rectangle limits the correction.
    channels : Channels, optional
        Of the image, for labels that are not ours: a result knows its own.

    Returns
    -------
    Correction
        Copies of the layers' data.

    Raises
    ------
    InputError
        If a layer is missing, sizes differ, the image got other pixels since, or there
        is nothing labelled.
    """
    found = LabelledPlane.shown(labels, image, dims, channels)
    labels, in_image, in_labels = found.labels, found.pixels, found.numbers
    prediction = None
    if found.source is not None:
        prediction = found.source.prediction_of(found.plane)
    if shapes is None and in_image.is_large:
        raise InputError(
            f"{found.image.name} is {size_text(in_image.shape)} pixels, too many for "
            "one correction: draw a rectangle in a Shapes layer and choose that as the "
            "region."
        )
    info = _origin_of(found)
    window: tuple[slice, slice] = np.s_[:, :]
    if shapes is not None:
        region = rectangle(shapes, labels, found.of_labels, in_labels.shape)
        window = np.s_[region[0] : region[1], region[2] : region[3]]
        prediction = None if prediction is None else prediction[window]
        info["region"] = list(region)
    pixels, corrected = in_image[window], in_labels[window]
    if not corrected.any():
        where = "under the rectangle" if shapes is not None else f"in {labels.name}"
        raise InputError(f"Nothing is labelled {where}: paint at least one object.")
    made_by = labels.metadata.get(RESULT_KEY, {})
    for name in ("model", "adapter", "iteration", "objects"):
        if name in made_by:
            info[name] = made_by[name]
    return Correction(
        pixels.copy(),
        corrected.copy(),
        None if prediction is None else prediction.copy(),
        info,
    )


def _origin_of(found: LabelledPlane) -> dict[str, Any]:
    """Where the pixels of a correction come from, and how they were scaled."""
    image, file = found.image, found.image.source.path
    # Corrections of one source are held out together or not at all.
    info = {"layer": image.name, "file": file, "source": str(file or image.name)}
    if image.ndim > 2:
        info["slice"] = list(found.plane)
    if found.channels is not None:
        info["channels"] = list(found.channels.picked)
    return info | found.scaling


def check_sight(image: Image | None, dims: Dims, channels: Channels | None) -> None:
    """Raise `InputError` if the viewer shows no slice of an image, but all of them."""
    flat = image is None or image.ndim - (channels is not None) == 2
    if dims.ndisplay == 3 and not flat:
        raise InputError(
            "A correction is one slice, and the 3D view shows none: switch to the 2D "
            "view, look at the slice, and keep it."
        )


def check_painted(labels: np.ndarray, meaning: Classes | None) -> None:
    """Check that each label is a class, if labels are classes.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(Y, X)``, as corrected.
    meaning : Classes or None
        What labels mean; None while the list of classes is closed.

    Raises
    ------
    InputError
        If one has none.
    """
    if meaning is None or meaning.kind != "semantic":
        return
    known = {0, IGNORE, *(one.label for one in meaning.classes)}
    if unknown := sorted(set(np.unique(labels).tolist()) - known):
        raise InputError(
            f"The label {some([str(n) for n in unknown])} is no class: add it to the "
            "list of classes, or paint it over; for separate objects close the list, "
            "or say there that labels are objects."
        )


def rectangle(
    shapes: Shapes,
    labels: Labels,
    plane: tuple[int | None, ...],
    shape: tuple[int, ...],
) -> Region:
    """Find the part of a plane that a rectangle covers.

    Parameters
    ----------
    shapes : Shapes
        With one selected shape, or with one alone; its bounding box counts.
    labels : Labels
        Labels that the rectangle is drawn over.
    plane : tuple
        Index of the plane of the labels.
    shape : tuple of int
        Height and width of the plane.

    Returns
    -------
    Region
        Within the plane, of at least one pixel.

    Raises
    ------
    InputError
        If it is not clear which rectangle, or it lies outside.
    """
    chosen = sorted(shapes.selected_data) or list(range(shapes.nshapes))
    if len(chosen) != 1:
        raise InputError(
            f"Select one rectangle in {shapes.name}; "
            f"{len(chosen) or 'none'} could be meant."
        )
    axes = [axis for axis, index in enumerate(plane) if index is None]
    corners = []
    for vertex in np.asarray(shapes.data[chosen[0]]):
        world = np.asarray(shapes.data_to_world(vertex))[-labels.ndim :]
        corners.append(np.asarray(labels.world_to_data(world))[axes])
    # Pixel n covers n - 0.5 to n + 0.5.
    low = np.floor(np.min(corners, axis=0) + 0.5).astype(int).clip(0, shape)
    high = np.floor(np.max(corners, axis=0) + 0.5).astype(int).clip(0, shape)
    if (high <= low).any():
        raise InputError(f"The rectangle in {shapes.name} is outside the image.")
    return int(low[0]), int(high[0]), int(low[1]), int(high[1])


def same_pixels(
    training_set: TrainingSet, image: np.ndarray, name: str
) -> Sample | None:
    """Find the correction of the very same pixels, by the hash that the set notes.

    Two corrections of one image would contradict each other, and one of them could be
    held out to judge what was trained on the other.

    Parameters
    ----------
    training_set : TrainingSet
        The corrections to search.
    image : numpy.ndarray
        ``(Y, X)`` or ``(Y, X, C)``.
    name : str
        Of its layer. In a set made by hand, which notes no hashes, only the image of
        this name is looked at: reading all of them would keep napari waiting.

    Returns
    -------
    Sample or None
        The first one.
    """
    content = content_hash(image)
    for sample in training_set.samples():
        known = sample.info.get("hash")
        if known == content:
            return sample
        if known is None and sample.name == name:
            with suppress(InputError):
                stored = read_image(sample.image)
                if stored.shape == image.shape and np.array_equal(stored, image):
                    return sample
    return None
