"""Several files change as one: all or none, and one program after the other."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from napari_samsp.data.training_sets import transactions as folder_changes
from napari_samsp.data.training_sets.class_tables import read_table
from napari_samsp.data.training_sets.classes import Classes, LabelClass
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.data.training_sets.transactions import changing, unchanging
from napari_samsp.data.training_sets.versions import bring_back, version_of
from napari_samsp.utils.errors import InputError


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


CLASSES = Classes("instances", (LabelClass(4, "cell", "#00ff00"),), ())


def classed(value: int) -> dict:
    """The table and the list of classes that belong to `uniform` of this value."""
    return {"classes": CLASSES, "object_classes": {value: 4}}


def state(corrections: TrainingSet) -> list[tuple]:
    return [
        (
            *(sample.name, sample.read()[0].shape, *np.unique([*sample.read()])),
            sample.table and read_table(sample.table, CLASSES),
        )
        for sample in corrections.samples()
    ]


@pytest.mark.parametrize(
    "what", ["replace", "replace without classes", "remove", "put back", "add", "undo"]
)
def test_a_crash_at_any_step_leaves_the_old_or_the_new(tmp_path, what):
    def prepared(folder) -> tuple[TrainingSet, object]:
        corrections = TrainingSet(folder)
        corrections.add(*uniform(1), name="a", **classed(1))
        gone = corrections.remove("a") if what == "put back" else None
        if what == "undo":
            gone = version_of(corrections, "a")
            corrections.add(*uniform(2), name="a", replace=True)
        return corrections, gone

    def act(corrections: TrainingSet, gone) -> None:
        if what == "replace":
            corrections.add(*uniform(2), name="a", replace=True, **classed(2))
        elif what == "replace without classes":
            corrections.add(*uniform(2), name="a", replace=True)
        elif what == "add":
            corrections.add(*uniform(2), name="b", **classed(2))
        elif what == "undo":
            bring_back(corrections, gone)
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
        shown = {p.name for p in corrections.folder.iterdir()}
        shown -= {"removed", "classes.json"}
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


def pend(folder, moves=(), new=()) -> Path:
    """A change as it waits in a set, prepared in this very place."""
    valid = folder / ".change"
    valid.mkdir()
    for place in new:
        (valid / "new" / place).parent.mkdir(parents=True, exist_ok=True)
        (valid / "new" / place).write_text("new")
    content = {"id": valid.stat().st_ino, "moves": moves}
    (valid / "moves.json").write_text(json.dumps(content))
    return valid


def everything(folder) -> dict:
    return {
        path.relative_to(folder): path.is_file() and path.read_bytes()
        for path in folder.rglob("*")
    }


@pytest.fixture
def given(tmp_path):
    """A training set from somebody else, beside files that are none of its business."""
    secret = tmp_path / "victim" / "secret.tif"
    secret.parent.mkdir()
    secret.write_text("mine")
    TrainingSet(tmp_path / "set").add(*uniform(1)[:2], name="a")
    (tmp_path / "set" / ".lock").touch()
    return tmp_path / "set"


def refuse(given) -> None:
    """Neither reading nor changing the set touches anything."""
    before = everything(given.parent)
    for act in (TrainingSet.samples, lambda one: one.add(*uniform(2)[:2], name="b")):
        with pytest.raises(InputError, match=r"\.change.* remove it"):
            act(TrainingSet(given))
        assert everything(given.parent) == before


def test_a_change_that_was_prepared_here_is_finished(given):
    pend(given, [["images/a.tif", "removed/images/a.tif"]], ["masks/b.tif"])
    TrainingSet(given).samples()
    assert (given / "removed" / "images" / "a.tif").is_file()
    assert (given / "masks" / "b.tif").read_text() == "new"
    assert not (given / ".change").exists()


@pytest.mark.parametrize(
    "moves",
    [
        [["images/a.tif", "../stolen"]],
        [["../victim/secret.tif", "images/b.tif"]],
        [["{victim}/secret.tif", "images/b.tif"]],
        [["images/a.tif", "{victim}/a.tif"]],
        [["images/a.tif", ".lock"]],
        [["", "images/b.tif"]],
        [["one"]],
        {"a": 1},
        7,
    ],
)
def test_a_folder_from_elsewhere_moves_nothing_out_or_in(given, moves):
    """What a stranger's training set calls its last change stays within the set."""
    victim = json.dumps(str(given.parent / "victim"))[1:-1]
    pend(given, json.loads(json.dumps(moves).replace("{victim}", victim)))
    refuse(given)


links = pytest.mark.skipif(os.name == "nt", reason="links need a permission")


@links
@pytest.mark.parametrize("where", ["images", "predictions", "deep/images"])
@pytest.mark.parametrize("what", ["write", "pull in", "push out"])
def test_no_path_of_a_change_passes_a_link(given, where, what):
    victim = given.parent / "victim"
    shutil.rmtree(given / where, ignore_errors=True)
    (given / where).parent.mkdir(exist_ok=True)
    (given / where).symlink_to(victim, target_is_directory=True)
    if what == "write":
        pend(given, new=[f"{where}/secret.tif"])
    elif what == "pull in":
        pend(given, [[f"{where}/secret.tif", "masks/b.tif"]])
    else:
        pend(given, [["masks/a.tif", f"{where}/secret.tif"]])
    refuse(given)


@links
@pytest.mark.parametrize(
    "link", [".change", ".change/new", ".change/new/masks", ".change/moves.json"]
)
def test_no_part_of_a_change_is_a_link(given, link):
    valid = pend(given, new=["images/b.tif", "masks/b.tif"])
    elsewhere = given.parent / "victim" / "elsewhere"
    (given / link).rename(elsewhere)
    (given / link).symlink_to(elsewhere)
    before = everything(given.parent)
    refuse(given)
    assert everything(given.parent) == before
    assert valid.exists()


def test_a_change_that_came_with_a_copy_of_the_folder_is_refused(given):
    """However well it is made: who copies a folder did not ask for it."""
    pend(given, new=["images/b.tif"])
    copy = given.with_name("copy")
    shutil.copytree(given, copy)
    refuse(copy)
    shutil.rmtree(copy / ".change")
    assert [sample.name for sample in TrainingSet(copy).samples()] == ["a"]


@links
def test_a_lock_that_is_a_link_empties_no_file(given):
    secret = given.parent / "victim" / "secret.tif"
    (given / ".lock").unlink()
    (given / ".lock").symlink_to(secret)
    with pytest.raises(InputError, match=r"\.lock is a link"):
        TrainingSet(given).samples()
    assert secret.read_text() == "mine"


@links
def test_corrections_are_not_kept_through_a_link(given):
    """Which is said before anything has changed."""
    (given / "images").rename(given.parent / "elsewhere")
    (given / "images").symlink_to(given.parent / "elsewhere")
    before = everything(given.parent)
    with pytest.raises(InputError, match="images is a link"):
        TrainingSet(given).add(*uniform(2)[:2], name="b")
    assert everything(given.parent) == before
    assert [sample.name for sample in TrainingSet(given).samples()] == ["a"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o775, 0o777])
def test_who_may_write_into_a_folder_may_lock_it(tmp_path, mode):
    folder = tmp_path / "set"
    folder.mkdir()
    folder.chmod(mode)
    with changing(folder):
        assert (folder / ".lock").stat().st_mode & 0o777 == mode & 0o666
