"""The commands of napari's menus and command palette, and their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari.viewer
from qtpy.QtWidgets import QPushButton

from napari_samsp.ui.widgets.plain_text import show_info

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_samsp.ui.widget import SamSpWidget

KEYS = {
    "samsp_segment": "Shift-S",
    "samsp_disagreement": "Shift-D",
    "samsp_keep": "Shift-K",
    "samsp_finetune": "Shift-F",
    "samsp_stop": "Shift-X",
    "samsp_previous": "Shift-B",
    "samsp_next": "Shift-N",
    "samsp_keep_next": "Shift-G",
    # Single letters that napari leaves free with every kind of layer.
    "samsp_tool_add": "N",
    "samsp_tool_fix": "H",
    "samsp_tool_split": "K",
    "samsp_tool_merge": "J",
    "samsp_tool_erase": "W",
    "samsp_tool_find": "Q",
    "samsp_propagate": "G",
}
"""Key of each button, by its object name, while the widget is open."""


def opened_widget(viewer: napari.viewer.Viewer) -> SamSpWidget:
    """The dock widget, which is opened if it is not.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer that has the widget, or gets it.

    Returns
    -------
    SamSpWidget
        The one of this viewer.
    """
    _, widget = viewer.window.add_plugin_dock_widget("napari-samsp", "SAM-SP")
    return widget


def press(widget: SamSpWidget, name: str) -> None:
    """Do what a button of the widget does, or say that it cannot be done now.

    Parameters
    ----------
    widget : SamSpWidget
        The dock widget.
    name : str
        The button's object name.
    """
    button = widget.findChild(QPushButton, name)
    assert button is not None, name
    if button.isEnabled():
        button.click()
    else:
        show_info(f"SAM-SP: {button.text()} is not possible now.")


def open_widget(viewer: napari.viewer.Viewer) -> None:
    """Open the dock widget, or show it if it is open.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Viewer, which napari injects.
    """
    opened_widget(viewer)


def _pressing(button: str) -> Callable[[napari.viewer.Viewer], None]:
    """Make a command that opens the widget if needed and presses a button of it."""

    def command(viewer: napari.viewer.Viewer) -> None:
        press(opened_widget(viewer), button)

    return command


# What each does is its title in napari.yaml.
segment = _pressing("samsp_segment")
show_disagreement = _pressing("samsp_disagreement")
show_next_slice = _pressing("samsp_next_slice")
keep_correction = _pressing("samsp_keep")
open_correction = _pressing("samsp_open_correction")
replace_correction = _pressing("samsp_replace_correction")
remove_correction = _pressing("samsp_remove_correction")
undo_remove = _pressing("samsp_undo_correction")
finetune = _pressing("samsp_finetune")
stop = _pressing("samsp_stop")
tool_add = _pressing("samsp_tool_add")
tool_fix = _pressing("samsp_tool_fix")
tool_split = _pressing("samsp_tool_split")
tool_merge = _pressing("samsp_tool_merge")
tool_erase = _pressing("samsp_tool_erase")
tool_find = _pressing("samsp_tool_find")
propagate = _pressing("samsp_propagate")
measure = _pressing("samsp_measure")
save_table = _pressing("samsp_save_table")
import_labels = _pressing("samsp_import")
export_labels = _pressing("samsp_export")
open_folder = _pressing("samsp_open_folder")
previous_image = _pressing("samsp_previous")
next_image = _pressing("samsp_next")
keep_and_next = _pressing("samsp_keep_next")
segment_all = _pressing("samsp_segment_all")
save_all = _pressing("samsp_save_all")
