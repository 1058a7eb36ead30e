"""Labels on dark images, drawn as bright outlines while they are corrected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.utils.colormaps import CyclicLabelColormap

if TYPE_CHECKING:
    from napari.layers import Image, Labels

DARK = 0.4
"""An image whose thumbnail is darker on average; 0 is black, 1 is white."""
LEAST_LIGHT = 0.6
"""Of every outline."""
WIDTH = 1
"""In pixels of the image."""
LIGHT = (0.2126, 0.7152, 0.0722)
"""How bright red, green and blue look."""


class Outlines:
    """Changes how one layer is shown, and changes it back.

    What the user chooses meanwhile stays: another contour, or another colormap.
    """

    def __init__(self) -> None:
        self._labels: Labels | None = None
        self._contour = 0
        self._before: CyclicLabelColormap | None = None
        self._bright: CyclicLabelColormap | None = None

    def show(self, labels: Labels, image: Image) -> None:
        """Outline a layer if its image is dark; another one is as it was before.

        Parameters
        ----------
        labels : Labels
            With napari's own colours; the colours of classes stay.
        image : Image
            What it is drawn over.
        """
        if self._labels is labels:
            return
        self.restore()
        plain = labels.contour == 0 and type(labels.colormap) is CyclicLabelColormap
        if not plain or not is_dark(image):
            return
        self._labels, self._contour = labels, labels.contour
        self._before = labels.colormap
        labels.colormap = bright(labels.colormap)
        labels.contour = WIDTH
        self._bright = labels.colormap

    def restore(self) -> None:
        """Show the layer as it was."""
        labels, self._labels = self._labels, None
        if labels is None:
            return
        if labels.contour == WIDTH:
            labels.contour = self._contour
        if labels.colormap is self._bright:
            labels.colormap = self._before


def is_dark(image: Image) -> bool:
    """Whether an image looks dark, by the thumbnail that napari has made of it."""
    light = image.thumbnail[..., :3] @ np.array(LIGHT) / 255
    seen = image.thumbnail[..., 3] > 0
    return bool(seen.any() and light[seen].mean() < DARK)


def bright(colormap: CyclicLabelColormap) -> CyclicLabelColormap:
    """The same hues, each as bright as `LEAST_LIGHT` at least.

    Parameters
    ----------
    colormap : CyclicLabelColormap
        Of labels.
    """
    colors = np.array(colormap.colors, np.float32)
    rgb = colors[:, :3] / colors[:, :3].max(1, keepdims=True).clip(1e-6)
    light = (rgb @ np.array(LIGHT, np.float32))[:, None]
    # As much white as it takes.
    white = ((LEAST_LIGHT - light) / (1 - light).clip(1e-6)).clip(0, 1)
    colors[:, :3] = rgb + white * (1 - rgb)
    colors[colormap.colors[:, 3] == 0] = 0
    return CyclicLabelColormap(
        colors=colors,
        seed=colormap.seed,
        background_value=colormap.background_value,
        name="bright labels",
    )
