"""Step 1: segment an image, and look at its iterations."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from napari.utils.notifications import show_info
from qtpy.QtCore import Signal
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

from napari_samsp.core.known_files import known_files, remember
from napari_samsp.ui.adapter_chooser import AdapterChooser
from napari_samsp.ui.iteration_table import IterationTable
from napari_samsp.ui.layer_chooser import LayerChooser
from napari_samsp.ui.model_chooser import ModelChooser
from napari_samsp.ui.planes import PlaneIndex, plane_data, shown_plane
from napari_samsp.ui.result_layers import (
    add_disagreement,
    add_iteration,
    layer_by_id,
    source_of,
)
from napari_samsp.ui.segment_run import Loaded, SegmentRequest, SegmentRun

if TYPE_CHECKING:
    import napari

    from napari_samsp.core.segmenter import Iteration, Segmenter
    from napari_samsp.ui.adapters import Adapter

DEFAULT_ITERATIONS = 3
MOST_ITERATIONS = 6
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
        self._target: tuple[Image, PlaneIndex, SegmentRequest] | None = None
        self._layer_ids: list[Any] = []
        self.device: str | None = None
        self.run = SegmentRun(self)
        self.run.loaded.connect(self._on_loaded)
        self.run.iterated.connect(self._on_iterated)
        self.run.failed.connect(self._on_failed)
        self.run.ended.connect(self._on_ended)

        self.image = LayerChooser(viewer, Image, tooltip="The image to segment")
        self.hint = QLabel(NO_IMAGE)
        self.hint.setWordWrap(True)
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
            "for cells, nuclei, particles. Off: one region an image, such as a lesion."
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
        self._lay_out()

        self.image.changed.connect(self.update_state)
        self.model.changed.connect(self._on_model)
        self.model.status.connect(self.status)
        self.adapter.changed.connect(self._on_adapter)
        self.segment_button.clicked.connect(self.segment)
        self.table.chosen.connect(self.show_iteration)
        self.disagreement_button.clicked.connect(self.show_disagreement)
        self.update_state()

    @property
    def model_name(self) -> str:
        """The chosen base model, or its file's path."""
        return self.model.model

    def segment(self) -> None:
        """Start segmenting the plane that the viewer shows of the chosen image."""
        image = self.image.layer
        if image is None or image not in self._viewer.layers or self.run.running:
            self.update_state()
            return
        if self.model.is_missing:
            self.status.emit(self._how_to_get_model())
            return
        plane = shown_plane(image, self._viewer.dims)
        adapter = self.adapter.adapter
        request = SegmentRequest(
            pixels=plane_data(image, plane),
            model=self.model_name,
            adapter=adapter.folder if adapter else None,
            iterations=self.iterations.value(),
            objects=self.objects.isChecked(),
        )
        self._target = (image, plane, request)
        self._hide_results()
        self._layer_ids = []
        self.table.clear_rows()
        self.status.emit("Loading the model…")
        self.run.start(request, f"SAM-SP: {image.name}")
        self.update_state()
        self.busy.emit(True)

    def show_iteration(self, number: int) -> None:
        """Show one iteration of the last run alone.

        Parameters
        ----------
        number : int
            From 0.
        """
        layers = [layer_by_id(self._viewer, i) for i in self._layer_ids]
        if number >= len(layers) or layers[number] is None:
            show_info("That iteration's layer was deleted.")
            return
        for n, layer in enumerate(layers):
            if layer is not None:
                layer.visible = n == number
        self._viewer.layers.selection.active = layers[number]

    def show_disagreement(self) -> None:
        """Add a map of where the iterations of the last run disagree."""
        found = [layer_by_id(self._viewer, i) for i in self._layer_ids]
        layers = [layer for layer in found if isinstance(layer, Labels)]
        if add_disagreement(self._viewer, layers) is None:
            show_info("Segment with at least two iterations first.")

    def update_state(self, *_: Any) -> None:
        """Enable what can be done now."""
        has_image = self.image.layer is not None
        self.hint.setVisible(not has_image)
        self.segment_button.setEnabled(has_image and not self.run.running)
        self.disagreement_button.setEnabled(len(self._layer_ids) > 1)

    def _on_loaded(self, loaded: Loaded) -> None:
        self.device = str(loaded.segmenter.device)
        if self._target is not None:
            self._note_hash(self._target[2].model, loaded.segmenter)
        self.status.emit("Segmenting…")

    def _on_iterated(self, iteration: Iteration) -> None:
        if self._target is None:
            return
        image, plane, request = self._target
        if image not in self._viewer.layers:
            self.run.stop()
            self.status.emit("The image was removed: segmenting stopped.")
            return
        loaded_adapter = self.run.adapter_name
        for unique_id in self._layer_ids:
            earlier = layer_by_id(self._viewer, unique_id)
            if earlier is not None:
                earlier.visible = False
        layer = add_iteration(
            self._viewer,
            image,
            plane,
            iteration,
            self.run.model_name,
            loaded_adapter,
            request.objects,
        )
        self._layer_ids.append(layer.unique_id)
        self.table.add(iteration)
        self.labelled.emit(layer)
        self.update_state()

    def _on_failed(self, reason: str) -> None:
        self.status.emit(reason)

    def _on_ended(self) -> None:
        self._target = None
        self.update_state()
        self.busy.emit(False)

    def _on_adapter(self, adapter: Adapter | None) -> None:
        line = ""
        if adapter is not None:
            self.objects.setChecked(adapter.card.objects)
            blocked = self.model.blockSignals(True)
            if not self.model.choose_base_of(adapter.card):
                line = (
                    f"This adapter was made for the file {adapter.card.base}: open "
                    "that file under Model."
                )
            self.model.blockSignals(blocked)
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
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Image", self.image.native)
        form.addRow(self.hint)
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
