"""The pretraining script runs, and goes on where it stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

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
    more = first["seconds"] / 60 + 0.05
    run(more, "--resume", "--decoder-only", "--iterations", "3")
    assert step() > begun > 0
    changed = {
        name.split(".")[0]
        for name, tensor in state()["model"].items()
        if not torch.equal(first["model"][name], tensor)
    }
    assert changed == {"prompt_encoder", "mask_decoder"}
    assert load_sam(str(weights)).architecture == "samsp_tiny"
