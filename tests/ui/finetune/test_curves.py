from __future__ import annotations

import numpy as np
import pytest

from napari_samsp.train.events import EpochEnded, Figures, Started, Stepped
from napari_samsp.ui.finetune.curves import LINE_COLOURS, Curves


@pytest.fixture
def curves(qtbot) -> Curves:
    made = Curves()
    qtbot.addWidget(made)
    made.resize(320, 250)
    return made


def pixels(curves: Curves) -> np.ndarray:
    image = curves.grab().toImage()
    image = image.convertToFormat(image.Format.Format_RGB32)
    bits = image.constBits()
    bits.setsize(image.sizeInBytes())
    array = np.frombuffer(bits, np.uint8).reshape(image.height(), image.width(), 4)
    return array[..., 2::-1].copy()


def test_events_become_lines(curves):
    before = Figures([0.4, 0.5], [0.3, 0.4], 2)
    curves.add(Started("run", 5, 2, 10, 100, "cpu", before))
    curves.add(Stepped(1, 1, 2, 0.9, 10.0))
    curves.add(Stepped(1, 2, 2, 0.7, 9.0))
    curves.add(EpochEnded(1, 10, 0.8, [0.6, 0.7], 1.0, True, 9.0))
    steps = [(p.x(), p.y()) for p in curves.loss.lines[0]]
    assert steps == [(0.5, 0.9), (1.0, 0.7)]
    assert [(p.x(), p.y()) for p in curves.dice.lines[1]] == [(0, 0.5), (1, 0.7)]
    assert curves.dice.title == "Dice, images not learnt from"
    # An epoch that was not judged has a loss, and no Dice of its own.
    curves.add(EpochEnded(2, 10, 0.5, [0.6, 0.7], 1.0, False, 8.0, judged=False))
    assert [p.x() for p in curves.loss.lines[1]] == [1, 2]
    assert [p.x() for p in curves.dice.lines[1]] == [0, 1]


def test_values_that_are_not_numbers_are_left_out(curves):
    curves.add(Stepped(1, 1, 2, float("nan"), 10.0))
    assert not curves.loss.lines[0]
    curves.grab()


def test_each_iteration_has_its_colour(curves):
    empty = pixels(curves)
    before = Figures([0.2, 0.5], [0.3, 0.4], 2)
    curves.add(Started("run", 5, 0, 10, 100, "cpu", before))
    for epoch in range(1, 6):
        dice = [0.2 + 0.02 * epoch, 0.5 + 0.05 * epoch]
        curves.add(EpochEnded(epoch, 5, 1 / epoch, dice, 1.0, True, 9.0))
    drawn = pixels(curves)
    assert not np.array_equal(drawn, empty)
    lower = drawn[curves.height() // 2 :].reshape(-1, 3).astype(int)
    for colour in LINE_COLOURS[:2]:
        wanted = [int(colour[n : n + 2], 16) for n in (1, 3, 5)]
        assert (np.abs(lower - wanted).max(axis=1) < 12).sum() > 30
    assert curves.dice.title == "Dice, training images"
