"""The model in training: the same gradients, with what is frozen run once."""

from __future__ import annotations

import pytest
import torch

from napari_samsp.sam.adapters.adapter import add_lora, freeze_blocks
from napari_samsp.sam.architecture import Architecture, build_sam
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.train import model as model_module
from napari_samsp.train.config import SPEEDS, TrainConfig
from napari_samsp.train.examples.augment import View
from napari_samsp.train.model import ModelInTraining
from napari_samsp.train.objective.objective import Objective
from napari_samsp.train.trainable import frozen_blocks

SMALL = Architecture(64, 8, 24, 4, 2, (1, 3), 3, 16, 32)


@pytest.fixture
def views() -> View:
    """Two images, landscape and portrait, each with an object."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, 64, 64, generator=generator)
    labels = torch.zeros(2, 64, 64, dtype=torch.int64)
    labels[0, 5:20, 10:40], labels[1, 30:60, 4:20] = 1, 1
    images[0, :, 40:], images[1, :, :, 24:] = 0, 0
    return View(
        images, labels, torch.tensor([[40, 64], [64, 24]]), torch.tensor([3, 4])
    )


def adapted(frozen):
    """LoRA in all blocks, of which the first are frozen, as when a run continues."""
    torch.manual_seed(1)
    peft = add_lora(build_sam(SMALL), 2, "small")
    for name, parameter in peft.named_parameters():
        if "lora_B" in name or "rel_pos" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    freeze_blocks(peft, frozen)
    return peft


def gradients(model, views):
    model.zero_grad(set_to_none=True)
    torch.manual_seed(2)
    loss = Objective(model, TrainConfig())(views)
    loss.backward()
    return {
        n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None
    }


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_cached_features_give_the_gradients_of_the_whole_model(
    views, speed, checkpointing
):
    frozen = frozen_blocks(speed, build_sam(SMALL).image_encoder)
    sam = adapted(frozen).get_base_model()
    expected = gradients(SelfPrompting(sam), views)
    ours = ModelInTraining(sam, "box+mask", False, frozen, checkpointing)
    for _ in range(2):  # the second time from the cache
        found = gradients(ours, views)
        assert found.keys() == expected.keys()
        for name, gradient in found.items():
            assert torch.allclose(gradient, expected[name], atol=1e-6), name
    blocks = {n.split(".blocks.")[1][0] for n in found if ".lora_" in n}
    assert sorted(blocks) == {"decoder": [], "last-blocks": ["3"]}.get(
        speed, ["0", "1", "2", "3"]
    )


def test_what_is_frozen_runs_once_an_image_in_judging_and_in_training(views):
    model = ModelInTraining(adapted(3).get_base_model(), frozen_blocks=3)
    ran = []
    blocks = model.sam.image_encoder.blocks
    blocks[0].register_forward_hook(lambda *a: ran.append(("first", len(a[2]))))
    blocks[3].register_forward_hook(lambda *a: ran.append(("last", len(a[2]))))
    with torch.inference_mode():
        model.encode(views.image[:1])
    assert ran == [("first", 1), ("last", 1)]
    ran.clear()
    embeddings = model.encode(views.image)
    embeddings.sum().backward()  # also through what inference mode had computed
    model.encode(views.image.flip(0))
    assert ran == [("first", 1), ("last", 2), ("last", 2)]


def test_memory_for_features_is_bounded_and_changes_nothing(views, monkeypatch):
    sam = adapted(3).get_base_model()
    expected = SelfPrompting(sam).encode(views.image)
    one = 8 * 8 * 24 * 4
    monkeypatch.setattr(model_module, "MOST_BYTES", one)
    model = ModelInTraining(sam, frozen_blocks=3)
    for _ in range(2):
        assert torch.allclose(model.encode(views.image), expected, atol=1e-5)
    assert len(model._kept) == 1
