"""A few corrections all train, and still are judged by models that did not see them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load_file

from napari_samsp.data.judged_pictures import read_pictures
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.metrics import dice
from napari_samsp.sam.adapters.adapter_card import read_card
from napari_samsp.train.config import TrainConfig
from napari_samsp.train.events import EpochEnded, FoldEnded, FoldStepped, Noted, Stepped
from napari_samsp.train.loop import train
from napari_samsp.train.validation.cross_validation import LEAST_STEPS

SHORT = TrainConfig(epochs=1, views=2, batch=2, threads=2, input_size=96, augment=False)
# Three folds of five steps, then twelve for the adapter.
LONG_ENOUGH = replace(SHORT, epochs=2, views=10, augment=True)


@pytest.fixture
def discs(tmp_path) -> TrainingSet:
    """Bright discs on a dark ground, where all but the disc is wanted."""
    rng = np.random.default_rng(0)
    training_set = TrainingSet(tmp_path / "set")
    for n, (height, width) in enumerate([(60, 96), (96, 60), (64, 100)]):
        y, x = np.mgrid[:height, :width]
        disc = (y - height / 2) ** 2 + (x - width / 3) ** 2 < (12 + 3 * n) ** 2
        image = np.where(disc, 190, 60) + rng.normal(0, 10, disc.shape)
        training_set.add(
            image.clip(0, 255).astype(np.uint8), (~disc).astype(np.int32), name=f"d{n}"
        )
    return training_set


def test_all_train_and_each_is_judged_by_a_model_without_it(discs, tmp_path):
    events = []
    finished = train(discs.folder, tmp_path / "run", LONG_ENOUGH, report=events.append)
    assert events[0].folds == 3
    assert [e.fold for e in events if isinstance(e, FoldEnded)] == [1, 2, 3]
    ended = [type(e) for e in events]
    assert ended.index(Stepped) > max(
        n for n, kind in enumerate(ended) if kind in (FoldStepped, FoldEnded)
    )
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["judged_by"] == finished.judged_by == "cross-validation"
    assert report["before"]["n"] == report["after"]["n"] == 3
    folds = [e.dice for e in events if isinstance(e, FoldEnded)]
    assert finished.after.dice == pytest.approx(np.mean(folds, axis=0), abs=1e-5)
    # The adapter itself saw all of them, and its card has the honest figures.
    card = read_card(tmp_path / "run" / "adapter")
    assert (card.images, card.held_out) == (3, True)
    assert card.after == {k: v for k, v in report["after"].items() if v is not None}


def test_the_folds_leave_no_trace_in_the_adapter(discs, tmp_path):
    with_folds = train(discs.folder, tmp_path / "a", LONG_ENOUGH)
    without = train(discs.folder, tmp_path / "b", replace(LONG_ENOUGH, validation="0"))
    assert without.judged_by == "training images"
    assert without.better is not True
    a, b = (
        load_file(f"{run.adapter}/adapter_model.safetensors")
        for run in (with_folds, without)
    )
    assert all((a[name] == b[name]).all() for name in a)


def test_a_run_that_is_killed_between_folds_goes_on_with_the_next(discs, tmp_path):
    class Killed(Exception):
        pass

    def kill(event):
        if isinstance(event, FoldStepped) and event.fold == 3:
            raise Killed

    with pytest.raises(Killed):
        train(discs.folder, tmp_path / "cut", LONG_ENOUGH, report=kill)
    events = []
    resumed = train(
        discs.folder, tmp_path / "cut", LONG_ENOUGH, resume=True, report=events.append
    )
    assert [e.fold for e in events if isinstance(e, FoldEnded)] == [3]
    whole = train(discs.folder, tmp_path / "whole", LONG_ENOUGH)
    assert resumed.after.dice == pytest.approx(whole.after.dice, abs=1e-4)


def test_a_stop_during_the_folds_still_gives_an_adapter(discs, tmp_path):
    events = []
    finished = train(
        discs.folder, tmp_path / "run", LONG_ENOUGH, report=events.append,
        stop_requested=lambda: any(isinstance(e, FoldStepped) for e in events),
    )  # fmt: skip
    assert finished.reason == "stopped"
    assert finished.judged_by == "training images"
    assert (tmp_path / "run" / "adapter" / "samsp.json").is_file()


@pytest.mark.parametrize("count", [1, 2])
def test_of_one_or_two_nothing_is_told(discs, tmp_path, count):
    for sample in discs.samples()[count:]:
        discs.remove(sample.name)
    finished = train(discs.folder, tmp_path / "run", SHORT)
    assert finished.judged_by == "training images"
    assert finished.better is not True


def test_a_run_too_short_to_cross_validate_says_so(discs, tmp_path):
    events = []
    finished = train(discs.folder, tmp_path / "run", SHORT, report=events.append)
    assert any(isinstance(e, Noted) and "too short" in e.message for e in events)
    assert not any(isinstance(e, FoldStepped) for e in events)
    assert finished.judged_by == "training images"


def test_steps_end_a_run_the_same_on_every_computer(discs, tmp_path):
    events = []
    config = replace(SHORT, epochs=0, steps=5, validation="0")
    finished = train(discs.folder, tmp_path / "run", config, report=events.append)
    assert finished.reason == "steps"
    assert sum(isinstance(e, Stepped) for e in events) == 5
    assert sum(isinstance(e, EpochEnded) for e in events) == 3
    assert LEAST_STEPS <= 5


def test_minutes_are_of_the_clock_that_is_given(discs, tmp_path):
    ticks, events = iter(range(10_000)), []
    config = replace(SHORT, epochs=0, minutes=2)
    finished = train(
        discs.folder, tmp_path / "run", config,
        report=events.append, seconds=lambda: float(next(ticks)),
    )  # fmt: skip
    assert finished.reason == "minutes"
    assert 120 < next(ticks) < 160


def test_what_judged_is_kept_as_pictures_before_and_after(discs, tmp_path):
    finished = train(discs.folder, tmp_path / "run", LONG_ENOUGH)
    pictures = read_pictures(tmp_path / "run")
    assert [one.name for one in pictures] == ["d0", "d1", "d2"]
    for one, sample in zip(pictures, discs.samples(), strict=True):
        image, labels = sample.read()
        assert np.array_equal(one.mask > 0, labels > 0)
        # As the model reads it, which is stretched, and in the same places.
        assert np.corrcoef(one.image[..., 0].ravel(), image.ravel())[0, 1] > 0.95
    # They show the very labels that the figures are of.
    for kind in ("before", "after"):
        figures = [dice(getattr(one, kind), one.mask) for one in pictures]
        told = getattr(finished, kind).dice[-1]
        assert np.mean(figures) == pytest.approx(told, abs=1e-5)
    assert finished.before.dice != finished.after.dice
