"""The commands of napari's menus and command palette, and their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari.viewer
from qtpy.QtWidgets import QPushButton

from napari_samsp.ui.widgets.plain_text import show_info

if TYPE_CHECKING:
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
    "samsp_propagate": "G",
}
"""Key of each button, by its object name, while the widget is open."""


def opened_widget(viewer: napari.viewer.Viewer) -> SamSpWidget:
    """The dock widget, which is opened if it is not.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where.

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
        Given by napari.
    """
    opened_widget(viewer)


def segment(viewer: napari.viewer.Viewer) -> None:
    """Segment the chosen image.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_segment")


def show_disagreement(viewer: napari.viewer.Viewer) -> None:
    """Show where the iterations disagree.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_disagreement")


def show_next_slice(viewer: napari.viewer.Viewer) -> None:
    """Go to the slice of a stack of which the model is least sure.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_next_slice")


def keep_correction(viewer: napari.viewer.Viewer) -> None:
    """Store the corrected labels in the correction set.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_keep")


def open_correction(viewer: napari.viewer.Viewer) -> None:
    """Open the selected correction as layers.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_open_correction")


def replace_correction(viewer: napari.viewer.Viewer) -> None:
    """Store the chosen labels in place of the selected correction.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_replace_correction")


def remove_correction(viewer: napari.viewer.Viewer) -> None:
    """Take the selected correction out of the set.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_remove_correction")


def undo_remove(viewer: napari.viewer.Viewer) -> None:
    """Put the correction back that was removed last.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_undo_correction")


def finetune(viewer: napari.viewer.Viewer) -> None:
    """Fine-tune on the correction set.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_finetune")


def stop(viewer: napari.viewer.Viewer) -> None:
    """Stop segmenting, or else training.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_stop")


def tool_add(viewer: napari.viewer.Viewer) -> None:
    """Add objects by clicks or boxes.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_tool_add")


def tool_fix(viewer: napari.viewer.Viewer) -> None:
    """Change objects by clicks.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_tool_fix")


def tool_split(viewer: napari.viewer.Viewer) -> None:
    """Split merged objects by clicks.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_tool_split")


def tool_merge(viewer: napari.viewer.Viewer) -> None:
    """Merge objects by clicks.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_tool_merge")


def tool_erase(viewer: napari.viewer.Viewer) -> None:
    """Erase objects by clicks.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_tool_erase")


def propagate(viewer: napari.viewer.Viewer) -> None:
    """Follow the clicked object through the slices of a stack.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_propagate")


def measure(viewer: napari.viewer.Viewer) -> None:
    """Measure the objects of the chosen labels.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_measure")


def save_table(viewer: napari.viewer.Viewer) -> None:
    """Measure the objects of the chosen labels, and save a row for each.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_save_table")


def import_labels(viewer: napari.viewer.Viewer) -> None:
    """Read labels of the chosen image from another program's file.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_import")


def export_labels(viewer: napari.viewer.Viewer) -> None:
    """Write the labels that are shown for another program.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_export")


def open_folder(viewer: napari.viewer.Viewer) -> None:
    """List the images of a folder.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_open_folder")


def previous_image(viewer: napari.viewer.Viewer) -> None:
    """Go to the image before in the list.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_previous")


def next_image(viewer: napari.viewer.Viewer) -> None:
    """Go to the next image of the list.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_next")


def keep_and_next(viewer: napari.viewer.Viewer) -> None:
    """Keep the labels of the list's image, and go to the next one.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_keep_next")


def segment_all(viewer: napari.viewer.Viewer) -> None:
    """Segment all images of the list, or stop that.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_segment_all")


def save_all(viewer: napari.viewer.Viewer) -> None:
    """Measure the objects of all images of the list, and save a row for each.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    press(opened_widget(viewer), "samsp_save_all")
