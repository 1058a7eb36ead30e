"""The pretraining script runs, and goes on where it stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

from napari_samsp.core.checkpoints import load_sam
from napari_samsp.core.training_set import TrainingSet

SCRIPT = Path(__file__).parents[1] / "training" / "pretrain.py"


def test_it_trains_saves_and_resumes(tmp_path, nuclei):
    names = (
        "dsb2018", "isic2017", "gpr_tunnel", "nasa_ebc", "nasa_instances", "nasa_superalloy",
        "pyimsegm_bio",
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

    run(0.05)
    weights = tmp_path / "run" / "samsp_tiny.safetensors"
    first = load_file(weights)
    assert weights.stat().st_size < 20e6
    run(0.25, "--resume")
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] >= 20
    name = "mask_decoder.iou_token.weight"
    assert not np.array_equal(first[name].numpy(), load_file(weights)[name].numpy())
    assert load_sam(str(weights)).architecture == "samsp_tiny"
