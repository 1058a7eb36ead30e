"""The pretraining script runs, goes on where it stopped, and teaches what it should."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_samsp.data.rgb import to_rgb8
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.inference.scale.object_scale import field_for, mean_object_width
from napari_samsp.sam.architecture import ARCHITECTURES
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.self_prompting.decoding import Decoding
from napari_samsp.self_prompting.prompts import Prompt
from napari_samsp.train.examples.augment import Augmentation

FOLDER = Path(__file__).parents[1] / "training"
SMALL = ARCHITECTURES["samsp_small"]


@pytest.fixture(scope="module")
def training():
    """Imports a module of ``training/``, which is no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield importlib.import_module


@pytest.fixture
def sets(training, tmp_path, nuclei):
    """Each set that is pretrained on, of five images."""
    image, labels = nuclei
    for name in training("domains").DOMAINS:
        source = TrainingSet(tmp_path / "data" / name)
        for n in range(5):
            source.add(image[n:], labels[n:], name=f"source{n}_{n}")
    return tmp_path / "data"


@pytest.mark.slow
def test_a_run_that_was_resumed_gives_the_weights_of_one_that_was_not(sets, tmp_path):
    def run(output, steps, *more):
        subprocess.run(
            [
                sys.executable, "-W", "ignore", str(FOLDER / "pretrain.py"), str(sets),
                "--output", str(tmp_path / output), "--steps", str(steps),
                "--cooldown", "1", "--batch", "2", "--workers", "0", "--threads", "1",
                "--save-every", "1", "--measure-every", "3", *more,
            ],
            cwd=tmp_path, check=True, timeout=900,
        )  # fmt: skip
        return torch.load(tmp_path / output / "state.pt", weights_only=True)

    whole = run("whole", 3)
    run("parts", 2)
    parts = run("parts", 3, "--resume")
    assert whole["step"] == parts["step"] == 3
    for key, value in whole["model"].items():
        assert torch.equal(value, parts["model"][key]), key
    weights = tmp_path / "whole" / "samsp_small.safetensors"
    assert weights.stat().st_size < 25e6
    assert load_sam(str(weights)).architecture == "samsp_small"
    line = json.loads((tmp_path / "whole" / "held_out.jsonl").read_text())
    assert set(line["sets"]) == {path.name for path in sets.iterdir()}
    assert {"none", "own", "box", "click1", "click3", "click5"} <= set(line)


def test_no_image_is_trained_on_and_held_out(training, data):
    """Nor is another image of the same source, such as a neighbouring frame."""
    domains = training("domains")
    assert not set(domains.NEVER) & set(domains.DOMAINS)
    for name, domain in domains.DOMAINS.items():
        fitting, held_out = domains.split(data / name)
        assert len(fitting) > len(held_out) >= 2, name
        assert not {p.image for p in fitting} & {p.image for p in held_out}
        if domain.source != domains.Domain().source:
            sources = [
                {re.search(domain.source, pair.stem)[0] for pair in pairs}
                for pairs in (fitting, held_out)
            ]
            assert not sources[0] & sources[1], name


def test_a_click_falls_where_the_mask_is_wrong(training):
    steps = training("prompted_steps")
    torch.manual_seed(0)
    target = torch.zeros(2, 32, 32)
    target[:, 4:20, 6:26] = 1
    logits = 8 * target - 4
    logits[0, 6:10, 8:12] = -4  # a hole that must be filled
    logits[1, 24:30, 2:9] = 4  # what does not belong to it
    found = Decoding(logits, torch.zeros(2), torch.arange(2))
    weight = torch.ones_like(target)
    prompt = Prompt(points=torch.full((2, 1, 2), 30.0), point_labels=torch.ones(2, 1))
    for _ in range(20):
        more = steps.with_click(prompt, found, target, weight, stride=2)
        assert more.point_labels.tolist() == [[1, 1], [1, 0]]
        (x0, y0), (x1, y1) = more.points[:, 1].tolist()
        assert 16 <= x0 <= 24 and 12 <= y0 <= 20
        assert 4 <= x1 <= 18 and 48 <= y1 <= 60
        assert torch.equal(more.masks[:, 0], logits)


def test_simulated_clicks_go_to_the_middle_of_the_largest_error(training):
    truth = torch.zeros(2, 40, 60, dtype=torch.bool)
    truth[:, 10:31, 20:51] = True
    said = truth.clone()
    said[0, 12:17, 22:27] = False
    said[0, 12, 40] = False
    said[1, 1:8, 1:8] = True
    places, labels = training("held_out").next_clicks(said, truth, 2)
    assert labels.tolist() == [1, 0]
    assert places.tolist() == [[49, 29], [9, 9]]


def test_half_of_the_prompts_err_in_blobs(training):
    torch.manual_seed(0)
    errors = training("prompted_steps").prompt_errors(400, 32)
    spared = (errors == 0).flatten(1).all(1)
    assert 0.4 < spared.float().mean() < 0.6
    # Blobs, not noise of single cells: neighbours are alike.
    steps = errors[~spared].diff(dim=-1).square().mean()
    assert steps < 0.2 * errors[~spared].var()


