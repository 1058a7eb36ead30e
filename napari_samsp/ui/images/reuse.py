"""The next image takes over the layers of the one before.

That is several times faster than to remove layers and to add others, brush, opacity and
colormap stay as the user set them, and drawing goes on with the same OpenGL objects:
vispy may crash when those of removed layers are deleted while other layers stay.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from napari.utils.colormaps import DirectLabelColormap

from napari_samsp.ui.result_layers import remember_source, source_of
from napari_samsp.ui.widgets.object_classes import take_over_classes

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer


def fits(old: Image, new: Image) -> bool:
    """Whether an image can take over another one's layer."""
    return old.ndim == new.ndim and old.rgb == new.rgb and not old.multiscale


def take_over_image(old: Image, new: Image) -> None:
    """Let a layer show another image.

    Parameters
    ----------
    old : Image
        A layer of a viewer.
    new : Image
        A layer of no viewer, which `fits`.
    """
    old.data = new.data
    old.contrast_limits_range = new.contrast_limits_range
    old.contrast_limits = new.contrast_limits
    _take_over(old, new)


def take_over_labels(old: Labels, new: Labels) -> None:
    """Let a layer show the labels of another image.

    Parameters
    ----------
    old : Labels
        In a viewer; what was undone in it is forgotten.
    new : Labels
        In none, with its `Source`.
    """
    old.data = new.data
    take_over_classes(old, new)
    if isinstance(new.colormap, DirectLabelColormap):
        old.colormap = new.colormap  # that of classes
    with suppress(AttributeError):
        old._reset_history()
    _take_over(old, new)
    source = source_of(new)
    if source is not None:
        remember_source(old, source)


def _take_over(old: Layer, new: Layer) -> None:
    for name in ("scale", "translate", "units", "axis_labels", "metadata"):
        setattr(old, name, getattr(new, name))
    old.name = new.name
    # Where corrections come from; napari has no public way to set it later.
    old._source = new.source
    old.visible = True
