"""A drop-down of the viewer's layers of one type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from napari.layers import Layer

if TYPE_CHECKING:
    import napari

MAP_KEY = "samsp_map"
"""In the metadata of images that are drawn by us: they are no input."""


class LayerChooser(ComboBox):
    """Lists layers of a type; the choice survives other layers' coming and going.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer whose layers are offered.
    kind : type
        Type of the layers that are offered, such as `napari.layers.Image`.
    nothing : str, optional
        Text of a first choice that is no layer.
    **options
        Passed on to `magicgui.widgets.ComboBox`.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        kind: type[Layer],
        nothing: str | None = None,
        **options: Any,
    ) -> None:
        self._viewer = viewer
        self._kind = kind
        self._nothing = nothing
        super().__init__(choices=self._layers, nullable=False, **options)
        # Long layer names must not widen the dock.
        self.native.setMinimumContentsLength(12)
        self.native.setSizeAdjustPolicy(
            self.native.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )

    @property
    def layer(self) -> Layer | None:
        """The chosen layer."""
        return self.value

    def choose(self, layer: Layer | None) -> None:
        """Choose a layer if it is listed.

        Parameters
        ----------
        layer : Layer or None
            One of the viewer's.
        """
        if layer in self.choices:
            self.value = layer

    def refresh(self) -> None:
        """Read the layer list again and keep the choice."""
        chosen = self.value
        with self.changed.blocked():
            self.reset_choices()
            self.choose(chosen)
        if self.value != chosen:
            self.changed.emit(self.value)

    def _layers(self, _widget: Any = None) -> list[tuple[str, Layer | None]]:
        layers: list[tuple[str, Layer | None]] = [
            (layer.name, layer)
            for layer in self._viewer.layers
            if isinstance(layer, self._kind) and not layer.metadata.get(MAP_KEY)
        ]
        return ([(self._nothing, None)] if self._nothing else []) + layers
