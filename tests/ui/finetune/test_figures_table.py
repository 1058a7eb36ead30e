"""Before and after, also of each class."""

from __future__ import annotations

from napari_samsp.train.events import Figures, Finished
from napari_samsp.ui.finetune.figures_table import FiguresTable


def test_each_class_has_a_row_below_the_iterations(qtbot):
    table = FiguresTable()
    qtbot.addWidget(table)
    before = Figures([0.5, 0.55], [0.4, 0.4], 3, class_dice={"leaf": [0.6, 0.7]})
    after = Figures(
        [0.7, 0.75], [0.6, 0.6], 3, class_dice={"leaf": [0.8, 0.9], "new": [1, 1]}
    )
    finished = Finished("steps", "adapter", before, after, "cross-validation", True)
    table.show_figures(finished)
    rows = [
        [table.table.item(row, column).text() for column in range(4)]
        for row in range(table.table.rowCount())
    ]
    assert rows == [
        ["0", "0.500", "0.700", "+0.200"],
        ["1", "0.550", "0.750", "+0.200"],
        ["leaf", "0.700", "0.900", "+0.200"],
    ]
