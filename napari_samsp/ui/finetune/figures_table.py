"""Before and after, round by round."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QLabel, QVBoxLayout, QWidget

from napari_samsp.ui.widgets.compact_table import CompactTable

if TYPE_CHECKING:
    from napari_samsp.train.events import Finished

COLUMNS = ("Round", "Dice before", "Dice after", "Change")
DICE = "Dice: how well two areas agree, from 0 to 1; 1 is the same"


class FiguresTable(QWidget):
    """What a run gained, and on which images that was measured.

    Parameters
    ----------
    parent : QWidget, optional
        Widget that owns this one.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.heading = QLabel()
        self.heading.setObjectName("samsp_figures_heading")
        self.heading.setWordWrap(True)
        self.table = CompactTable(COLUMNS)
        self.table.setObjectName("samsp_figures")
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.table.setToolTip(f"{DICE} as what you corrected.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.heading)
        layout.addWidget(self.table)

    def show_figures(self, finished: Finished) -> None:
        """Fill in a run's result.

        Parameters
        ----------
        finished : Finished
            The trainer's last word.
        """
        n = finished.after.n
        images = "1 image" if n == 1 else f"{n} images"
        if finished.judged_by == "cross-validation":
            judged = f"Measured on {images}, each by a model that had not seen it:"
        elif finished.held_out:
            judged = f"Measured on {images} that it did not learn from:"
        else:
            trained_on = "the image" if n == 1 else f"the {n} images"
            judged = f"Measured on {trained_on} trained on, so new images may do worse:"
        self.heading.setText(judged)
        self.table.clear_rows()
        pairs = zip(finished.before.dice, finished.after.dice, strict=False)
        for row, (before, after) in enumerate(pairs):
            change = f"{after - before:+.3f}"
            self.table.add_row((str(row), f"{before:.3f}", f"{after:.3f}", change))
        known = finished.before.class_dice or {}
        for name, dice in (finished.after.class_dice or {}).items():
            if name in known:  # of the last iteration, which is what counts
                old, new = known[name][-1], dice[-1]
                cells = (name, f"{old:.3f}", f"{new:.3f}", f"{new - old:+.3f}")
                self.table.add_row(cells)
