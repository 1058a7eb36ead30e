"""The pretraining script runs, and goes on where it stopped."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_samsp.core.checkpoints import load_sam
from napari_samsp.core.training_set import TrainingSet

SCRIPT = Path(__file__).parents[1] / "training" / "pretrain.py"


def test_it_trains_saves_and_resumes(tmp_path, nuclei):
    names = (
        "dsb2018", "isic2017", "gpr_tunnel", "nasa_ebc", "nasa_instances",
        "nasa_superalloy", "pyimsegm_bio",
    )  # fmt: skip
    for name in names:
        TrainingSet(tmp_path / "data" / name).add(*nuclei, name="a")

    def run(minutes, *more):
        subprocess.run(
            [
                sys.executable, "-W", "ignore", str(SCRIPT), str(tmp_path / "data"),
                "--output", str(tmp_path / "run"), "--minutes", str(minutes),
                "--batch", "2", "--workers", "0", "--threads", "1", *more,
            ],
            cwd=tmp_path, check=True, timeout=300, env=os.environ,
        )  # fmt: skip

    def step():
        lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
        return json.loads(lines[-1])["step"]

    def state():
        return torch.load(tmp_path / "run" / "state.pt", weights_only=True)

    run(0.05)
    begun = step()
    weights = tmp_path / "run" / "samsp_tiny.safetensors"
    first = state()
    assert weights.stat().st_size < 20e6
    # Three seconds more than were spent, however slow the machine is.
    run(first["seconds"] / 60 + 0.05, "--resume")
    assert step() > begun > 0
    assert changed(first["model"], state()["model"]) >= {"image_encoder"}
    assert load_sam(str(weights)).architecture == "samsp_tiny"

    # From these weights on, all but the image encoder.
    start = tmp_path / "start.safetensors"
    weights.rename(start)
    run(0.05, "--start", str(start), "--decoder-only", "--iterations", "3")
    before, after = load_file(start), load_file(weights)
    assert changed(before, after) == {"prompt_encoder", "mask_decoder"}


@pytest.fixture
def pretrain(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return importlib.import_module("pretrain")


def test_crops_of_sparse_images_often_hold_an_object(pretrain):
    labels = np.zeros((90, 300), np.int32)
    labels[40:44, 200:206] = 1
    rng = np.random.default_rng(0)
    crops = [pretrain.zoom(rng, labels + 7, labels, 20)[::-1] for _ in range(200)]
    for seen, image in crops:
        np.testing.assert_array_equal(image, seen + 7)
        assert 20 <= seen.shape[0] <= 90
        assert 66 <= seen.shape[1] <= 300
    # Cropped anywhere, 58 % would.
    assert 140 < sum(seen.any() for seen, _ in crops) < 190
    empty = np.zeros_like(labels)
    assert not pretrain.zoom(rng, empty, empty, 20)[1].any()


def test_rare_kinds_are_drawn_as_often_as_others(pretrain):
    shares = pretrain.shares(["cells"] * 9 + ["tissue"])
    np.testing.assert_allclose(shares, [1 / 18] * 9 + [1 / 2])


def changed(before, after):
    """The parts of the model whose tensors differ."""
    return {
        name.split(".")[0]
        for name, tensor in before.items()
        if not torch.equal(tensor, after[name])
    }
