"""The drop-down of adapters."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QToolButton, QWidget

from napari_samsp.data.projects import default_project
from napari_samsp.ui.models.adapters import Adapter, kept_adapters, read_adapter
from napari_samsp.ui.widgets.plain_text import plain, show_error
from napari_samsp.utils.errors import InputError

NO_ADAPTER = "None (base model)"


class AdapterChooser(QWidget):
    """Lists the adapters of earlier runs; others can be added from any folder.

    Emits ``changed`` with the chosen `Adapter` or None.

    Parameters
    ----------
    parent : QWidget, optional
        The widget that this one is in.
    """

    changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._runs = default_project().adapters
        self._added: list[Adapter] = []
        self._shown: list[Adapter | None] = [None]
        self.combo = QComboBox()
        self.combo.setObjectName("samsp_adapter")
        self.combo.setMinimumContentsLength(12)
        self.combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.combo.addItem(NO_ADAPTER)
        self.combo.currentIndexChanged.connect(self._on_index)
        browse = QToolButton()
        browse.setText("…")
        browse.setToolTip("Add an adapter's folder, such as one from a workstation")
        browse.clicked.connect(self._browse)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.combo, 1)
        layout.addWidget(browse)
        self.refresh()

    @property
    def adapter(self) -> Adapter | None:
        """The chosen adapter, if any."""
        return self._shown[max(self.combo.currentIndex(), 0)]

    def refresh(self) -> None:
        """Read the runs again; the choice stays if it is still there."""
        chosen = self.adapter
        kept = kept_adapters(self._runs)
        folders = {adapter.folder for adapter in kept}
        self._shown = [
            None,
            *(a for a in self._added if a.folder not in folders),
            *kept,
        ]
        blocked = self.combo.blockSignals(True)
        self.combo.clear()
        for adapter in self._shown:
            self.combo.addItem(adapter.label if adapter else NO_ADAPTER)
            if adapter:
                tip = Qt.ItemDataRole.ToolTipRole
                self.combo.setItemData(
                    self.combo.count() - 1, plain(adapter.details), tip
                )
        index = self._index_of(chosen.folder) if chosen else 0
        self.combo.setCurrentIndex(index)
        self.combo.blockSignals(blocked)
        self._explain()
        if chosen is not None and index == 0:
            self.changed.emit(None)

    def set_runs(self, runs: Path) -> None:
        """List the adapters of another project, and choose none of them.

        Parameters
        ----------
        runs : Path
            A folder a run; may not exist.
        """
        self._runs, self._added = runs, []
        self.choose(None)
        self.refresh()

    def choose(self, folder: Path | None) -> None:
        """Choose an adapter, which is added to the list if it is not there.

        Parameters
        ----------
        folder : Path or None
            Of the adapter; None for the base model.

        Raises
        ------
        InputError
            If it is not an adapter.
        """
        if folder is None:
            self.combo.setCurrentIndex(0)
            return
        adapter = read_adapter(folder)
        self.refresh()
        if not self._index_of(adapter.folder):
            self._added.insert(0, adapter)
            self.refresh()
        self.combo.setCurrentIndex(self._index_of(adapter.folder))

    def _index_of(self, folder: Path) -> int:
        for index, adapter in enumerate(self._shown):
            if adapter is not None and adapter.folder == folder:
                return index
        return 0

    def _on_index(self, _index: int) -> None:
        self._explain()
        self.changed.emit(self.adapter)

    def _explain(self) -> None:
        adapter = self.adapter
        self.combo.setToolTip(
            plain(adapter.details)
            if adapter
            else "The model as it comes, without training"
        )

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "An adapter's folder")
        if folder:
            try:
                self.choose(Path(folder))
            except InputError as error:
                show_error(str(error))
