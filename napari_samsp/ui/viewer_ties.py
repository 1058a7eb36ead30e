"""Connections of the widget to its viewer, which are cut when the widget goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtWidgets import QPushButton

from napari_samsp.ui.commands import KEYS, press
from napari_samsp.ui.correct.class_list import CLASS_KEY, CLASS_KEYS

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_samsp.ui.widget import SamSpWidget


def watch(widget: SamSpWidget, viewer: napari.viewer.Viewer) -> None:
    """Tell a widget about the viewer's layers, their selection and the slider.

    Parameters
    ----------
    widget : SamSpWidget
        Hears nothing more once it is destroyed.
    viewer : napari.viewer.Viewer
        Can outlive it, and would call into a deleted object.
    """
    segmenting, dims = widget.segmenting, viewer.dims.events
    ties = widget.ties
    for name in ("inserted", "removed", "reordered", "renamed"):
        ties.connect(getattr(viewer.layers.events, name), widget.reset_choices)
    ties.connect(viewer.layers.selection.events.active, widget.follow_selection)
    for emitter in (dims.order, dims.ndim, dims.axis_labels):
        ties.connect(emitter, segmenting.refresh_axes)
    ties.connect(dims.current_step, segmenting.ahead.follow)


def bind_keys(widget: SamSpWidget, viewer: napari.viewer.Viewer) -> None:
    """Bind the keys of a widget's buttons, and write them into their tooltips.

    Parameters
    ----------
    widget : SamSpWidget
        Its keys go with it, unless somebody else took them.
    viewer : napari.viewer.Viewer
        The viewer in whose window they are pressed.
    """
    bound: dict[str, Callable[..., None]] = {}
    for name, key in KEYS.items():
        bound[key] = lambda _viewer, name=name: press(widget, name)
        viewer.bind_key(key, bound[key], overwrite=True)
        button = widget.findChild(QPushButton, name)
        button.setToolTip(f"{button.toolTip()}\nKey: {key}".strip())
    for row in range(CLASS_KEYS):
        key = f"Alt-{row + 1}"
        bound[key] = lambda _viewer, row=row: widget.correcting.class_list.pick(row)
        viewer.bind_key(key, bound[key], overwrite=True)
    objects = widget.correcting.object_classes
    bound[CLASS_KEY] = lambda _viewer, objects=objects: objects.set_under_cursor()
    viewer.bind_key(CLASS_KEY, bound[CLASS_KEY], overwrite=True)

    def unbind() -> None:
        for key, action in bound.items():
            if viewer.keymap.get(coerce_keybinding(key)) is action:
                viewer.bind_key(key, None)

    widget.ties.add(unbind)
