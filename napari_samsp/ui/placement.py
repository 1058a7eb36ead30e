"""Where a layer lies in the world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.layers import Layer


def placement_of(layer: Layer) -> dict[str, Any]:
    """What puts another layer of as many axes in the same place.

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
