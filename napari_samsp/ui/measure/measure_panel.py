"""The objects of a result, measured: how many, how large, and all of it as a table."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from napari.layers import Labels
from napari.qt.threading import create_worker
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_samsp.data.tables.object_table import PIXELS
from napari_samsp.data.tables.table_files import write_table
from napari_samsp.data.voxel_size import SYMBOLS
from napari_samsp.ui.measure.exchange import ExchangeRow
from napari_samsp.ui.measure.features import show_features
from napari_samsp.ui.measure.measuring import (
    MeasureRequest,
    measure_parts,
    request_of,
)
from napari_samsp.ui.planes import first_scale, shown_plane
from napari_samsp.ui.result_layers import image_to_label
from napari_samsp.ui.widgets.layer_chooser import LayerChooser
from napari_samsp.ui.widgets.plain_text import show_error
from napari_samsp.ui.widgets.ties import Ties
from napari_samsp.utils.errors import InputError, in_words, is_out_of_memory
from napari_samsp.utils.file_names import proposed_name

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_samsp.data.tables.object_table import Columns
    from napari_samsp.ui.session import Session

FOLLOW_MS = 100
"""After the last move of a slider, until the features are those of the slice."""
FILES = "CSV (*.csv);;Parquet (*.parquet)"


class MeasurePanel(QWidget):
    """Measures the objects of a Labels layer, and saves the table.

    Signals: ``ended`` when measuring, and saving, is over, however.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer whose labels are measured.
    session : Session
        Its image is that of labels that are not ours.
    """

    ended = Signal()

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        session: Session,
    ) -> None:
        super().__init__()
        self._viewer, self._session = viewer, session
        self._job: _Job | None = None
        self._measured: _Job | None = None
        self.labels = LayerChooser(
            viewer, Labels, tooltip="Whose objects; follows the selected layer"
        )
        self.volumes = QCheckBox("Volumes")
        self.volumes.setObjectName("samsp_volumes")
        self.volumes.setToolTip(
            "Measure objects of a stack in three dimensions, not slice by slice"
        )
        self.button = QPushButton("Measure")
        self.button.setObjectName("samsp_measure")
        self.button.setToolTip(
            "Measures all objects of the layer; see them in napari's tooltips and in "
            "Plugins > napari > Features table widget"
        )
        self.save_button = QPushButton("Save table…")
        self.save_button.setObjectName("samsp_save_table")
        self.save_button.setToolTip("Measures, and writes a row for each object")
        self.exchange = ExchangeRow(viewer, lambda: self.labels.layer, session)
        self.exchange.told.connect(self._tell)
        self.message = QLabel()
        self.message.setObjectName("samsp_measure_message")
        self.message.setWordWrap(True)
        self.message.hide()
        self._follow = QTimer(self)
        self._follow.setSingleShot(True)
        self._follow.setInterval(FOLLOW_MS)
        self._follow.timeout.connect(self._show_slice)
        self._lay_out()
        self.button.clicked.connect(lambda: self.measure())
        self.save_button.clicked.connect(self._choose_file)
        self.labels.changed.connect(self._update)
        self._ties = Ties(self)
        self._ties.connect(viewer.dims.events.current_step, self._follow_slice)
        self._update()

    @property
    def running(self) -> bool:
        """Whether a worker is at work."""
        return self._job is not None

    def refresh(self) -> None:
        """Read the layer list again."""
        self.labels.refresh()
        self._update()

    def forget(self) -> None:
        """Show nothing that was measured: the layers are about to get other data."""
        for job in (self._job, self._measured):
            if job is not None:
                job.labels = lambda: None
        self._measured = None
        self.message.hide()

    def measure(self, save_as: Path | None = None) -> None:
        """Measure the chosen layer in a worker; ``ended`` follows.

        Parameters
        ----------
        save_as : Path, optional
            Also write the table there; a file that is there is replaced.
        """
        labels = self.labels.layer
        if self.running or not isinstance(labels, Labels):
            return
        try:
            request = request_of(
                labels,
                image_to_label(self._viewer, labels, self._session.image),
                self._viewer.dims,
                self.volumes.isEnabled() and self.volumes.isChecked(),
                self._session.channels,
            )
        except InputError as error:
            self._tell(str(error), failed=True)
            self.ended.emit()
            return
        job = self._job = _Job(request, labels, save_as)
        # A widget dies without a closeEvent; the worker ends after a slice.
        self.destroyed.connect(job.stop)
        worker = create_worker(job.run)
        worker.returned.connect(self._on_end)
        worker.errored.connect(self._on_end)
        worker.start()
        self._tell("Measuring…")
        self._update()

    def _on_end(self, reason: object) -> None:
        job, self._job = self._job, None
        self._update()
        if job is None:
            return
        labels = job.labels()
        if reason:
            self._tell(str(reason), failed=True)
        elif labels is not None and labels in self._viewer.layers:
            self._measured = job
            self._show_slice()
            saved = f"\nSaved as {job.save_as}." if job.save_as else ""
            self._tell(summary(job.tables, job.request.volumes) + saved)
        self.ended.emit()

    def _follow_slice(self, *_: Any) -> None:
        if self._measured is not None and len(self._measured.tables) > 1:
            self._follow.start()

    def _show_slice(self) -> None:
        """In slices one label may be several objects: features are the shown one's."""
        job = self._measured
        labels = job.labels() if job is not None else None
        if job is None or labels is None or labels not in self._viewer.layers:
            return
        shown = shown_plane(labels, self._viewer.dims)
        parts = job.request.parts
        where = [n for n, part in enumerate(parts) if shown in part.labels]
        show_features(labels, job.tables, where[0] if where else 0)

    def _choose_file(self) -> None:
        labels = self.labels.layer
        if labels is None:
            return
        name = proposed_name(labels.name)
        file, kind = QFileDialog.getSaveFileName(
            self, "Save table", f"{name}.csv", FILES
        )
        if file:
            path = Path(file)
            if not path.suffix:
                path = path.with_suffix(".parquet" if "parquet" in kind else ".csv")
            self.measure(path)

    def _tell(self, text: str, failed: bool = False) -> None:
        self.message.setText(text)
        self.message.show()
        if failed:
            show_error(text)

    def _update(self, *_: Any) -> None:
        labels = self.labels.layer
        ready = labels is not None and not self.running
        self.button.setEnabled(ready)
        self.save_button.setEnabled(ready)
        self.exchange.update_state()
        is_stack = labels is not None and sum(
            side > 1 for side in first_scale(labels).shape
        )
        self.volumes.setEnabled(bool(is_stack) and is_stack > 2)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Labels", self.labels.native)
        row = QHBoxLayout()
        row.addWidget(self.button, 1)
        row.addWidget(self.save_button, 1)
        row.addWidget(self.volumes)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addLayout(row)
        layout.addWidget(self.exchange)
        layout.addWidget(self.message)


