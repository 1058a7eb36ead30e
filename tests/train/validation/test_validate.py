"""Which epoch's adapter is kept."""

from __future__ import annotations

import pytest

from napari_samsp.train.events import Figures
from napari_samsp.train.validation.validate import (
    ValidationResult,
    is_better,
    should_checkpoint,
)


def judged(*merits):
    dice = sum(merits) / len(merits)
    return ValidationResult(Figures([dice], [dice], len(merits)), list(merits))


def test_one_image_does_not_tell_that_newer_weights_are_worse():
    before, lucky, now = judged(0.5), judged(0.9), judged(0.85)
    assert not now.is_worse_than(lucky)
    assert should_checkpoint(now, lucky, before)


def test_what_is_no_better_than_before_takes_no_place():
    before, best = judged(0.5, 0.6), judged(0.7, 0.7)
    assert not should_checkpoint(judged(0.5, 0.6), best, before)
    assert not should_checkpoint(judged(0.2, 0.7), best, before)
    # A run has to keep something: its first epoch, and whatever is better than that.
    assert should_checkpoint(judged(0.1, 0.1), None, before)
    assert should_checkpoint(judged(0.2, 0.2), judged(0.1, 0.1), before)


@pytest.mark.parametrize(
    ("drops", "worse"),
    [
        ((0.1, 0.1, 0.1), True),
        ((0.1, 0.12, 0.08), True),
        ((0.1, -0.05, 0.02), False),  # one gained: they are at odds
        ((0.1, 0.001), False),
        ((-0.1, -0.1, -0.1), False),
        ((0.0, 0.0), False),
    ],
)
def test_images_that_agree_tell(drops, worse):
    best = judged(*(0.8 for _ in drops))
    now = judged(*(0.8 - drop for drop in drops))
    assert now.is_worse_than(best) is worse
    assert should_checkpoint(now, best, judged(*(0.3 for _ in drops))) is not worse


@pytest.mark.parametrize(
    ("merits", "held_out", "better"),
    [
        ((0.6, 0.61, 0.59), True, True),
        ((0.6, 0.61, 0.59), False, None),  # it trained on them
        ((0.6,), True, None),
        ((0.9, 0.45, 0.5), True, None),  # at odds
        ((0.4, 0.5, 0.5), True, False),
        ((0.5, 0.5, 0.5), False, False),
    ],
)
def test_better_is_said_only_where_held_out_images_tell(merits, held_out, better):
    before = judged(*(0.5 for _ in merits))
    assert is_better(judged(*merits), before, held_out=held_out) is better
