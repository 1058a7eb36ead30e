"""A result's classes: in the colours of its layer, and in the layer's features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_samsp.ui.planes import plane_within
from napari_samsp.ui.result_layers import source_of
from napari_samsp.ui.widgets.class_colors import color_by_class, color_objects
from napari_samsp.ui.widgets.object_classes import tell_classes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Labels

    from napari_samsp.data.training_sets.classes import LabelClass
    from napari_samsp.ui.segment.segment_steps import Segmented


def show_classes(
    layer: Labels, step: Segmented, classes: Sequence[LabelClass], objects: bool
) -> None:
    """Let a result's layer know the classes of a plane.

    Parameters
    ----------
    layer : Labels
        A result's layer, with its `Source`.
    step : Segmented
        Result of the plane.
    classes : sequence of LabelClass
        Those of the model; without any nothing changes.
    objects : bool
        Whether labels are objects, each with a class; else they are classes.
    """
    if not classes:
        return
    if not objects:
        color_by_class(layer, classes)
        return
    if step.object_classes is None:
        return  # of a stored result the first rounds tell none
    names = {one.label: one.name for one in classes}
    numbers = step.object_classes.tolist()
    found = {n: names[c] for n, c in enumerate(numbers) if n and c}
    source = source_of(layer)
    by_slice = source is not None and source.by_slice
    page = plane_within(step.plane, layer) if by_slice else None
    if tell_classes(layer, page, found):
        color_objects(layer, classes)