@pytest.fixture
def click_batch(training, nuclei):
    """Two views of nuclei, and the bundled model twice."""
    model, before = (training("pretrain").new_model("samsp_small", True) for _ in "ab")
    view = Augmentation(SMALL.image_size, enabled=False)(to_rgb8(nuclei[0]), nuclei[1])
    none = torch.zeros(2, model.mask_size, model.mask_size)
    yes = torch.tensor(True)
    sample = training("mixture").Sample(
        view.image, view.labels, view.valid, none, yes, yes
    )
    return model, before.eval(), training("mixture").collate([sample, sample])


@pytest.mark.parametrize("objects", [False, True])
def test_teaching_clicks_begins_at_the_model_as_it_was(training, click_batch, objects):
    model, before, batch = click_batch
    torch.manual_seed(0)
    losses = training("click_steps").click_loss(model, before, batch, objects)
    for name in ("none", "relief", "own"):
        assert losses[name].item() < 1e-3, name
    assert {"click0", "click1", "click2"} <= set(losses)
    sum(v for k, v in losses.items() if not k.endswith("_error")).backward()
    encoder = model.sam.image_encoder
    assert all(p.grad is None for p in encoder.trunk.parameters())
    assert encoder.blocks[0].attn.proj.weight.grad.abs().sum() > 0
    assert model.sam.prompt_encoder.point_embeddings[1].weight.grad.abs().sum() > 0


def test_what_the_model_said_without_clicks_is_missed(training, click_batch):
    model, before, batch = click_batch
    with torch.no_grad():
        model.sam.prompt_encoder.no_mask_embed.weight.neg_()
        model.sam.image_encoder.neck[2].weight.neg_()
    torch.manual_seed(0)
    losses = training("click_steps").click_loss(model, before, batch, False)
    assert losses["none"].item() > 0.05


def test_a_mask_that_a_user_is_shown_heeds_the_clicks(training, monkeypatch):
    steps = training("click_steps")
    monkeypatch.setattr(steps, "AS_IN_USE", 1.0)
    logits = torch.full((2, 1, 32, 32), -3.0)
    logits[:, :, 8:20, 4:24] = 0.5
    points = torch.tensor([[[9.0, 21.0]], [[57.0, 51.0]]])  # x, y; one inside, one not
    prompt = Prompt(None, points, logits, torch.tensor([[0.0], [1.0]]))
    torch.manual_seed(0)
    mask = steps.shown(prompt, 2).masks[:, 0]
    assert set(mask.unique().tolist()) == {-8.0, 8.0}
    assert mask[0, 10, 4] == -8 and mask[1, 25, 28] == 8
    assert mask[0, 14, 14] == 8 and mask[1, 2, 2] == -8  # far from the clicks


def test_crops_of_sparse_images_often_hold_an_object(training):
    mixture = training("mixture")
    labels = np.zeros((90, 300), np.int32)
    labels[40:44, 200:206] = 1
    rng = np.random.default_rng(0)
    sides = np.array([45, 150])
    crops = [mixture.crop(rng, labels + 7, labels, sides)[::-1] for _ in range(200)]
    for seen, image in crops:
        np.testing.assert_array_equal(image, seen + 7)
        assert seen.shape == (45, 150)
    # Cropped anywhere, 64 % would.
    assert 145 < sum(seen.any() for seen, _ in crops) < 190
    empty = np.zeros_like(labels)
    assert not mixture.crop(rng, empty, empty, sides)[1].any()


@given(
    st.tuples(st.integers(60, 400), st.integers(60, 400)),
    st.integers(2, 60),
    st.integers(0, 99),
)
def test_small_objects_are_often_seen_as_near_as_in_use(training, shape, width, seed):
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    labels[:width, 5 : 5 + width] = 1
    field = field_for(
        mean_object_width(labels), shape, SMALL.image_size, SMALL.patch_size
    )
    crop_sides = training("mixture").crop_sides
    crops = [crop_sides(rng, labels, 110, SMALL) for _ in range(60)]
    for sides in crops:
        assert (sides > 0).all() and (sides <= shape).all()
        assert max(sides) >= min(field / 1.4, 110) - 1
    near = [field / 1.41 - 1 <= max(sides) <= field * 1.41 + 1 for sides in crops]
    assert sum(near) >= 15


def test_large_regions_keep_what_surrounds_them(training):
    rng = np.random.default_rng(0)
    labels = np.zeros((90, 300), np.int32)
    labels[40:44, 200:206] = 1
    for _ in range(60):
        sides = training("mixture").crop_sides(rng, labels, None, SMALL)
        assert (sides >= (45, 150)).all() and (sides <= (90, 300)).all()


def test_rare_kinds_are_drawn_as_often_as_others(training):
    shares = training("mixture").shares(["cells"] * 9 + ["tissue"])
    np.testing.assert_allclose(shares, [1 / 18] * 9 + [1 / 2])
