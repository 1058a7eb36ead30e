"""What a run left behind is used as it was, or a sentence says why not."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.train.config import TrainConfig
from napari_samsp.train.loop import train
from napari_samsp.train.run_folder import RunFolder
from napari_samsp.utils.errors import InputError

CONFIG = TrainConfig(
    epochs=1, views=2, batch=2, threads=1, rank=1, input_size=64, augment=False,
    patience=0,
)  # fmt: skip
# So that no epoch is better than the first.
STILL = replace(CONFIG, rate=1e-9, decoder_rate=1e-9)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A training set and two runs on it: of one epoch, and with another rank."""
    folder = tmp_path_factory.mktemp("made")
    labels = np.zeros((64, 80), np.int32)
    labels[20:50, 10:40] = 1
    TrainingSet(folder / "set").add((labels * 150 + 20).astype(np.uint8), labels)
    train(folder / "set", folder / "run", STILL)
    train(folder / "set", folder / "other", replace(STILL, rank=2))
    return folder


@pytest.fixture
def run(made, tmp_path) -> Path:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"


def flip_a_bit(run):
    path = run / "last" / "state.pt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(run):
    path = run / "last" / "state.pt"
    path.write_bytes(path.read_bytes()[:-100])


def edit(run, change):
    """Save the state again, as it may be changed by hand."""
    path = run / "last" / "state.pt"
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)


def nan(run):
    edit(run, lambda state: [t.fill_(torch.nan) for t in state["adapter"].values()])


def no_progress(run):
    edit(run, lambda state: state.pop("progress"))


def odd_progress(run):
    edit(run, lambda state: state["progress"].update(epoch="one", kept=7))


def another_rank(run):
    shutil.copy(run.with_name("other") / "last" / "state.pt", run / "last")


def another_rank_and_no_settings(run):
    another_rank(run)
    (run / "config.yaml").unlink()


def text(run):
    (run / "last" / "state.pt").write_text("state")


@pytest.mark.parametrize(
    "damage", [flip_a_bit, cut, nan, no_progress, odd_progress, text]
)
def test_a_state_that_is_not_as_it_was_written_is_refused(run, damage):
    assert RunFolder(run).load_progress() is not None
    damage(run)
    with pytest.raises(InputError, match=r"state\.pt is broken or was changed"):
        RunFolder(run).load_progress()


@pytest.mark.parametrize("damage", [another_rank, another_rank_and_no_settings])
def test_the_state_of_another_run_is_refused(run, damage):
    damage(run)
    with pytest.raises(InputError, match=r"state\.pt is broken or was changed"):
        train(run.with_name("set"), run, replace(STILL, epochs=2), resume=True)


def gone(adapter):
    shutil.rmtree(adapter)


def a_file(adapter):
    shutil.rmtree(adapter)
    adapter.write_text("adapter")


def without_weights(adapter):
    (adapter / "adapter_model.safetensors").unlink()


def of_nan(adapter):
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    next(iter(tensors.values())).fill_(torch.nan)
    save_file(tensors, path)


def cut_short(adapter):
    path = adapter / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize("damage", [gone, a_file, without_weights, of_nan, cut_short])
def test_an_adapter_that_is_not_whole_is_not_gone_on_from(run, damage):
    damage(run / "adapter")
    with pytest.raises(InputError, match="adapter, the best epoch so far, is gone or"):
        RunFolder(run).load_progress()


def test_an_adapter_that_is_gone_is_not_said_to_be_there(run):
    """Where nothing is left to train."""
    shutil.rmtree(run / "adapter")
    with pytest.raises(InputError, match="is gone or broken"):
        train(run.with_name("set"), run, STILL, resume=True)


def test_an_adapter_that_is_removed_meanwhile_is_not_said_to_be_there(run):
    def remove(event):
        shutil.rmtree(run / "adapter", ignore_errors=True)

    config = replace(STILL, epochs=2)
    with pytest.raises(InputError, match="is gone or broken"):
        train(run.with_name("set"), run, config, resume=True, report=remove)


def test_a_run_that_is_whole_goes_on(run):
    finished = train(run.with_name("set"), run, replace(STILL, epochs=2), resume=True)
    assert Path(finished.adapter).is_dir()
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]


def test_a_run_of_an_earlier_version_goes_on(run):
    """It lacks the settings, and what a state holds, that came later."""
    settings = yaml.safe_load((run / "config.yaml").read_text())
    for name in ("steps", "components", "series"):
        del settings[name]
    (run / "config.yaml").write_text(yaml.safe_dump(settings))

    edit(
        run,
        lambda state: [state["progress"].pop(k) for k in ("folds", "seconds_judging")],
    )
    path = run / "last" / "state.pt"
    data = path.read_bytes()
    path.write_bytes(data + f"\nsha256:{sha256(data).hexdigest()}".encode())
    finished = train(run.with_name("set"), run, replace(STILL, epochs=2), resume=True)
    assert Path(finished.adapter).is_dir()


def test_a_loss_without_bounds_ends_the_run_with_a_sentence(made, tmp_path):
    config = replace(CONFIG, temperature=1e-300)
    with pytest.raises(InputError, match=r"Training diverged .*lower --rate"):
        train(made / "set", tmp_path / "run", config)
