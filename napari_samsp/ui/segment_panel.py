"""Step 1: segment an image, and look at its iterations."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_samsp.core.errors import InputError
from napari_samsp.core.known_files import known_files, remember
from napari_samsp.ui.adapter_chooser import AdapterChooser
from napari_samsp.ui.axis_choosers import ChannelChooser, SliceChooser
from napari_samsp.ui.iteration_table import IterationTable
from napari_samsp.ui.large_plane import LARGE, LargeResult, LazyPlane
from napari_samsp.ui.layer_chooser import LayerChooser
from napari_samsp.ui.look_ahead import LookAhead
from napari_samsp.ui.model_chooser import ModelChooser
from napari_samsp.ui.plain_text import show_error, show_info
from napari_samsp.ui.planes import (
    PlaneReader,
    labels_shape,
    plane_axes,
    planes_along,
    shown_plane,
)
from napari_samsp.ui.result_layers import add_disagreement, source_of
from napari_samsp.ui.run_report import RunReport
from napari_samsp.ui.run_results import RunResults
from napari_samsp.ui.scaling_control import ScalingControl
from napari_samsp.ui.segment_run import SegmentRun
from napari_samsp.ui.segment_steps import Refused, Segmented, SegmentRequest
from napari_samsp.ui.stack_result import StackResult

if TYPE_CHECKING:
    import napari

    from napari_samsp.core.segmenter import Segmenter
    from napari_samsp.ui.adapters import Adapter
    from napari_samsp.ui.workplace import Loaded

DEFAULT_ITERATIONS = 3
MOST_ITERATIONS = 6
REPORT_MS = 500
"""Between two words about the time left."""
NO_IMAGE = "Open an image first, such as File > Open Sample > SAM-SP."


class SegmentPanel(QWidget):
    """Chooses image, model and adapter, and turns iterations into Labels layers.

    Signals: ``status`` (a line for the widget's foot), ``busy`` (whether it
    segments), ``labelled`` (a new result layer).

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where images come from and results go.
    """

    status = Signal(str)
    busy = Signal(bool)
    labelled = Signal(object)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.results: RunResults | None = None
        self._report: RunReport | None = None
        self._ticks = QTimer(self)
        self._ticks.setInterval(REPORT_MS)
        self._ticks.timeout.connect(self._tell_progress)
        self.device: str | None = None
        self.run = SegmentRun(self)
        self.run.loaded.connect(self._on_loaded)
        self.run.iterated.connect(self._on_iterated)
        self.run.skipped.connect(self._on_skipped)
        self.run.failed.connect(self._on_failed)
        self.run.ended.connect(self._on_ended)
        self.ahead = LookAhead(viewer.dims)
        self.destroyed.connect(self.ahead.stop)

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
            "Iteration 0 has no prompt; each further one is prompted by the one before"
        )
        self.objects = QCheckBox("One prompt per object")
        self.objects.setObjectName("samsp_objects")
        self.objects.setToolTip(
            "On: every object is refined by its own prompt and gets its own label,\n"
            "also those that touch: for cells, nuclei, particles.\n"
            "Off: one region an image, such as a lesion."
        )
        self.segment_button = QPushButton("Segment")
        self.segment_button.setObjectName("samsp_segment")
        self.segment_button.setToolTip("Needs no prompt")
        self.table = IterationTable()
        self.disagreement_button = QPushButton("Show disagreement")
        self.disagreement_button.setObjectName("samsp_disagreement")
        self.disagreement_button.setToolTip(
            "A map of how many iterations differ from the last: look there first"
        )
        self.next_button = QPushButton("Slice to correct next")
        self.next_button.setObjectName("samsp_next_slice")
        self.next_button.setToolTip(
            "Goes to the slice of which the iterations disagree most, then to the next"
        )
        self._lay_out()

        self.image.changed.connect(self.refresh_axes)
        self.channels.changed.connect(self._on_channels)
        self.slices.combo.currentIndexChanged.connect(self._on_slices)
        self.model.changed.connect(self._on_model)
        self.model.status.connect(self.status)
        self.adapter.changed.connect(self._on_adapter)
        self.segment_button.clicked.connect(self.segment)
        self.table.chosen.connect(self.show_iteration)
        self.disagreement_button.clicked.connect(self.show_disagreement)
        self.next_button.clicked.connect(self.show_next_slice)
        self.refresh_axes()

    @property
    def model_name(self) -> str:
        """The chosen base model, or its file's path."""
        return self.model.model

    def segment(self) -> None:
        """Start segmenting what the viewer shows of the chosen image, or all slices."""
        image = self.image.layer
        if image is None or image not in self._viewer.layers or self.run.running:
            self.update_state()
            return
        if self.model.is_missing:
            self.status.emit(self._how_to_get_model())
            return
        try:
            along, request = self.slices.along, self._request(image)
        except InputError as error:
            self.status.emit(str(error))
            show_error(str(error))
            return
        self.results = RunResults(self._viewer, image, request, along)
        self._report = RunReport(self.results)
        self._hide_results()
        self.table.clear_rows()
        self.status.emit("Loading the model…")
        ahead = self.ahead.give_way(request)
        self.run.start(request, f"SAM-SP: {image.name}", ahead)
        self.update_state()
        self.busy.emit(True)

    def show_iteration(self, number: int) -> None:
        """Show one iteration of the last run alone.

        Parameters
        ----------
        number : int
            From 0.
        """
        if self.results is None or not self.results.show_only(number):
            show_info("That iteration's layer was deleted.")

    def show_disagreement(self) -> None:
        """Add a map of where the iterations of the last run disagree."""
        layers = self.results.layers if self.results else []
        found = [layer for layer in layers if layer is not None]
        if add_disagreement(self._viewer, found) is None:
            show_info("Segment with at least two iterations first.")

    def show_next_slice(self) -> None:
        """Go to the slice of the last run that is to be corrected next."""
        if self.results is not None:
            self.status.emit(self.results.go_to_next_slice())

    def refresh_axes(self, *_: Any) -> None:
        """Offer what the chosen image has: channels, slices, contrast limits."""
        self.channels.show_layer(self.image.layer, self._viewer.dims)
        self._on_channels()
        self.update_state()

    def update_state(self, *_: Any) -> None:
        """Enable what can be done now."""
        image, results = self.image.layer, self.results
        self.hint.setVisible(image is None)
        stacked = image is not None and image.ndim > 2
        self._form.setRowVisible(self.channels, stacked)
        self._form.setRowVisible(self.slices, self.slices.has_choice)
        self._form.setRowVisible(self.scaling, image is not None)
        self.segment_button.setEnabled(image is not None and not self.run.running)
        several = results is not None and len(results.summaries) > 1
        self.disagreement_button.setEnabled(several)
        stack = results.request.stack if results else None
        self.next_button.setVisible(
            results is not None and len(results.request.planes) > 1
        )
        self.next_button.setEnabled(stack is not None and bool(stack.disputed))

    def _request(self, image: Image) -> SegmentRequest:
        channels, dims = self.channels.channels, self._viewer.dims
        plane, along = shown_plane(image, dims, channels), self.slices.along
        adapter, stack = self.adapter.adapter, None
        follow_axis = self.slices.follow_axis
        iterations = self.iterations.value()
        read = PlaneReader.of(image, channels)
        large = LazyPlane(read, plane).is_large
        if large and follow_axis is not None:
            raise InputError(
                f"A slice of {image.name} has more than {LARGE / 1e6:.0f} million "
                "pixels, too many for Follow slices: switch that off."
            )
        if large or along:
            shape = labels_shape(image, plane, along)
            axes = plane_axes(image, dims, channels.axis if channels else None)
            stack = (LargeResult if large else StackResult)(shape, axes, iterations)
        return SegmentRequest(
            read=read,
            planes=planes_along(image, plane, along, follow_axis is not None),
            model=self.model_name,
            adapter=adapter.folder if adapter else None,
            iterations=iterations,
            objects=self.objects.isChecked(),
            scaling=self.scaling.scaling,
            same_limits=self.scaling.same.isChecked(),
            stack=stack,
            follow_axis=follow_axis,
        )

    def _on_channels(self) -> None:
        axis = self.channels.channel_axis
        self.slices.show_layer(self.image.layer, self._viewer.dims, axis)
        self._on_slices()

    def _on_slices(self, *_: Any) -> None:
        self.scaling.show_layer(self.image.layer, bool(self.slices.along))
        self.update_state()

    def _on_loaded(self, loaded: Loaded) -> None:
        self.device = str(loaded.segmenter.device)
        if self.results is not None and self._report is not None:
            self._note_hash(self.results.request.model, loaded.segmenter)
            self._report.begin()
        self.status.emit("Segmenting…")
        self._ticks.start()

    def _on_iterated(self, step: Segmented) -> None:
        results = self.results
        if results is None or self.run.stopping:
            return
        if problem := results.problem:
            if self._report is not None:
                self._report.problem = problem
            self.run.stop()
            return
        layer = results.add(step, self.run.model_name, self.run.adapter_name)
        t = step.summary.iteration
        self.table.show_summary(t, results.summaries[t])
        if layer is not None:
            self.labelled.emit(layer)
        self.update_state()

    def _on_skipped(self, refused: Refused) -> None:
        if self.results is not None:
            self.results.skipped.append(refused)

    def _on_failed(self, reason: str) -> None:
        if self._report is not None:
            self._report.problem = reason

    def _on_ended(self) -> None:
        self._ticks.stop()
        if self.results is not None and self._report is not None:
            self.results.redraw()
            self.status.emit(self._report.last_words(self.run.stopping))
        self.update_state()
        self.busy.emit(False)
        self._look_ahead()

    def _look_ahead(self) -> None:
        results, segmenter = self.results, self.run.segmenter
        if results is None or segmenter is None or self.run.stopping:
            return
        if results.done and not results.problem:
            self.ahead.start(results.image, results.request, segmenter)

    def _tell_progress(self) -> None:
        if self._report is not None and not self.run.stopping:
            self.status.emit(self._report.progress(self.run.part_of_plane))

    def _on_adapter(self, adapter: Adapter | None) -> None:
        line = ""
        if adapter is not None:
            self.objects.setChecked(adapter.card.objects)
            self.scaling.show_adapter(adapter.card.scaling)
            blocked = self.model.blockSignals(True)
            if not self.model.choose_base_of(adapter.card):
                line = (
                    f"This adapter was made for the file {adapter.card.base}: open "
                    "that file under Model."
                )
            self.model.blockSignals(blocked)
        else:
            self.scaling.show_adapter(None)
        self.status.emit(line)

    def _on_model(self) -> None:
        adapter = self.adapter.adapter
        if adapter is not None and not self.model.is_base_of(adapter.card):
            # An adapter belongs to one base model.
            self.adapter.choose(None)
        self.status.emit("")

    def _how_to_get_model(self) -> str:
        if self.model.download.name == self.model_name:
            return f"{self.model_name} is on its way: press Segment when it is here."
        return (
            f"{self.model_name} is not on this computer: press "
            f"{self.model.download_button.text()}, or choose another model."
        )

    def _note_hash(self, model: str, segmenter: Segmenter) -> None:
        """By its hash, a file is found again as the base of an adapter."""
        if model in (file.path for file in known_files()):
            with suppress(OSError):
                remember(model, segmenter.model_sha256)

    def _hide_results(self) -> None:
        for layer in self._viewer.layers:
            if isinstance(layer, Labels) and source_of(layer) is not None:
                layer.visible = False

    def _lay_out(self) -> None:
        form = self._form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Image", self.image.native)
        form.addRow(self.hint)
        form.addRow("Channels", self.channels)
        form.addRow("Slices", self.slices)
        form.addRow(self.scaling)
        form.addRow("Model", self.model)
        form.addRow("Adapter", self.adapter)
        row = QHBoxLayout()
        row.addWidget(self.iterations)
        row.addWidget(self.objects, 1)
        form.addRow("Iterations", row)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.segment_button)
        layout.addWidget(self.table)
        layout.addWidget(self.disagreement_button)
        layout.addWidget(self.next_button)
