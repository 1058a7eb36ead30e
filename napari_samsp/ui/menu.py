"""The entry in napari's Layers > Segment menu."""

from __future__ import annotations

import napari.viewer


def open_widget(viewer: napari.viewer.Viewer) -> None:
    """Open the dock widget, or show it if it is open.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """
    viewer.window.add_plugin_dock_widget("napari-samsp", "SAM-SP")
