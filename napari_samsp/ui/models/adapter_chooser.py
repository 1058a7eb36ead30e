"""The drop-down of adapters."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QInputDialog,
    QWidget,
)

from napari_samsp.data.projects import default_project
from napari_samsp.sam.adapters.model_card import rename_adapter
from napari_samsp.ui.models.adapters import Adapter, kept_adapters, read_adapter
from napari_samsp.ui.widgets.described_list import DescribedList
from napari_samsp.ui.widgets.menu_button import MenuButton
from napari_samsp.ui.widgets.plain_text import show_error
from napari_samsp.utils.errors import InputError

NO_ADAPTER = "None (base model)"


class AdapterChooser(QWidget):
    """Lists the adapters of earlier runs; others can be added from any folder.

    Signals: ``changed`` with the chosen `Adapter` or None, and ``renamed`` when the
    chosen one has another name.

    Parameters
    ----------
    parent : QWidget, optional
        The widget that this one is in.
    """

    changed = Signal(object)
    renamed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._runs = default_project().adapters
        self._added: list[Adapter] = []
        self._shown: list[Adapter | None] = [None]
        self.combo = DescribedList()
        self.combo.setObjectName("samsp_adapter")
        self.combo.currentIndexChanged.connect(self._on_index)
        tip = "Add a folder, such as one from a workstation, or rename"
        more = MenuButton("samsp_adapter_menu", tip, self)
        more.add("Add an adapter's folder…", self._browse)
        self._rename_action = more.add("Rename the adapter…", self._ask_name)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.combo, 1)
        layout.addWidget(more)
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
            if adapter is None:
                self.combo.add(NO_ADAPTER, None, "The model as it comes, untrained")
            else:
                folder = str(adapter.folder)
                self.combo.add(adapter.name, folder, adapter.details, adapter.figures)
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
            Folder of the runs, each in a folder of its own; may not exist.
        """
        self._runs, self._added = runs, []
        self.choose(None)
        self.refresh()

    def choose(self, folder: Path | None) -> None:
        """Choose an adapter, which is added to the list if it is not there.

        Parameters
        ----------
        folder : Path or None
            Folder of the adapter; None for the base model alone.

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

    def rename(self, name: str) -> None:
        """Give the chosen adapter another name, which is stored in its folder.

        Parameters
        ----------
        name : str
            One that is empty or taken is refused, in a notification.
        """
        adapter = self.adapter
        if adapter is None:
            return
        name = " ".join(name.split())
        others = [a for a in self._shown if a is not None and a is not adapter]
        try:
            if name.casefold() in {other.name.casefold() for other in others}:
                raise InputError(
                    f"There is an adapter {name} already: choose another name."
                )
            rename_adapter(adapter.folder, name)
        except InputError as error:
            show_error(str(error))
            return
        self._added = [
            read_adapter(a.folder) if a is adapter else a for a in self._added
        ]
        self.refresh()
        self.renamed.emit()

    def _index_of(self, folder: Path) -> int:
        for index, adapter in enumerate(self._shown):
            if adapter is not None and adapter.folder == folder:
                return index
        return 0

    def _on_index(self, _index: int) -> None:
        self._explain()
        self.changed.emit(self.adapter)

    def _explain(self) -> None:
        self.combo.explain()
        self._rename_action.setEnabled(self.adapter is not None)

    def _ask_name(self) -> None:
        adapter = self.adapter
        if adapter is None:
            return
        name, accepted = QInputDialog.getText(
            self, "Rename the adapter", "Its name:", text=adapter.name
        )
        if accepted:
            self.rename(name)

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "An adapter's folder")
        if folder:
            try:
                self.choose(Path(folder))
            except InputError as error:
                show_error(str(error))
