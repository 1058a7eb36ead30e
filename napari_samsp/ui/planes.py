"""The 2D plane that a viewer shows of a layer, and how to put labels back onto it."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import Dims
from napari.layers import Image, Labels
from napari.utils.transforms import Affine

PlaneIndex = tuple[int | None, ...]
"""One entry a data axis: the index of an axis that is cut, None for the two shown."""


def shown_plane(layer: Image | Labels, dims: Dims) -> PlaneIndex:
    """Say which plane of a layer the viewer shows.

    Parameters
    ----------
    layer : Image or Labels
        With any number of dimensions.
    dims : Dims
        The viewer's.

    Returns
    -------
    PlaneIndex
        With exactly two None; positions beyond the layer are moved to its edge.
    """
    extra = dims.ndim - layer.ndim
    shown = [axis - extra for axis in dims.order if axis >= extra][-2:]
    position = layer.world_to_data(dims.point)
    shape = _first_scale(layer).shape
    return tuple(
        None
        if axis in shown
        else int(np.clip(round(position[axis]), 0, shape[axis] - 1))
        for axis in range(layer.ndim)
    )


def plane_data(layer: Image | Labels, index: PlaneIndex) -> Any:
    """Cut a plane out of a layer's data, at full resolution.

    Parameters
    ----------
    layer : Image or Labels
        Multiscale layers give their first scale.
    index : PlaneIndex
        Which plane.

    Returns
    -------
    array_like
        ``(Y, X)``, or ``(Y, X, C)`` of an RGB(A) layer; still lazy if the layer is.
    """
    return _first_scale(layer)[tuple(slice(None) if i is None else i for i in index)]


def labels_onto_plane(
    labels: np.ndarray, layer: Image, index: PlaneIndex
) -> tuple[np.ndarray, dict[str, Any]]:
    """Place labels of a plane so that they lie on that plane of the image.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(Y, X)``.
    layer : Image
        What was segmented.
    index : PlaneIndex
        Where.

    Returns
    -------
    tuple
        The labels, of length 1 along axes that were cut so that they show on their
        slice only, and keyword arguments of a Labels layer.
    """
    cut = tuple(axis for axis, i in enumerate(index) if i is not None)
    origin = [0 if i is None else i for i in index]
    linear = Affine(
        scale=layer.scale, rotate=layer.rotate, shear=layer.shear, ndim=layer.ndim
    ).linear_matrix
    return np.expand_dims(labels, cut), {
        "scale": layer.scale,
        "translate": np.asarray(layer.translate) + linear @ origin,
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine,
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }


def disagreement(iterations: list[np.ndarray]) -> np.ndarray:
    """Count, pixel by pixel, the iterations that say other than the last.

    Parameters
    ----------
    iterations : list of numpy.ndarray
        Labels of equal shape, first iteration first.

    Returns
    -------
    numpy.ndarray
        uint8; foreground or not is what counts.
    """
    last = iterations[-1] > 0
    differs = np.stack([(labels > 0) != last for labels in iterations])
    return differs.sum(axis=0, dtype=np.uint8)


def _first_scale(layer: Image | Labels) -> Any:
    return layer.data[0] if layer.multiscale else layer.data
