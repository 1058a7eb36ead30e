"""Labels in the colours of classes: of those that they are, or that objects have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.colormaps import DirectLabelColormap

from napari_samsp.ui.widgets.object_classes import classes_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.layers import Labels

    from napari_samsp.data.training_sets.classes import LabelClass

NO_CLASS, UNCLASSED = "gray", "white"
"""The colours of labels that are no class, and of objects without one: seen on gray."""


def color_by_class(layer: Labels, classes: Sequence[LabelClass]) -> None:
    """Give each class of a semantic layer its colour, and tell its name below.

    Parameters
    ----------
    layer : Labels
        A layer whose labels are classes.
    classes : sequence of LabelClass
        Other labels become gray.
    """
    _color(layer, {one.label: one.color for one in classes}, NO_CLASS)
    layer.features = {
        "index": [one.label for one in classes],
        "class": [one.name for one in classes],
    }


def color_objects(
    layer: Labels,
    classes: Sequence[LabelClass],
    ahead: Mapping[int, str] | None = None,
) -> None:
    """Give each object of a layer the colour of its class.

    Parameters
    ----------
    layer : Labels
        Whose features tell the class of each object; one without becomes white.
    classes : sequence of LabelClass
        The classes that there are.
    ahead : mapping, optional
        Names of classes of labels that are to be painted.
    """
    colors = {one.name: one.color for one in classes}
    named = dict(ahead or {}) | classes_of(layer)
    known = {k: colors[name] for k, name in named.items() if name in colors}
    _color(layer, known, UNCLASSED)


def _color(layer: Labels, colors: Mapping[int, str], others: str) -> None:
    known: dict[int | None, str] = {0: "transparent", None: others}
    known.update(colors.items())
    layer.colormap = DirectLabelColormap(color_dict=known)
