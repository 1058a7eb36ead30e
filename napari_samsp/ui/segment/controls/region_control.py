"""Which part of an image is segmented: the whole, or what shapes were drawn around."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Shapes
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_samsp.inference.region import Region
from napari_samsp.ui.placement import placement_of
from napari_samsp.ui.planes import first_scale
from napari_samsp.ui.widgets.layer_chooser import LayerChooser
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    import napari

    from napari_samsp.data.plane_view import PlaneIndex

LAYER = "Segment here"
WHOLE = "Whole image"
ROUND = 64
"""Corners of the polygon that stands for an ellipse."""
AREAS = ("rectangle", "polygon", "ellipse")


class RegionControl(QWidget):
    """A layer of shapes, or none, and a button that makes one to draw in.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Viewer whose layers are meant.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._image: Image | None = None
        self.layer = LayerChooser(
            viewer,
            Shapes,
            nothing=WHOLE,
            name="samsp_segment_region",
            tooltip="Segment only inside the shapes of this layer, the selected ones\n"
            "or all; of a stack on every slice. Outside nothing is labelled",
        )
        self.layer.native.setObjectName("samsp_segment_region")
        self.draw = QPushButton("Draw")
        self.draw.setObjectName("samsp_draw_region")
        self.draw.setToolTip(
            "Adds a Shapes layer to draw rectangles in; napari's polygon tool does too"
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.layer.native, 1)
        row.addWidget(self.draw)
        self.draw.clicked.connect(self._on_draw)

    def show_layer(self, image: Image | None) -> None:
        """Draw regions on another image.

        Parameters
        ----------
        image : Image or None
            Image on which a region is drawn.
        """
        self._image = image
        self.draw.setEnabled(image is not None)

    def region_on(self, image: Image, plane: PlaneIndex) -> Region | None:
        """The region of a plane that is to be segmented.

        Parameters
        ----------
        image : Image
            Image layer whose plane is meant.
        plane : PlaneIndex
            Index of the plane, or of one of several.

        Returns
        -------
        Region or None
            None for all of it.

        Raises
        ------
        InputError
            If the layer has no areas, or none on the image.
        """
        shapes = self.layer.layer
        if shapes is None or shapes not in self._viewer.layers:
            return None
        return drawn_region(shapes, image, plane)

    def _on_draw(self) -> None:
        image = self._image
        if image is None:
            return
        chosen = self.layer.layer
        if chosen is None:
            chosen = self._viewer.add_shapes(
                ndim=image.ndim,
                name=LAYER,
                edge_color="yellow",
                edge_width=2,
                face_color="transparent",
                **placement_of(image),
            )
            self.layer.refresh()
            self.layer.choose(chosen)
        self._viewer.layers.selection.active = chosen
        chosen.mode = "add_rectangle"


def drawn_region(shapes: Shapes, image: Image, plane: PlaneIndex) -> Region:
    """Find the pixels of a plane that shapes cover.

    Parameters
    ----------
    shapes : Shapes
        Rectangles, polygons and ellipses, anyhow placed; the selected ones, or all.
        Lines count for nothing.
    image : Image
        Image layer, however it is placed in the world.
    plane : PlaneIndex
        Of the image; on which slice a shape was drawn does not matter.

    Raises
    ------
    InputError
        If there are no areas, or they are outside.
    """
    chosen = sorted(shapes.selected_data) or list(range(shapes.nshapes))
    kinds = shapes.shape_type
    chosen = [n for n in chosen if kinds[n] in AREAS]
    if not chosen:
        raise InputError(
            f"{shapes.name} has no rectangle, polygon or ellipse: draw one around what "
            f"is to be segmented, or choose {WHOLE} as the region."
        )
    axes = [axis for axis, index in enumerate(plane) if index is None]
    polygons = []
    for n in chosen:
        vertices = np.asarray(shapes.data[n], float)
        if kinds[n] == "ellipse":
            vertices = _around(vertices)
        world = [shapes.data_to_world(vertex) for vertex in vertices]
        within = np.array([image.world_to_data(one) for one in world])
        polygons.append(within[:, axes])
    shape = first_scale(image).shape
    return Region.of(polygons, (shape[axes[0]], shape[axes[1]]))


def _around(corners: np.ndarray) -> np.ndarray:
    """A polygon for the ellipse in four corners, ``(4, D)``."""
    middle = corners.mean(0)
    one, other = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angles = np.linspace(0, 2 * np.pi, ROUND, endpoint=False)[:, None]
    polygon: np.ndarray = middle + np.cos(angles) * one + np.sin(angles) * other
    return polygon
