"""Splits are by image, and leave something on both sides."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_samsp.core.errors import InputError
from napari_samsp.core.training_set import Sample, TrainingSet
from napari_samsp.train.data import split


def samples(count: int, per_source: int = 1) -> list[Sample]:
    return [
        Sample(f"s{n:02}", Path(), Path(), None, {"source": f"file{n // per_source}"})
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "held_out"), [(1, 0), (2, 0), (3, 1), (5, 1), (10, 2), (25, 5)]
)
def test_a_fifth_is_held_out_of_three_or_more(count, held_out):
    fitting, judging = split(samples(count), None, 0)
    assert len(judging) == held_out
    assert len(fitting) == count - held_out
    assert not {s.name for s in fitting} & {s.name for s in judging}


def test_a_fraction_and_a_seed():
    _, first = split(samples(20), "0.5", 0)
    _, again = split(samples(20), "0.5", 0)
    _, other = split(samples(20), "0.5", 1)
    assert len(first) == 10
    assert first == again != other
    assert split(samples(20), "0", 0)[1] == []


def test_slices_of_one_stack_stay_together():
    fitting, judging = split(samples(20, per_source=4), None, 0)
    assert len(judging) == 4
    assert not {s.info["source"] for s in fitting} & {s.info["source"] for s in judging}


def test_a_set_of_its_own(tmp_path, nuclei):
    TrainingSet(tmp_path).add(*nuclei, name="judge")
    fitting, judging = split(samples(2), str(tmp_path), 0)
    assert len(fitting) == 2
    assert [s.name for s in judging] == ["judge"]


@pytest.mark.parametrize("fraction", ["1", "-0.1", "0.9"])
def test_fractions_that_leave_nothing(fraction):
    with pytest.raises(InputError):
        split(samples(2), fraction, 0)
