"""``python -m napari_samsp.train`` as a user and the widget call it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.train.__main__ import main, parser, read_recipe
from napari_samsp.train.config import TrainConfig, option_help
from napari_samsp.train.events import (
    EpochEnded,
    Failed,
    Figures,
    Finished,
    FoldEnded,
    FoldStepped,
    Started,
    from_json,
    to_json,
)
from napari_samsp.utils.errors import InputError

QUICK = ["--epochs", "1", "--views", "2", "--batch", "2", "--no-augment"]


@pytest.fixture
def training_set(tmp_path, nuclei) -> TrainingSet:
    made = TrainingSet(tmp_path / "my set")
    for n in range(3):
        made.add(np.roll(nuclei[0], 7 * n), np.roll(nuclei[1], 7 * n), name=f"n{n}")
    return made


def start(*arguments, cwd, **kwargs) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "napari_samsp.train", *map(str, arguments)],
        cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, **kwargs,
    )  # fmt: skip


def test_events_are_heard_line_by_line_and_stop_is_obeyed(training_set, tmp_path):
    child = start(
        training_set.folder, "--output", tmp_path / "run", "--events",
        "--epochs", 500, "--views", 2, cwd=tmp_path,
    )  # fmt: skip
    events = []
    for line in child.stdout:
        events.append(from_json(line))
        if isinstance(events[-1], EpochEnded):
            child.stdin.write("stop\n")
            child.stdin.flush()
    child.stdin.close()
    assert child.wait(60) == 0, child.stderr.read()
    child.stdout.close()
    child.stderr.close()
    assert None not in events
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "stopped"
    assert (tmp_path / "run" / "adapter" / "samsp.json").is_file()


def test_ctrl_c_keeps_the_state(training_set, tmp_path):
    child = start(
        training_set.folder, "--output", tmp_path / "run", "--epochs", 500,
        "--views", 2, "--events", cwd=tmp_path,
    )  # fmt: skip
    for line in child.stdout:
        if isinstance(from_json(line), EpochEnded):
            child.send_signal(signal.SIGINT)
            break
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "Traceback" not in errors
    assert f"in {tmp_path / 'run'}, add --resume." in errors
    done = len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    main([
        str(training_set.folder), "--output", str(tmp_path / "run"), "--resume",
        "--epochs", str(done + 1), "--views", "2",
    ])  # fmt: skip
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, done + 2))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gone", "--output", "run"], "no training set at gone"),
        (["set", "--output", "run", "--model", "vit_x"], "vit_x"),
        (["set", "--output", "run", "--rank", "0"], "rank must be at least 1"),
        (["set", "--output", "run", "--prompt", "lasso"], "'lasso'"),
        (["set", "--output", "run", "--rank", "many"], "--help"),
        (["set", "--output", "run", "--rang", "4"], "--rang"),
        (["set"], "--output"),
    ],
)
def test_bad_usage_is_one_sentence_and_code_2(tmp_path, nuclei, arguments, words):
    TrainingSet(tmp_path / "set").add(*nuclei, name="a")
    child = start(*arguments, cwd=tmp_path)
    _output, errors = child.communicate(timeout=120)
    assert child.returncode == 2
    assert words in errors
    assert "Traceback" not in errors
    assert len(errors.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_an_event_tells_why_a_run_cannot_start(tmp_path):
    (tmp_path / "set").mkdir()
    child = start("set", "--output", "run", "--events", cwd=tmp_path)
    output, _ = child.communicate(timeout=60)
    assert child.returncode == 2
    said = from_json(output)
    assert isinstance(said, Failed)
    assert "is empty" in said.message


def test_a_recipe_is_read_and_the_command_line_wins(training_set, tmp_path, capsys):
    recipe = tmp_path / "r.yaml"
    recipe.write_text("rank: 2\nepochs: 7\nrate: 1\ndistill: 0.5\n")
    assert read_recipe(recipe)["rate"] == 1.0
    main([
        str(training_set.folder), "--output", str(tmp_path / "run"),
        "--config", str(recipe), *QUICK,
    ])  # fmt: skip
    config = (tmp_path / "run" / "config.yaml").read_text()
    assert "rank: 2" in config
    assert "epochs: 1" in config


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rnk: 4", "did you mean rank"),
        ("rank: four", "rank cannot be 'four'"),
        ("objects: 1", "objects cannot be 1"),
        ("- rank", "lines of NAME: VALUE"),
        ("rank: [", "no valid YAML, line 1"),
    ],
)
def test_bad_recipes_are_named(tmp_path, text, words):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(InputError, match=words):
        read_recipe(tmp_path / "r.yaml")


def test_every_setting_has_an_option_with_help():
    text = parser().format_help()
    for name in TrainConfig.__dataclass_fields__:
        assert "--" + name.replace("_", "-") in text
        assert option_help(name)


def test_events_survive_their_line():
    figures = Figures([0.5, 0.6], [0.3, 0.4], 2, [0.1, 0.2])
    for event in (
        Started("run", 4, 1, 60, 1000, "cpu", figures, folds=4),
        FoldStepped(1, 4, 20.0),
        FoldEnded(1, 4, [0.5, 0.6]),
        EpochEnded(1, 60, 0.5, [0.5], 1.5, True, 10.0),
        Finished("epochs", "run/adapter", figures, figures, True, False),
        Failed("no"),
    ):
        assert from_json(to_json(event)) == event
    for noise in ("", "loading...", "{}", '{"event": "Party"}', '{"event": "Failed"}'):
        assert from_json(noise) is None
