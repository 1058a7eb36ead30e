"""The table of a run's iterations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QWidget

from napari_samsp.ui.compact_table import CompactTable

if TYPE_CHECKING:
    from napari_samsp.ui.summary import Summary

COLUMNS = ("#", "Prompt", "Score", "IoU to #-1", "Area %")
ROWS_SHOWN = 3


class IterationTable(CompactTable):
    """A row an iteration; a click on a row emits ``chosen`` with its number.

    Parameters
    ----------
    parent : QWidget, optional
        Qt's.
    """

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(COLUMNS, ROWS_SHOWN, parent)
        self.setObjectName("samsp_iterations")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        for narrow in (0, 1):
            fit = QHeaderView.ResizeMode.ResizeToContents
            self.head.setSectionResizeMode(narrow, fit)
        self.setToolTip(
            "#: the iteration. Score: the quality that the model itself predicts.\n"
            "IoU to #-1: how much it is like the iteration before.\n"
            "Of several slices the mean.\n"
            "Click a row to see that iteration alone."
        )
        self.cellClicked.connect(self._on_cell)
        self.itemSelectionChanged.connect(self._on_selection)

    def show_summary(self, row: int, summary: Summary) -> None:
        """Write a row; a new one is marked as the one that is shown.

        Parameters
        ----------
        row : int
            From 0; the iteration's number.
        summary : Summary
            Of one plane, or the mean of those that are done.
        """
        previous = summary.iou_to_previous
        texts = (
            str(summary.iteration),
            summary.prompt,
            f"{summary.score:.3f}",
            "-" if previous is None else f"{previous:.3f}",
            f"{100 * summary.area_fraction:.1f}",
        )
        if row == self.rowCount():
            self.add_row(texts)
            self.mark(row)
        for column, text in enumerate(texts):
            self.item(row, column).setText(text)

    def mark(self, row: int) -> None:
        """Select a row without emitting ``chosen``.

        Parameters
        ----------
        row : int
            From 0.
        """
        blocked = self.blockSignals(True)
        self.selectRow(row)
        self.blockSignals(blocked)

    def _on_cell(self, row: int, _column: int) -> None:
        self.chosen.emit(row)

    def _on_selection(self) -> None:
        # The arrow keys move the selection without a click.
        if self.hasFocus() and self.currentRow() >= 0:
            self.chosen.emit(self.currentRow())
