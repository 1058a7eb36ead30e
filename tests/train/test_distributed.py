"""Two processes train the adapter that one trains."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.train.__main__ import main
from napari_samsp.train.examples.dataset import Batches

if TYPE_CHECKING:
    from collections.abc import Iterator

LAUNCH = [
    sys.executable, "-m", "accelerate.commands.launch", "--cpu",
    "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no",
    "--dynamo_backend", "no", "-m", "napari_samsp.train",
]  # fmt: skip
SETTINGS = [
    "--objects", "--views", "5", "--batch", "3", "--input-size", "128",
    "--validation", "0.3", "--threads", "1",
]  # fmt: skip


@pytest.mark.parametrize(("count", "batch", "processes"), [(7, 3, 2), (5, 4, 4)])
def test_shares_are_the_whole_batch(count, batch, processes):
    """However many share it, and in another order in every epoch."""
    whole = Batches(count, batch, seed=3)
    shares = [Batches(count, batch, 3, n, processes) for n in range(processes)]
    orders = []
    for epoch in (1, 2):
        for one in (whole, *shares):
            one.epoch = epoch
        steps = list(whole)
        assert len(steps) == len(whole) == len(shares[0])
        orders.append([view for step in steps for view in step])
        assert sorted(index for index, _ in orders[-1]) == list(range(count))
        for step, *parts in zip(steps, *shares, strict=True):
            assert sorted(step) == sorted(view for part in parts for view in part)
            assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert orders[0] != orders[1]
    assert list(whole) == list(whole)


@pytest.fixture
def threads() -> Iterator[None]:
    """What a run does to the threads of this process ends with the test."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("threads")
def test_two_processes_train_the_adapter_that_one_trains(nuclei, tmp_path):
    """Also where the last step leaves one of them with fewer images.

    The objects of an image, and so the losses' counts, differ between the processes.
    """
    training_set = TrainingSet(tmp_path / "set")
    for n, part in enumerate([nuclei[1] > 0, nuclei[1] > 2, nuclei[1] == 4]):
        labels = np.roll(nuclei[1] * part, 7 * n, axis=1)
        image = np.where(labels > 0, 170, 30) + np.roll(nuclei[0], n) % 16
        training_set.add(image.astype(np.uint8), labels, name=f"n{n}")
    arguments = [str(training_set.folder), *SETTINGS]
    runs = tmp_path / "one", tmp_path / "two"
    main([*arguments, "--epochs", "1", "--output", str(runs[0])])
    done = subprocess.run(
        [*LAUNCH, *arguments, "--epochs", "1", "--output", str(runs[1])],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("before: Dice") == 1  # only one of them reports
    assert _largest_difference(*runs) < 1e-4
    for run in runs:  # what two began, one can end
        main([*arguments, "--epochs", "2", "--resume", "--output", str(run)])
    assert _losses(runs[1]) == pytest.approx(_losses(runs[0]), abs=1e-4)
    assert len(_losses(runs[1])) == 2


def _losses(run):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def _largest_difference(one, other):
    file = "adapter/adapter_model.safetensors"
    tensors, others = load_file(one / file), load_file(other / file)
    assert tensors.keys() == others.keys()
    # A bias of keys has no gradient but rounding errors, which Adam enlarges: adding
    # it to every key changes no softmax.
    return max(
        float((tensors[name] - others[name]).abs().max())
        for name in tensors
        if not name.endswith("k_proj.bias")
    )
