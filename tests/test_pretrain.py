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
from hypothesis import given
from hypothesis import strategies as st
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


@pytest.fixture(scope="module")
def pretrain():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)
        yield importlib.import_module("pretrain")


def test_half_of_the_prompts_err_in_blobs(pretrain):
    torch.manual_seed(0)
    errors = pretrain.prompt_errors(400, 32)
    spared = (errors == 0).flatten(1).all(1)
    assert 0.4 < spared.float().mean() < 0.6
    # Blobs, not noise of single cells: neighbours are alike.
    steps = errors[~spared].diff(dim=-1).square().mean()
    assert steps < 0.2 * errors[~spared].var()


def test_crops_of_sparse_images_often_hold_an_object(pretrain):
    labels = np.zeros((90, 300), np.int32)
    labels[40:44, 200:206] = 1
    rng = np.random.default_rng(0)
    sides = np.array([45, 150])
    crops = [pretrain.crop(rng, labels + 7, labels, sides)[::-1] for _ in range(200)]
    for seen, image in crops:
        np.testing.assert_array_equal(image, seen + 7)
        assert seen.shape == (45, 150)
    # Cropped anywhere, 64 % would.
    assert 145 < sum(seen.any() for seen, _ in crops) < 190
    empty = np.zeros_like(labels)
    assert not pretrain.crop(rng, empty, empty, sides)[1].any()


@given(
    st.tuples(st.integers(60, 400), st.integers(60, 400)),
    st.integers(2, 60),
    st.integers(0, 99),
)
def test_small_objects_are_often_seen_as_near_as_in_use(pretrain, shape, width, seed):
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    labels[:width, 5 : 5 + width] = 1
    field = pretrain.field_in_use(labels)
    crops = [pretrain.crop_sides(rng, labels, 110) for _ in range(60)]
    for sides in crops:
        assert (sides > 0).all() and (sides <= shape).all()
        assert max(sides) >= min(field / 1.4, 110) - 1
    near = [field / 1.41 - 1 <= max(sides) <= field * 1.41 + 1 for sides in crops]
    assert sum(near) >= 15


def test_large_regions_keep_what_surrounds_them(pretrain):
    rng = np.random.default_rng(0)
    labels = np.zeros((90, 300), np.int32)
    labels[40:44, 200:206] = 1
    for _ in range(60):
        sides = pretrain.crop_sides(rng, labels, None)
        assert (sides >= (45, 150)).all() and (sides <= (90, 300)).all()


def test_the_field_in_use_shows_objects_three_patches_wide(pretrain):
    labels = np.zeros((200, 500), np.int32)
    labels[50:80, 60:90], labels[50:80, 200:230] = 1, 2
    assert pretrain.field_in_use(labels) == 160
    assert pretrain.field_in_use(np.zeros_like(labels)) == 500


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
