"""Step 1: segment an image, and look at its iterations."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_samsp.sam.known_files import known_files, remember
from napari_samsp.ui.models.warm_up import load_units
from napari_samsp.ui.result_layers import source_of
from napari_samsp.ui.segment.controls.segment_form import SegmentForm
from napari_samsp.ui.segment.live_cleanup import LiveCleanup
from napari_samsp.ui.segment.prefetch import Prefetcher
from napari_samsp.ui.segment.result_panel import ResultPanel
from napari_samsp.ui.segment.run_report import RunReport
from napari_samsp.ui.segment.run_results import RunResults
from napari_samsp.ui.segment.segment_run import SegmentRun
from napari_samsp.ui.widgets.plain_text import show_error
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    import napari

    from napari_samsp.inference.segmenter import Segmenter
    from napari_samsp.ui.models.adapters import Adapter
    from napari_samsp.ui.models.workplace import Loaded
    from napari_samsp.ui.segment.segment_steps import Refused, Segmented

REPORT_MS = 500
"""Between two reports of the time left."""


class SegmentPanel(QWidget):
    """Chooses image, model and adapter, and turns iterations into Labels layers.

    Signals: ``status`` (a line for the widget's foot), ``busy`` (whether it
    segments), ``labelled`` (a new result layer), ``ready`` (the model is in memory).

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where images come from and results go.
    """

    status = Signal(str)
    busy = Signal(bool)
    labelled = Signal(object)
    ready = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._report: RunReport | None = None
        self._ticks = QTimer(self)
        self._ticks.setInterval(REPORT_MS)
        self._ticks.timeout.connect(self._tell_progress)
        self.device: str | None = None
        self._waiting: Adapter | None = None
        self.run = SegmentRun(self)
        self.run.prepared.connect(self._on_prepared)
        self.run.loaded.connect(self._on_loaded)
        self.run.iterated.connect(self._on_iterated)
        self.run.skipped.connect(self._on_skipped)
        self.run.failed.connect(self._on_failed)
        self.run.ended.connect(self._on_ended)
        self.ahead = Prefetcher(viewer.dims)
        self.destroyed.connect(self.ahead.stop)

        form = self.form = SegmentForm(viewer)
        self.image, self.slices, self.channels = form.image, form.slices, form.channels
        self.scaling, self.object_size = form.scaling, form.object_size
        self.model, self.adapter = form.model, form.adapter
        self.iterations, self.objects = form.iterations, form.objects
        self.segment_button = QPushButton("Segment")
        self.segment_button.setObjectName("samsp_segment")
        self.segment_button.setToolTip("Needs no prompt")
        self.result = ResultPanel(viewer)
        self.table = self.result.table
        self.disagreement_button = self.result.disagreement_button
        self.next_button = self.result.next_button
        self.live = LiveCleanup(self, lambda: form.cleanup.cleanup)
        self.live.status.connect(self.status)
        self.live.applied.connect(self.result.show_figures)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (form, self.segment_button, self.result):
            layout.addWidget(part)

        form.axes_changed.connect(self.update_state)
        form.cleanup.changed.connect(self._on_cleanup)
        self.model.changed.connect(self._on_model)
        self.model.status.connect(self.status)
        self.adapter.changed.connect(self._on_adapter)
        self.segment_button.clicked.connect(self.segment)
        self.result.status.connect(self.status)
        self.result.separate.connect(self._separate)
        self.refresh_axes()

    @property
    def model_name(self) -> str:
        """The chosen base model, or its file's path."""
        return self.model.model

    @property
    def results(self) -> RunResults | None:
        """The results of the last run."""
        return self.result.results

    def segment(self) -> None:
        """Start segmenting what the viewer shows of the chosen image, or all slices."""
        image = self.image.layer
        if image is None or image not in self._viewer.layers or self.run.running:
            self.update_state()
            return
        if self.model.is_missing:
            self.status.emit(self.model.how_to_get)
            return
        try:
            along, request = self.slices.along, self.form.request(image)
        except InputError as error:
            self.status.emit(str(error))
            show_error(str(error))
            return
        results = RunResults(self._viewer, image, request, along)
        self._report = RunReport(results)
        self._show_only(image)
        self.result.begin(results)
        loaded = self.run.workplace.loaded
        ready = loaded is not None and loaded.key == request.model_key
        self.status.emit("Segmenting…" if ready else "Loading the model…")
        ahead = self.ahead.give_way(request)
        self.run.start(request, f"SAM-SP: {image.name}", ahead)
        self.update_state()
        self.busy.emit(True)

    def warm_up(self) -> None:
        """Load the chosen model before it is needed, unless that costs much memory."""
        adapter = self.adapter.adapter
        if not self.model.is_missing and self.model.is_small:
            load_units()
            self.run.prepare(self.model_name, adapter.folder if adapter else None)

    def refresh_axes(self, *_: Any) -> None:
        """Offer what the chosen image has: channels, slices, contrast limits."""
        self.form.refresh_axes()

    def update_state(self, *_: Any) -> None:
        """Enable what can be done now."""
        self.form.update_state()
        image = self.image.layer
        self.segment_button.setEnabled(image is not None and not self.run.running)
        self.result.separate_button.setEnabled(self.segment_button.isEnabled())

    def _on_cleanup(self) -> None:
        if not self.run.running:  # else at its end
            self.live.apply(self.results)

    def _on_prepared(self) -> None:
        if self.run.segmenter is not None:
            self.device = str(self.run.segmenter.device)
            self.ready.emit()

    def _on_loaded(self, loaded: Loaded) -> None:
        self.device = str(loaded.segmenter.device)
        if self.results is not None and self._report is not None:
            classes = loaded.segmenter.classes
            if len(classes) > 1 or (classes and self.results.request.objects):
                self.results.classes = classes
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
        self.result.add(results.summaries[step.summary.iteration])
        if layer is not None:
            self.labelled.emit(layer)

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
            self.result.end(whole=not self.run.stopping and not self._report.problem)
            self.status.emit(self._report.last_words(self.run.stopping))
            self._on_cleanup()
        self.update_state()
        self.busy.emit(False)
        self._prefetch()
        if self.results is not None and self.results.image not in self._viewer.layers:
            self.result.begin(None)

    def _prefetch(self) -> None:
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
            self._waiting = None
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

    def _separate(self) -> None:
        """The result was one region of many parts, and the user said so."""
        if self.results is not None:
            self.image.choose(self.results.image)
        self.objects.setChecked(True)
        self.segment()

    def _on_model(self) -> None:
        adapter = self.adapter.adapter
        if adapter is not None and not self.model.is_base_of(adapter.card):
            # An adapter belongs to one base model, and waits for it.
            self._waiting = adapter
            self.adapter.choose(None)
        elif (waiting := self._waiting) and self.model.is_base_of(waiting.card):
            self._waiting = None
            with suppress(InputError):  # removed since
                self.adapter.choose(waiting.folder)
        self.status.emit("")

    def _note_hash(self, model: str, segmenter: Segmenter) -> None:
        """By its hash, a file is found again as the base of an adapter."""
        if model in (file.path for file in known_files()):
            with suppress(OSError):
                remember(model, segmenter.model_sha256)

    def forget_removed(self) -> None:
        """Show no more of a run whose image was removed."""
        results = self.results
        if results is None or self.run.running:
            return
        if results.image not in self._viewer.layers:
            self.result.begin(None)
            self.live.apply(None)
            self.status.emit("")

    def _show_only(self, image: Image) -> None:
        """The result is not to be drawn over another image, or over older results."""
        for layer in self._viewer.layers:
            ours = isinstance(layer, Labels) and source_of(layer) is not None
            if ours or isinstance(layer, Image):
                layer.visible = layer is image
