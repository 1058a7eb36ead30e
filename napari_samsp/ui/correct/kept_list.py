"""The list of kept corrections, and what can be done with one."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_samsp.ui.correct.kept import local_time, newest_first, origin
from napari_samsp.ui.widgets.plain_text import plain

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from napari_samsp.data.training_sets.sample import Sample

HEIGHT = 110
OPEN, REPLACE, REMOVE, UNDO = "open", "replace", "remove", "undo"
TIPS = {
    OPEN: "Show it as layers",
    REPLACE: "Store the labels chosen above in place of the selected correction",
    REMOVE: "Its files move to the folder removed/",
    UNDO: "Put back what was removed or replaced last",
}


class KeptList(QWidget):
    """Newest first; takes no room while it is empty.

    Signals: ``asked`` (`OPEN`, `REPLACE`, `REMOVE` or `UNDO`).
    """

    asked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.tree = QTreeWidget()
        self.tree.setObjectName("samsp_corrections")
        self.folder_label = QElidingLabel()
        self.buttons: dict[str, QPushButton] = {}
        for what, tip in TIPS.items():
            button = self.buttons[what] = QPushButton(what.capitalize())
            button.setObjectName(f"samsp_{what}_correction")
            button.setToolTip(tip)
            button.clicked.connect(lambda _=False, what=what: self.asked.emit(what))
        self._can_undo = False
        self._lay_out()
        self.tree.itemSelectionChanged.connect(self._update)
        self.tree.itemDoubleClicked.connect(lambda *_: self.asked.emit(OPEN))

    @property
    def selected(self) -> str | None:
        """Name of the correction that is selected."""
        items = self.tree.selectedItems()
        return items[0].text(0) if items else None

    def fill(
        self, samples: Iterable[Sample], folder: Path, select: str | None = None
    ) -> None:
        """Show what is kept.

        Parameters
        ----------
        samples : iterable of Sample
            Of the correction set.
        folder : Path
            Folder of the set, which is shown.
        select : str, optional
            Name of the correction to select.
        """
        self.tree.clear()
        for sample in newest_first(samples):
            texts = [sample.name, origin(sample), local_time(sample)]
            item = QTreeWidgetItem(texts)
            item.setToolTip(1, plain(texts[1]))
            item.setToolTip(0, plain(str(sample.mask)))
            self.tree.addTopLevelItem(item)
            if sample.name == select:
                self.tree.setCurrentItem(item)
        self.folder_label.setText(str(folder))
        self.folder_label.setToolTip(plain(str(folder)))
        self._update()

    def allow_undo(self, allowed: bool) -> None:
        """Say whether there is anything to undo."""
        self._can_undo = allowed
        self._update()

    def _update(self) -> None:
        # What is empty takes no room: step 3 is to be seen on a small screen.
        kept = self.tree.topLevelItemCount()
        self.tree.setVisible(kept > 0)
        row = self.tree.sizeHintForRow(0)
        head = cast("QHeaderView", self.tree.header()).sizeHint().height()
        self.tree.setFixedHeight(min(HEIGHT, head + kept * row + row // 2))
        for what in (OPEN, REPLACE, REMOVE):
            self.buttons[what].setEnabled(self.selected is not None)
            self.buttons[what].setVisible(kept > 0)
        self.buttons[UNDO].setEnabled(self._can_undo)
        self.buttons[UNDO].setVisible(kept > 0 or self._can_undo)

    def _lay_out(self) -> None:
        self.tree.setHeaderLabels(["Kept", "From", "Time"])
        self.tree.setRootIsDecorated(False)
        self.tree.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        header = cast("QHeaderView", self.tree.header())
        header.setStretchLastSection(False)
        for column in (0, 1):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.ResizeToContents)
        row = QHBoxLayout()
        for button in self.buttons.values():
            row.addWidget(button)
        folder_row = QHBoxLayout()
        folder_row.addWidget(QLabel("Folder"))
        folder_row.addWidget(self.folder_label, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.tree)
        layout.addLayout(row)
        layout.addLayout(folder_row)
