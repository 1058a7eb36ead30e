"""The dock widget: segment, correct, fine-tune."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import napari.viewer
from napari.layers import Image
from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_samsp.ui.commands import KEYS
from napari_samsp.ui.correct.clicks.row import ClickRow
from napari_samsp.ui.correct.clicks.toolbox import Surroundings
from napari_samsp.ui.correct.correct_panel import CorrectPanel
from napari_samsp.ui.finetune.finetune_panel import FinetunePanel
from napari_samsp.ui.finetune.training import training_of
from napari_samsp.ui.images.control import ImagesControl
from napari_samsp.ui.images.panel import ImagesPanel
from napari_samsp.ui.measure.measure_panel import MeasurePanel
from napari_samsp.ui.project_chooser import ProjectChooser
from napari_samsp.ui.segment.segment_panel import SegmentPanel
from napari_samsp.ui.session import Session
from napari_samsp.ui.settings_store import SettingsStore
from napari_samsp.ui.viewer_ties import bind_keys, watch
from napari_samsp.ui.widgets.plain_text import make_plain
from napari_samsp.ui.widgets.ties import Ties
from napari_samsp.ui.widgets.wheel import WheelGuard
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_samsp.data.projects import Project

LEAST_WIDTH = 390
"""Least width in pixels, with the tables and buttons that are hidden at first."""
IDLE_MS = 1500
"""From opening the dock until the model is loaded: the window comes first."""
LAYOUT_MS = 50
"""Until the layouts have made room for what was shown: they take a few turns."""


class SamSpWidget(QWidget):
    """Prompt-free segmentation that learns from the user's corrections.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Viewer, which napari injects.
    """

    # Not quoted: with the annotations' import above, napari would not find it.
    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._was_docked = False
        self._idle = QTimer(self)
        self._idle.setSingleShot(True)
        self._idle.setInterval(IDLE_MS)
        self._viewer = viewer
        self.ties = Ties(self)
        self.projects = ProjectChooser()
        self._make_steps(viewer)
        self._make_foot()
        self._lay_out()
        make_plain(self)
        WheelGuard(self)

        self._connect()
        self._use_project(self.projects.project)
        self._settings = SettingsStore(self, self.projects.project)
        watch(self, viewer)
        bind_keys(self, viewer)
        self.follow_selection()
        self._show_status()
        self.finetuning.attach()

    def _make_steps(self, viewer: napari.viewer.Viewer) -> None:
        self.segmenting = SegmentPanel(viewer)
        session = Session(self.segmenting)
        self.correcting = CorrectPanel(viewer, session)
        self.images = ImagesPanel(
            ImagesControl(viewer, self.segmenting, self.correcting, self)
        )
        self.finetuning = FinetunePanel(training_of(viewer), session)
        self.measuring = MeasurePanel(viewer, session)
        self.clicking = ClickRow(
            viewer,
            Surroundings(
                pair=self.correcting.shown_pair,
                request=session.request,
                workplace=self.segmenting.run.workplace,
                busy=self._why_no_clicks,
                kept=partial(self.correcting.kept_slices, regions=True),
            ),
        )
        self.correcting.add_tools(self.clicking)

    def _make_foot(self) -> None:
        self.status = QLabel()
        self.status.setObjectName("samsp_status")
        self.status.setWordWrap(True)
        self.stop_button = QPushButton("Stop")
        self.stop_button.setObjectName("samsp_stop")
        self.stop_button.setEnabled(False)
        self._activity_line = ""

    def _connect(self) -> None:
        """Connect the steps: what one does changes others."""
        self._idle.timeout.connect(self.segmenting.warm_up)
        self.correcting.labels.changed.connect(self.clicking.tools.follow)
        self.correcting.object_classes.said.connect(self._on_status)
        self.correcting.class_list.objects_meant.connect(
            lambda: self.segmenting.objects.setChecked(True)
        )
        tools, object_classes = self.clicking.tools, self.correcting.object_classes
        tools.work.made.connect(object_classes.on_edit)
        tools.propagation.followed.connect(object_classes.on_followed)
        self.images.control.leaving.connect(self.clicking.tools.work.drop)
        self.images.control.leaving.connect(self.measuring.forget)
        self.segmenting.ready.connect(self._show_status)
        self.segmenting.status.connect(self._on_status)
        self.segmenting.busy.connect(self._on_busy)
        self.segmenting.labelled.connect(self.correcting.labels.choose)
        self.segmenting.labelled.connect(self.correcting.object_classes.follow)
        self.segmenting.labelled.connect(self.measuring.labels.choose)
        self.segmenting.adapter.changed.connect(self._show_status)
        self.segmenting.adapter.renamed.connect(self._show_status)
        self.segmenting.objects.toggled.connect(
            self.finetuning.settings.objects.setChecked
        )
        self.segmenting.image.changed.connect(self.correcting.update_keep)
        self.segmenting.result.kept_slices = self.correcting.kept_slices
        self.correcting.changed.connect(self.finetuning.refresh)
        self.finetuning.status.connect(self._on_status)
        self.finetuning.busy.connect(self._on_busy)
        self.clicking.tools.propagation.going.connect(self._on_busy)
        self.finetuning.run_ended.connect(self.segmenting.adapter.refresh)
        self.finetuning.run_ended.connect(
            lambda: QTimer.singleShot(LAYOUT_MS, self._show_outcome)
        )
        self.finetuning.adapter_ready.connect(self._use_adapter)
        # Keys work also where what they do would be out of sight.
        self.clicking.tools.switched.connect(
            lambda tool: QTimer.singleShot(LAYOUT_MS, self._show_tool) if tool else None
        )
        self.measuring.ended.connect(
            lambda: QTimer.singleShot(LAYOUT_MS, self._show_measured)
        )
        self.stop_button.clicked.connect(self.stop)
        self.projects.changed.connect(self._on_project)

    def reset_choices(self, event: Any = None) -> None:
        """Read the layer list again; napari calls this when it changes.

        Parameters
        ----------
        event : napari.utils.events.Event, optional
            What happened to it.
        """
        self.segmenting.image.refresh()
        self.segmenting.refresh_axes()
        self.segmenting.forget_removed()
        self.correcting.labels.refresh()
        self.correcting.region.refresh()
        self.segmenting.form.region.layer.refresh()
        self.measuring.refresh()
        self.correcting.update_keep()
        if getattr(event, "type", "") == "removed":
            self.correcting.message.hide()

    def changeEvent(self, event: QEvent | None) -> None:
        """Qt's; a dock that is closed lets go of us and deletes only itself."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._was_docked = True
                self._idle.start()
            elif self._was_docked:
                QTimer.singleShot(0, self._go_if_undocked)

    def _go_if_undocked(self) -> None:
        if self.parent() is None:
            self.deleteLater()

    def stop(self) -> None:
        """Stop what runs: segmenting, else following an object, else training."""
        again = False
        if self.segmenting.run.running:
            self.segmenting.run.stop()
            self._on_status("Stopping…")
        elif self.clicking.tools.propagation.stop():
            pass  # it says itself how far it came
        elif self.finetuning.process.running:
            again = self.finetuning.stop()
        self.stop_button.setEnabled(again)

    def follow_selection(self, _event: Any = None) -> None:
        """Choose the layer that the user selected in napari's list."""
        active = self._viewer.layers.selection.active
        if isinstance(active, Image):
            self.segmenting.image.choose(active)
        self.correcting.follow_selection()
        self.measuring.labels.choose(active)

    def _why_no_clicks(self) -> str:
        for runs, what in (
            (self.segmenting.run.running, "Segment"),
            (self.finetuning.process.running, "Fine-tune"),
        ):
            if runs:
                return (
                    f"{what} is at work: click again when it has ended, or press Stop. "
                    "Merge, Erase and napari's own tools work meanwhile."
                )
        return ""

    def _use_project(self, project: Project) -> None:
        self.segmenting.adapter.set_runs(project.adapters)
        self.finetuning.runs = project.adapters
        self.correcting.set_folder(project.corrections)

    def _on_project(self, project: Project) -> None:
        with self._settings.switching_to(project):
            self._use_project(project)
        self._on_status(f"Project {project.name}.")

    def _use_adapter(self, folder: Path | None) -> None:
        try:
            self.segmenting.adapter.choose(folder)
            self.images.offer_adapter()
        except InputError as error:
            self._on_status(str(error))

    def _on_status(self, text: str) -> None:
        self._activity_line = text
        self._show_status()

    def _on_busy(self, _busy: bool) -> None:
        segments = self.segmenting.run.running
        trains = self.finetuning.process.running
        follows = self.clicking.tools.propagation.running
        self.segmenting.ahead.allow(not trains)
        self.images.control.background.pause(segments or trains)
        if segments or trains:
            self.clicking.tools.hover.stop()
        self.stop_button.setEnabled(segments or follows or trains)
        self.projects.allow(not (segments or trains), "Wait for the end, or press Stop")
        what = "training; the adapter so far is kept"
        if segments or follows:
            what = "segmenting" if segments else "following an object"
        self.stop_button.setToolTip(f"Stop {what}\nKey: {KEYS['samsp_stop']}")
        if trains and not segments:
            QTimer.singleShot(LAYOUT_MS, self._show_training)
        self._show_status()

    def _show_training(self) -> None:
        self._scroll.ensureWidgetVisible(self.finetuning)
        self._scroll.ensureWidgetVisible(self.finetuning.curves)

    def _show_tool(self) -> None:
        self._scroll.ensureWidgetVisible(self.clicking)

    def _show_measured(self) -> None:
        if not self.measuring.message.isHidden():
            self._scroll.ensureWidgetVisible(self.measuring.message)

    def _show_outcome(self) -> None:
        for part in self.finetuning.outcome():
            if not part.isHidden():
                self._scroll.ensureWidgetVisible(part)

    def _show_status(self, *_: Any) -> None:
        adapter = self.segmenting.adapter.adapter
        parts = (
            self.segmenting.model.label,
            adapter.name if adapter else "no adapter",
            self.segmenting.device or "device chosen at the first run",
        )
        line = " · ".join(parts)
        self.status.setText(f"{line}\n{self._activity_line}".strip())

    def _lay_out(self) -> None:
        steps = _Steps()
        column = QVBoxLayout(steps)
        column.setContentsMargins(0, 0, 4, 0)
        for title, panel in (
            ("Images", self.images),
            ("1  Segment", self.segmenting),
            ("2  Correct", self.correcting),
            ("3  Fine-tune", self.finetuning),
            ("Measure and export", self.measuring),
        ):
            box = QGroupBox(title)
            inner = QVBoxLayout(box)
            inner.setContentsMargins(6, 6, 6, 6)
            panel.setContentsMargins(0, 0, 0, 0)
            inner.addWidget(panel)
            column.addWidget(box)
        column.addStretch(1)
        scroll = self._scroll = QScrollArea()
        scroll.setWidget(steps)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setMinimumWidth(max(LEAST_WIDTH, steps.minimumSizeHint().width() + 20))
        foot = QHBoxLayout()
        foot.addWidget(self.status, 1)
        foot.addWidget(self.stop_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self.projects)
        layout.addWidget(scroll, 1)
        layout.addLayout(foot)


class _Steps(QWidget):
    """Scrolls where there is no room, before its rows are squeezed."""

    def minimumSizeHint(self) -> QSize:
        """No lower than the rows need."""
        hint = super().minimumSizeHint()
        return QSize(hint.width(), max(hint.height(), self.sizeHint().height()))
