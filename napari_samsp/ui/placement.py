"""Where a layer lies in the world, and labels on their image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.transforms import Affine

from napari_samsp.ui.planes import first_scale

if TYPE_CHECKING:
    from napari.layers import Image, Layer

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.ui.planes import Channels


def placement_of(layer: Layer) -> dict[str, Any]:
    """Arguments that put another layer of as many axes in the same place.

    Parameters
    ----------
    layer : Layer
        An image, or labels.

    Returns
    -------
    dict
        Keyword arguments of a layer.
    """
    return {
        "scale": layer.scale,
        "translate": layer.translate,
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine,
        "units": layer.units,
    }


def labels_shape(
    layer: Image, plane: PlaneIndex, along: tuple[int, ...] = ()
) -> tuple[int, ...]:
    """Shape of labels that lie on a plane of an image, or on several.

    Parameters
    ----------
    layer : Image
        What was segmented.
    plane : PlaneIndex
        Index of the plane, or of one of several.
    along : tuple of int
        Axes that the labels share with the image beside the plane's two.

    Returns
    -------
    tuple of int
        One entry per data axis; 1 where the image is cut.
    """
    shape = first_scale(layer).shape
    return tuple(
        shape[axis] if index is None or axis in along else 1
        for axis, index in enumerate(plane)
    )


def labels_placement(
    layer: Image,
    plane: PlaneIndex,
    along: tuple[int, ...] = (),
    channels: Channels | None = None,
) -> dict[str, Any]:
    """Arguments that place labels on the pixels that they belong to.

    Parameters
    ----------
    layer : Image
        What was segmented.
    plane, along
        As for `labels_shape`.
    channels : Channels, optional
        The labels, of length 1 along their axis, are made as thick as all channels:
        they show whichever channel is shown.

    Returns
    -------
    dict
        Keyword arguments of a Labels layer.
    """
    origin = np.array(
        [0 if i is None or axis in along else i for axis, i in enumerate(plane)], float
    )
    scale = np.array(layer.scale, float)
    linear = Affine(
        scale=scale, rotate=layer.rotate, shear=layer.shear, ndim=layer.ndim
    ).linear_matrix
    if channels is not None:
        count = first_scale(layer).shape[channels.axis]
        origin[channels.axis] = (count - 1) / 2
        scale[channels.axis] *= count
    return placement_of(layer) | {
        "scale": scale,
        "translate": np.asarray(layer.translate) + linear @ origin,
        "axis_labels": layer.axis_labels,
    }