def summary(tables: list[Columns], volumes: bool = False) -> str:
    """How many objects there are, and their median size, in a line.

    Parameters
    ----------
    tables : list of dict
        From `napari_samsp.ui.measure.measuring.measure_parts`.
    volumes : bool
        Whether they are volumes.

    Returns
    -------
    str
        Such as ``23 objects · median area 41.2 µm²``.
    """
    what = "volume" if volumes else "area"
    sizes = np.concatenate([table[what] for table in tables])
    count = f"{len(sizes):,} object{'' if len(sizes) == 1 else 's'}"
    if len(tables) > 1:
        count += f" in {len(tables)} {'volumes' if volumes else 'slices'}"
    if not len(sizes):
        return count
    units = [unit for table in tables for unit in table["unit"][:1]]
    unit = SYMBOLS.get(units[0], units[0])
    if unit == PIXELS:
        power = " voxels" if volumes else " pixels"
    else:
        power = f" {unit}{'³' if volumes else '²'}" if unit else ""
    return f"{count} · median {what} {np.median(sizes):,.4g}{power}"


class _Job:
    """What the worker and the GUI share; a layer that is removed is let go."""

    def __init__(
        self, request: MeasureRequest, labels: Labels, save_as: Path | None
    ) -> None:
        self.request = request
        self.labels: Callable[[], Labels | None] = ref(labels)
        self.save_as = save_as
        self.tables: list[Columns] = []
        self._stopping = threading.Event()

    def stop(self, *_: Any) -> None:
        self._stopping.set()

    def run(self) -> str:
        """Give what went wrong: superqt's workers swallow every RuntimeError."""
        try:
            self.tables = measure_parts(self.request, self._stopping)
            if self.save_as is not None and not self._stopping.is_set():
                write_table(self.save_as, self.request.name, self.tables)
        except (InputError, OSError) as error:
            return in_words(error)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return f"{self.request.name} needs more memory than there is."
        return ""
