from __future__ import annotations

import pytest

from napari_samsp.ui.widgets import time_left
from napari_samsp.ui.widgets.time_left import TimeLeft, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (7.4, "7 s"), (59.6, "1 min 0 s"), (80, "1 min 20 s"),
     (7500, "2 h 5 min")],
)  # fmt: skip
def test_durations_are_words(seconds, text):
    assert duration(seconds) == text


def test_it_counts_down_between_two_steps(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time_left.time, "monotonic", lambda: now)
    left = TimeLeft()
    assert left.text(0) == ""
    now += 1
    assert left.text(0.01) == ""  # too early to say
    now += 9
    assert left.text(0.1) == "1 min 30 s left"
    now += 30
    assert left.text(0.1) == "1 min 0 s left"
    now += 10
    assert left.text(0.5) == "50 s left"
