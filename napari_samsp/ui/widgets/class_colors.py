"""Labels that are classes, in the classes' colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.colormaps import DirectLabelColormap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Labels

    from napari_samsp.data.training_sets.classes import LabelClass


def color_by_class(layer: Labels, classes: Sequence[LabelClass]) -> None:
    """Give each class of a semantic layer its colour, and tell its name below.

    Parameters
    ----------
    layer : Labels
        Whose labels are classes.
    classes : sequence of LabelClass
        Other labels become gray.
    """
    colors: dict[int | None, str] = {one.label: one.color for one in classes}
    layer.colormap = DirectLabelColormap(
        color_dict={0: "transparent", None: "gray", **colors}
    )
    layer.features = {
        "index": [one.label for one in classes],
        "class": [one.name for one in classes],
    }
