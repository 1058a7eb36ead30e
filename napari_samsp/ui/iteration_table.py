"""The table of a run's iterations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QWidget

from napari_samsp.ui.compact_table import CompactTable

if TYPE_CHECKING:
    from napari_samsp.core.segmenter import Iteration

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
            "Click a row to see that iteration alone."
        )
        self.cellClicked.connect(self._on_cell)
        self.itemSelectionChanged.connect(self._on_selection)

    def add(self, iteration: Iteration) -> None:
        """Append a row and mark it as the one that is shown.

        Parameters
        ----------
        iteration : Iteration
            The next one.
        """
        previous = iteration.iou_to_previous
        self.add_row(
            (
                str(iteration.iteration),
                iteration.prompt or "none",
                f"{iteration.score:.3f}",
                "-" if previous is None else f"{previous:.3f}",
                f"{100 * iteration.area_fraction:.1f}",
            )
        )
        self.mark(self.rowCount() - 1)

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
