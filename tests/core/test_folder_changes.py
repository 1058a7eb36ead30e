"""Several files change as one: all or none, and one program after the other."""

from __future__ import annotations

import json
import os
import shutil
import threading

import numpy as np
import pytest

from napari_samsp.core import folder_changes
from napari_samsp.core.errors import InputError
from napari_samsp.core.folder_changes import changing, unchanging
from napari_samsp.core.training_set import TrainingSet


class Crash(BaseException):
    """As abrupt as a kill: nothing of ours may catch it and clean up."""


def crash_at(monkeypatch, step: int) -> None:
    """Let the process die before its n-th move, removal or write."""
    counted = iter(range(10_000))

    def dying(original):
        def call(*args, **kwargs):
            if next(counted) >= step:
                raise Crash
            return original(*args, **kwargs)

        return call

    # Once dead, it cannot clean up either.
    for module, name in ((os, "replace"), (os, "fsync"), (shutil, "rmtree")):
        monkeypatch.setattr(module, name, dying(getattr(module, name)))


def uniform(value: int) -> tuple[np.ndarray, ...]:
    shape = (20 + value, 30)
    return tuple(np.full(shape, value, kind) for kind in (np.uint8, np.int32, np.int32))


def state(corrections: TrainingSet) -> list[tuple]:
    return [
        (sample.name, sample.read()[0].shape, *np.unique([*sample.read()]))
        for sample in corrections.samples()
    ]


@pytest.mark.parametrize("what", ["replace", "remove", "put back", "add"])
def test_a_crash_at_any_step_leaves_the_old_or_the_new(tmp_path, what):
    def prepared(folder) -> tuple[TrainingSet, object]:
        corrections = TrainingSet(folder)
        corrections.add(*uniform(1), name="a")
        gone = corrections.remove("a") if what == "put back" else None
        return corrections, gone

    def act(corrections: TrainingSet, gone) -> None:
        if what == "replace":
            corrections.add(*uniform(2), name="a", replace=True)
        elif what == "add":
            corrections.add(*uniform(2), name="b")
        elif what == "remove":
            corrections.remove("a")
        else:
            corrections.put_back(gone)

    corrections, gone = prepared(tmp_path / "whole")
    before = state(corrections)
    act(corrections, gone)
    after = state(corrections)
    assert before != after
    seen = []
    for step in range(1000):
        corrections, gone = prepared(tmp_path / f"{step}")
        with pytest.MonkeyPatch.context() as monkeypatch:
            crash_at(monkeypatch, step)
            try:
                act(corrections, gone)
            except Crash:
                pass
            else:
                break
        seen.append(state(TrainingSet(corrections.folder)))
        assert seen[-1] in (before, after)
        corrections.add(*uniform(3), name="later")  # and it can be used
        shown = {p.name for p in corrections.folder.iterdir()} - {"removed"}
        assert shown <= {".lock", "images", "masks", "predictions", "samples.jsonl"}
    assert before in seen
    assert after in seen


def test_a_failed_change_changes_nothing(tmp_path):
    with changing(tmp_path) as change:
        change.write("a/b.txt", b"old")
    with pytest.raises(RuntimeError), changing(tmp_path) as change:
        change.write("a/b.txt", b"new")
        change.move("a/b.txt", "c.txt")
        raise RuntimeError
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "a"]


def test_reading_leaves_no_trace_in_a_folder_of_others(tmp_path):
    with unchanging(tmp_path):
        pass
    assert not any(tmp_path.iterdir())


def test_one_waits_for_the_other_but_not_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_changes, "PATIENCE_S", 0.2)
    holds, done = threading.Event(), threading.Event()

    def hold() -> None:
        with changing(tmp_path):
            holds.set()
            done.wait(30)

    other = threading.Thread(target=hold)
    other.start()
    assert holds.wait(30)
    try:
        with (
            pytest.raises(InputError, match="Another program has been writing"),
            changing(tmp_path),
        ):
            pass
    finally:
        done.set()
        other.join()


@pytest.mark.parametrize(
    "moves",
    [
        [["images/a.tif", "../stolen"]],
        [["../secret", "images/a.tif"]],
        [["{outside}", "images/a.tif"]],
        [["one"]],
        {"a": 1},
        7,
    ],
)
def test_a_folder_from_elsewhere_moves_nothing_out_or_in(tmp_path, moves):
    """What a stranger's training set calls its last change stays within the set."""
    secret = tmp_path / "secret"
    secret.write_text("mine")
    folder = tmp_path / "set"
    TrainingSet(folder).add(*uniform(1)[:2], name="a")
    (folder / ".change").mkdir()
    text = json.dumps(moves).replace("{outside}", str(secret))
    (folder / ".change" / "moves.json").write_text(text)
    with pytest.raises(InputError, match="remove"):
        TrainingSet(folder).samples()
    assert secret.read_text() == "mine"
    assert (folder / "images" / "a.tif").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret", "set"]
