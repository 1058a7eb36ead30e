"""The table of a run's rounds, which the method calls iterations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QWidget

from napari_samsp.ui.widgets.compact_table import CompactTable

if TYPE_CHECKING:
    from napari_samsp.ui.segment.summary import Summary

COLUMNS = ("Round", "Objects", "Area", "Agreement", "Confidence")


class IterationTable(CompactTable):
    """One row per round; a click on a row emits ``chosen`` with its number.

    Parameters
    ----------
    parent : QWidget, optional
        Widget that owns this one.
    """

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(COLUMNS, parent=parent)
        self.setObjectName("samsp_iterations")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        # Bold headings, as of a selected row, would be cut off.
        self.head.setHighlightSections(False)
        self.head.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.head.setStretchLastSection(True)
        self.setToolTip(
            "Click a row to see that round alone.\n"
            "Objects: how many labels; of several slices their sum.\n"
            "Area: the part of the image that is labelled.\n"
            "Agreement: how much of the area is that of the round before.\n"
            "Confidence: how good the model believes the outlines to be, 1 is best.\n"
            "With separate objects it is their mean, and lower than of one region."
        )
        self.cellClicked.connect(self._on_cell)
        self.itemSelectionChanged.connect(self._on_selection)

    def show_summary(self, row: int, summary: Summary) -> None:
        """Fill in a row; a new one is marked as the one that is shown.

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
            str(summary.object_count),
            f"{100 * summary.area_fraction:.1f} %",
            "-" if previous is None else f"{100 * previous:.0f} %",
            f"{summary.score:.2f}",
        )
        if row == self.rowCount():
            self.add_row(texts)
            self.mark(row)
        for column, text in enumerate(texts):
            item = self.item(row, column)
            item.setText(text)
            # Of interest to few.
            item.setToolTip(f"{self.toolTip()}\nPrompt of this round: {summary.prompt}")

    def mark(self, row: int) -> None:
        """Select a row without emitting ``chosen``.

        Parameters
        ----------
        row : int
            Index of the row, from 0.
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
