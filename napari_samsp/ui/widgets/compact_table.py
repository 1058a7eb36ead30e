"""A read-only table that is as high as its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


class CompactTable(QTableWidget):
    """Shows centred texts; never scrolls.

    Parameters
    ----------
    columns : sequence of str
        Headings of the columns.
    least_rows : int
        Room for so many rows even while there are fewer.
    parent : QWidget, optional
        The widget that this one is in.
    """

    def __init__(
        self, columns: Sequence[str], least_rows: int = 0, parent: QWidget | None = None
    ) -> None:
        super().__init__(0, len(columns), parent)
        self._least_rows = least_rows
        self.setHorizontalHeaderLabels(list(columns))
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        # Qt's stubs say that a header may be missing, which it is not.
        self._side = cast("QHeaderView", self.verticalHeader())
        self._side.hide()
        self.head = cast("QHeaderView", self.horizontalHeader())
        self.head.setMinimumSectionSize(24)
        self.head.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self._fit()

    def add_row(self, texts: Sequence[str]) -> None:
        """Append a row of texts.

        Parameters
        ----------
        texts : sequence of str
            Text of each column.
        """
        row = self.rowCount()
        self.insertRow(row)
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
            self.setItem(row, column, item)
        self._fit()

    def clear_rows(self) -> None:
        """Remove every row."""
        self.setRowCount(0)
        self._fit()

    def _fit(self) -> None:
        rows = max(self._least_rows, self.rowCount())
        self.setFixedHeight(
            rows * self._side.defaultSectionSize()
            + self.head.sizeHint().height()
            + 2 * self.frameWidth()
        )
