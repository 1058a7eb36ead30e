"""Words that a biologist does not know are plain, or told where they stand."""

from __future__ import annotations

import re
from pathlib import Path

from qtpy.QtWidgets import QAbstractButton, QComboBox, QLabel, QTableWidget

TERMS = Path(__file__).parents[2] / "docs" / "terms.md"
JARGON = r"(?i)iteration|\bprompt\b|held.out|IoU to"


def test_no_label_of_the_widget_needs_the_paper(widget):
    texts = [part.text() for part in widget.findChildren(QLabel)]
    texts += [part.text() for part in widget.findChildren(QAbstractButton)]
    for combo in widget.findChildren(QComboBox):
        texts += [combo.itemText(n) for n in range(combo.count())]
    for table in widget.findChildren(QTableWidget):
        heads = [table.horizontalHeaderItem(n) for n in range(table.columnCount())]
        texts += [head.text() for head in heads if head is not None]
    assert "Round" in texts
    assert [text for text in texts if re.search(JARGON, text)] == []


def test_the_words_that_stay_are_told_in_the_widget_and_defined_once(widget):
    curves = widget.finetuning.curves.toolTip()
    for word in ("Loss:", "Dice:", "Epoch:"):
        assert word in curves
    assert "Dice:" in widget.finetuning.figures.table.toolTip()
    assert "one pass" in widget.finetuning.settings.epochs.toolTip()
    if TERMS.is_file():
        text = TERMS.read_text("utf-8")
        for word in ("round", "prompt", "adapter", "epoch", "Dice", "held out", "loss"):
            assert text.count(f"| **{word}**") == 1, word
