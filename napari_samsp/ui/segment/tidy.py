"""Results that a new run of the same kind replaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Labels

from napari_samsp.ui.result_layers import (
    RESULT_KEY,
    image_of,
    is_untouched,
    result_name,
    source_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari
    from napari.layers import Image

SAME = ("model", "adapter", "objects", "slice")
"""Figures that two runs share if the later one replaces the earlier."""


def replace_earlier(
    viewer: napari.viewer.Viewer, image: Image, new: Sequence[Labels]
) -> int:
    """Remove the results of earlier runs like this one that nobody edited or renamed.

    What another adapter or model gave stays, to be compared, and so do results of all
    slices of a stack, and of another region.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Viewer that shows the layers.
    image : Image
        What was segmented.
    new : sequence of Labels
        The layers of the run that has ended.

    Returns
    -------
    int
        How many layers were removed.
    """
    if not new:
        return 0
    about = new[0].metadata[RESULT_KEY]
    old = [
        layer
        for layer in viewer.layers
        if isinstance(layer, Labels)
        and layer not in new
        and image_of(viewer, layer) is image
        and _is_replaceable(layer)
        and _window(layer) == _window(new[0])
        and all(layer.metadata[RESULT_KEY].get(k) == about.get(k) for k in SAME)
    ]
    for layer in old:
        viewer.layers.remove(layer)
    for layer in new:
        # napari had numbered them, since the names were taken.
        layer.name = result_name(layer.metadata[RESULT_KEY]["iteration"], image)
    return len(old)


def _is_replaceable(layer: Labels) -> bool:
    return (
        RESULT_KEY in layer.metadata
        and layer.name.startswith("SAM-SP ")
        and is_untouched(layer)
    )


def _window(layer: Labels) -> tuple[slice, slice] | None:
    source = source_of(layer)
    return source.window if source is not None else None
