"""The keys of the widget, bound to a viewer as long as the widget lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtWidgets import QPushButton

from napari_samsp.ui.commands import KEYS, press
from napari_samsp.ui.correct.class_list import CLASS_KEYS

if TYPE_CHECKING:
    import napari.viewer

    from napari_samsp.ui.widget import SamSpWidget


def bind_keys(widget: SamSpWidget, viewer: napari.viewer.Viewer) -> None:
    """Let keys press the widget's buttons, and say so in their tool tips.

    Parameters
    ----------
    widget : SamSpWidget
        The dock widget. When it is destroyed, the keys that are still its own are free
        again.
    viewer : napari.viewer.Viewer
        The viewer that has it.
    """
    bound = {}
    for name, key in KEYS.items():
        bound[key] = lambda _viewer, name=name: press(widget, name)
        viewer.bind_key(key, bound[key], overwrite=True)
        button = widget.findChild(QPushButton, name)
        line = f"{button.toolTip()}\nKey: {key}".strip()
        button.setToolTip(line)
    for row in range(CLASS_KEYS):
        key = f"Alt-{row + 1}"
        bound[key] = lambda _viewer, row=row: widget.correcting.class_list.pick(row)
        viewer.bind_key(key, bound[key], overwrite=True)

    def unbind() -> None:
        for key, action in bound.items():
            if viewer.keymap.get(coerce_keybinding(key)) is action:
                viewer.bind_key(key, None)

    widget.destroyed.connect(unbind)
