"""Which axis of an image holds channels, and how many of its slices are segmented."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QGridLayout, QSizePolicy, QWidget

from napari_samsp.ui.planes import Channels, first_scale, plane_axes

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Image

    from napari_samsp.data.plane_view import PlaneIndex

CHANNEL_NAMES = ("c", "ch", "channel", "channels")
COLOURS = ("Red", "Green", "Blue")
NO_COLOUR = "none"
THIS_SLICE = "This slice"


def axis_name(layer: Image, dims: Dims, axis: int) -> str:
    """Name of an axis: its layer's, else the viewer's, else its number.

    Parameters
    ----------
    layer : Image
        Layer whose axis is named.
    dims : Dims
        The viewer's dims model.
    axis : int
        Index of the axis, from 0.

    Returns
    -------
    str
        Such as ``z`` or ``axis 0``.
    """
    for label in (layer.axis_labels[axis], dims.axis_labels[axis - layer.ndim]):
        if label and not label.lstrip("-").isdigit():
            return str(label)
    return f"axis {axis}"


def compact_combo(name: str, tooltip: str = "") -> QComboBox:
    """A drop-down that long entries do not widen.

    Parameters
    ----------
    name : str
        Object name of the widget, by which it is found.
    tooltip : str, optional
        What it is for.

    Returns
    -------
    QComboBox
        A combo box without items.
    """
    combo = QComboBox()
    combo.setObjectName(name)
    combo.setToolTip(tooltip)
    combo.setMinimumWidth(40)
    combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return combo


class ChannelChooser(QWidget):
    """Says where the channels are, and which are read; emits ``changed``.

    An axis that is labelled as channels is taken as such; what a user chooses for a
    layer is remembered as long as the layer lives.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._layer: Image | None = None
        self._dims: Dims | None = None
        self._chosen: WeakKeyDictionary[Image, int | None] = WeakKeyDictionary()
        self.axis = compact_combo("samsp_channel_axis", "The axis that holds channels")
        self.what = compact_combo(
            "samsp_channel", "Segment one channel, or up to three as colours"
        )
        self.colours = [compact_combo(f"samsp_{name.lower()}") for name in COLOURS]
        for combo, name in zip(self.colours, COLOURS, strict=True):
            combo.setToolTip(f"The channel that is read as {name.lower()}")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.axis, 0, 0, 1, 3)
        grid.addWidget(self.what, 0, 3, 1, 3)
        for n, combo in enumerate(self.colours):
            grid.addWidget(combo, 1, 2 * n, 1, 2)
        self.axis.activated.connect(self._on_axis)
        self.what.currentIndexChanged.connect(self._on_what)
        for combo in self.colours:
            combo.currentIndexChanged.connect(lambda _: self.changed.emit())

    def show_layer(self, layer: Image | None, dims: Dims) -> None:
        """Offer the axes of a layer.

        Parameters
        ----------
        layer : Image or None
            The chosen image.
        dims : Dims
            The viewer's dims model.
        """
        self._layer, self._dims = layer, dims
        blocked = self.axis.blockSignals(True)
        self.axis.clear()
        self.axis.addItem("no channels", None)
        if layer is not None and layer.ndim > 2:
            for n, side in enumerate(first_scale(layer).shape[: layer.ndim]):
                self.axis.addItem(f"{axis_name(layer, dims, n)} ({side})", n)
            axis = self._chosen.get(layer, self._labelled(layer))
            self.axis.setCurrentIndex(self.axis.findData(axis))
        self.axis.blockSignals(blocked)
        self._offer_channels()

    @property
    def channel_axis(self) -> int | None:
        """The axis that holds channels."""
        return self.axis.currentData()

    @property
    def channels(self) -> Channels | None:
        """The channels to read; "the shown one" is that which the viewer shows now."""
        axis, layer, dims = self.channel_axis, self._layer, self._dims
        if axis is None or layer is None or dims is None:
            return None
        what = self.what.currentData()
        if what == "colours":
            picked = [combo.currentData() for combo in self.colours]
            return Channels(axis, tuple(c for c in picked if c is not None))
        if what is None:
            position = round(layer.world_to_data(dims.point)[axis])
            last = first_scale(layer).shape[axis] - 1
            return Channels(axis, (min(max(position, 0), last),))
        return Channels(axis, (what,))

    def _labelled(self, layer: Image) -> int | None:
        if self._dims is None:
            return None
        names = [axis_name(layer, self._dims, n).lower() for n in range(layer.ndim)]
        return next((n for n, name in enumerate(names) if name in CHANNEL_NAMES), None)

    def _on_axis(self, _index: int) -> None:
        if self._layer is not None:
            self._chosen[self._layer] = self.channel_axis
        self._offer_channels()
        self.changed.emit()

    def _offer_channels(self) -> None:
        axis, layer = self.channel_axis, self._layer
        self.what.setVisible(axis is not None)
        if axis is not None and layer is not None:
            count = first_scale(layer).shape[axis]
            if count != self.what.count() - (2 if count > 1 and not layer.rgb else 1):
                self._fill(count, with_colours=count > 1 and not layer.rgb)
        self._on_what()

    def _fill(self, count: int, with_colours: bool) -> None:
        for combo in (self.what, *self.colours):
            blocked = combo.blockSignals(True)
            combo.clear()
            if combo is self.what:
                combo.addItem("the shown one", None)
                if with_colours:
                    combo.addItem("as colours", "colours")
            for channel in range(count):
                combo.addItem(f"channel {channel}", channel)
            combo.blockSignals(blocked)
        self.colours[2].insertItem(0, NO_COLOUR, None)
        for n, combo in enumerate(self.colours):
            for row in range(combo.count()):
                text = combo.itemText(row).removeprefix("channel ")
                combo.setItemText(row, f"{COLOURS[n]}: {text}")
            blocked = combo.blockSignals(True)
            combo.setCurrentIndex(combo.findData(n if n < count else None))
            combo.blockSignals(blocked)

    def _on_what(self, *_: int) -> None:
        mapped = self.channel_axis is not None and self.what.currentData() == "colours"
        for combo in self.colours:
            combo.setVisible(mapped)
        self.changed.emit()


