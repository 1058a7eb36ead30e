"""The form with all settings of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_samsp.data.image_source import LARGE_PIXELS
from napari_samsp.ui.models.adapter_chooser import AdapterChooser
from napari_samsp.ui.models.model_chooser import ModelChooser
from napari_samsp.ui.placement import labels_shape
from napari_samsp.ui.planes import (
    PlaneReader,
    plane_axes,
    planes_along,
    shown_plane,
)
from napari_samsp.ui.segment.controls.axis_choosers import (
    ChannelChooser,
    SliceChooser,
)
from napari_samsp.ui.segment.controls.cleanup_control import CleanupControl
from napari_samsp.ui.segment.controls.object_size_control import ObjectSizeControl
from napari_samsp.ui.segment.controls.region_control import RegionControl
from napari_samsp.ui.segment.controls.scaling_control import ScalingControl
from napari_samsp.ui.segment.large_plane import LargeResult, LazyPlane
from napari_samsp.ui.segment.segment_steps import SegmentRequest
from napari_samsp.ui.segment.stack_result import StackResult
from napari_samsp.ui.widgets.layer_chooser import LayerChooser
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    import napari

DEFAULT_ITERATIONS = 3
MOST_ITERATIONS = 6
SEPARATE = "Separate objects (cells, nuclei)"
"""Otherwise one region."""
NO_IMAGE = "Open an image first, such as File > Open Sample > SAM-SP."


class SegmentForm(QWidget):
    """Image, model and settings; what is rarely set is folded under More.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Viewer whose images can be chosen.
    """

    axes_changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.image = LayerChooser(viewer, Image, tooltip="The image to segment")
        self.hint = QLabel(NO_IMAGE)
        self.hint.setWordWrap(True)
        self.slices = SliceChooser()
        self.channels = ChannelChooser()
        self.scaling = ScalingControl()
        self.model = ModelChooser()
        self.adapter = AdapterChooser()
        self.iterations = QSpinBox()
        self.iterations.setObjectName("samsp_iteration_count")
        self.iterations.setRange(1, MOST_ITERATIONS)
        self.iterations.setValue(DEFAULT_ITERATIONS)
        self.iterations.setToolTip(
            "Round 0 looks at the image alone; each further round also sees what the\n"
            "one before found, and refines it"
        )
        self.objects = QCheckBox(SEPARATE)
        self.objects.setObjectName("samsp_objects")
        self.objects.setToolTip(
            "On: every object gets its own label, also those that touch: for cells,\n"
            "nuclei, particles.\n"
            "Off: one region an image, with one label: for a lesion, a lining."
        )
        self.object_size = ObjectSizeControl(viewer)
        self.region = RegionControl(viewer)
        self.cleanup = CleanupControl(self)
        self.more_button = QToolButton()
        self.more_button.setObjectName("samsp_more")
        self.more_button.setCheckable(True)
        self.more_button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.more_button.setToolTip(
            "A region of the image, threshold, least size, holes"
        )
        self._lay_out()
        self.image.changed.connect(self.refresh_axes)
        self.channels.changed.connect(self._on_channels)
        self.slices.combo.currentIndexChanged.connect(self._on_slices)
        self.more_button.toggled.connect(self._show_more)
        self.region.layer.changed.connect(self._show_more)
        self.cleanup.changed.connect(self._show_more)
        self._show_more()

    def refresh_axes(self, *_: Any) -> None:
        """Offer what the chosen image has: channels, slices, contrast limits."""
        self.channels.show_layer(self.image.layer, self._viewer.dims)
        self._on_channels()

    def update_state(self) -> None:
        """Show the rows that the chosen image needs."""
        image = self.image.layer
        self.hint.setVisible(image is None)
        self.object_size.show_layer(image)
        self.region.show_layer(image)
        stacked = image is not None and image.ndim > 2
        self._form.setRowVisible(self.channels, stacked)
        self._form.setRowVisible(self.slices, self.slices.has_choice)
        self._form.setRowVisible(self.scaling, image is not None)

    def request(self, image: Image) -> SegmentRequest:
        """What Segment is to do, as it is set and as the viewer shows it.

        Parameters
        ----------
        image : Image
            The image to segment.

        Raises
        ------
        InputError
            If settings do not go together.
        """
        channels, dims = self.channels.channels, self._viewer.dims
        plane, along = shown_plane(image, dims, channels), self.slices.along
        adapter, stack = self.adapter.adapter, None
        follow_axis, link_axis = self.slices.follow_axis, self.slices.link_axis
        iterations = self.iterations.value()
        read = PlaneReader.of(image, channels)
        large = LazyPlane(read, plane).is_large
        for what, axis in (("Follow slices", follow_axis), ("Link", link_axis)):
            if large and axis is not None:
                raise InputError(
                    f"A slice of {image.name} has more than {LARGE_PIXELS / 1e6:.0f} "
                    f"million pixels, too many for {what}: switch that off."
                )
        if link_axis is not None and not self.objects.isChecked():
            raise InputError(
                "Link gives objects one number through slices: tick Separate objects, "
                "or switch Link off."
            )
        if large or along:
            shape = labels_shape(image, plane, along)
            axes = plane_axes(image, dims, channels.axis if channels else None)
            stack = (LargeResult if large else StackResult)(shape, axes, iterations)
        planes = planes_along(image, plane, along, follow_axis is not None)
        if link_axis is not None:
            planes = tuple(sorted(planes, key=lambda one: [n or 0 for n in one]))
        return SegmentRequest(
            read=read,
            planes=planes,
            model=self.model.model,
            adapter=adapter.folder if adapter else None,
            iterations=iterations,
            objects=self.objects.isChecked(),
            scaling=self.scaling.scaling,
            same_limits=self.scaling.same.isChecked(),
            stack=stack,
            follow_axis=follow_axis,
            link_axis=link_axis,
            object_size=self.object_size.object_size,
            cleanup=self.cleanup.cleanup,
            region=self.region.region_on(image, plane),
        )

    def _on_channels(self) -> None:
        axis = self.channels.channel_axis
        self.slices.show_layer(self.image.layer, self._viewer.dims, axis)
        self._on_slices()

    def _on_slices(self, *_: Any) -> None:
        self.scaling.show_layer(self.image.layer, bool(self.slices.along))
        self.axes_changed.emit()

    def _show_more(self, *_: Any) -> None:
        shown = self.more_button.isChecked()
        count = (self.region.layer.layer is not None) + (
            not self.cleanup.cleanup.is_off
        )
        arrow = Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow
        self.more_button.setArrowType(arrow)
        self.more_button.setText(f"More ({count} set)" if count else "More")
        for row in (self.region, self.cleanup.threshold, self.cleanup.size_row):
            self._form.setRowVisible(row, shown)

    def _lay_out(self) -> None:
        form = self._form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rounds = QHBoxLayout()
        rounds.addWidget(self.iterations, 1)
        rounds.addWidget(self.more_button)
        form.addRow("Image", self.image.native)
        form.addRow(self.hint)
        form.addRow("Channels", self.channels)
        form.addRow("Slices", self.slices)
        form.addRow(self.scaling)
        form.addRow("Model", self.model)
        form.addRow("Adapter", self.adapter)
        form.addRow(self.objects)
        form.addRow("Object size", self.object_size)
        form.addRow("Rounds", rounds)
        form.addRow("Region", self.region)
        form.addRow("Threshold", self.cleanup.threshold)
        form.addRow("Least size", self.cleanup.size_row)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