def _only_one(other: QCheckBox, ticked: bool) -> None:
    if ticked:
        other.setChecked(False)


class SliceChooser(QWidget):
    """The slice that is shown, all along one axis, or all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.combo = compact_combo(
            "samsp_slices",
            "Segment the slice that is shown, or every slice into one layer an\n"
            "iteration; what is done stays when you stop",
        )
        self.follow = QCheckBox("Follow slices")
        self.follow.setObjectName("samsp_follow_slices")
        self.follow.setToolTip(
            "Prompt each slice first by the result of the one before, from the slice\n"
            "that is shown to both ends. Helps where single slices are bad; where all\n"
            "are good, slices by themselves are better."
        )
        self.link = QCheckBox("Link")
        self.link.setObjectName("samsp_link_slices")
        self.link.setToolTip(
            "Segment each slice by itself, then give objects that overlap from slice\n"
            "to slice one number; one slice in between may lack them. Needs Separate\n"
            "objects"
        )
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setColumnStretch(0, 1)
        layout.addWidget(self.combo, 0, 0)
        layout.addWidget(self.follow, 0, 1)
        layout.addWidget(self.link, 0, 2)
        self.combo.currentIndexChanged.connect(self._on_combo)
        # Slices that follow each other are linked already.
        for box, other in ((self.follow, self.link), (self.link, self.follow)):
            box.toggled.connect(partial(_only_one, other))

    @property
    def follow_axis(self) -> int | None:
        """The axis along which a slice is prompted by the one before, or None."""
        return self.along[-1] if self.along and self.follow.isChecked() else None

    @property
    def link_axis(self) -> int | None:
        """The axis along which objects that overlap get one number, or None."""
        return self.along[-1] if self.along and self.link.isChecked() else None

    def _on_combo(self, _index: int) -> None:
        for box in (self.follow, self.link):
            box.setVisible(bool(self.along))

    @property
    def along(self) -> tuple[int, ...]:
        """The axes whose slices are segmented; none for the slice that is shown."""
        return self.combo.currentData() or ()

    def show_layer(
        self, layer: Image | None, dims: Dims, channel_axis: int | None
    ) -> None:
        """Offer the slices of a layer.

        Parameters
        ----------
        layer : Image or None
            The chosen image.
        dims : Dims
            The viewer's dims model.
        channel_axis : int or None
            The layer's channel axis, if it has one.
        """
        chosen = self.combo.currentText()
        self.combo.clear()
        self.combo.addItem(THIS_SLICE, ())
        if layer is not None:
            shape = first_scale(layer).shape
            plane: PlaneIndex = plane_axes(layer, dims, channel_axis)
            cut = tuple(
                axis
                for axis in range(layer.ndim)
                if axis not in (*plane, channel_axis) and shape[axis] > 1
            )
            if len(cut) > 1:
                for axis in cut:
                    name = axis_name(layer, dims, axis)
                    text = f"All {shape[axis]} along {name} here"
                    self.combo.addItem(text, (axis,))
            if cut:
                count = 1
                for axis in cut:
                    count *= shape[axis]
                self.combo.addItem(f"All {count} slices", cut)
        self.combo.setCurrentIndex(max(0, self.combo.findText(chosen)))

    @property
    def has_choice(self) -> bool:
        """Whether there is more than one slice."""
        return self.combo.count() > 1
