"""The reordered decoder says what the plain one says."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_samsp.sam.adapters.adapter import add_lora
from napari_samsp.sam.architecture import Architecture, build_sam
from napari_samsp.sam.kernels import decoder as fast_decoder
from napari_samsp.self_prompting import promptable
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.self_prompting.prompts import Prompt


def model(grid: int = 5) -> SelfPrompting:
    sam = build_sam(Architecture(8 * grid, 8, 16, 1, 2, (0,), 2, 32, 32))
    for name, parameter in sam.mask_decoder.named_parameters():
        # A norm's bias starts at zero, which would hide a mistake.
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    return SelfPrompting(sam)


@settings(max_examples=15)
@given(
    names=st.sets(st.sampled_from(["boxes", "points", "masks"])),
    images=st.lists(st.integers(0, 2), min_size=1, max_size=5),
    grid=st.integers(2, 6),
    seed=st.integers(0, 99),
)
def test_any_prompt_of_any_image_gives_the_plain_masks(names, images, grid, seed):
    torch.manual_seed(seed)
    ours, n, side = model(grid), len(images), 8.0 * grid
    prompt = Prompt(
        boxes=side * torch.rand(n, 4) if "boxes" in names else None,
        points=side * torch.rand(n, 1, 2) if "points" in names else None,
        masks=torch.randn(n, 1, 4 * grid, 4 * grid) if "masks" in names else None,
    )
    embeddings = torch.randn(3, 32, grid, grid)
    index = torch.tensor(images)
    plain = ours.decode(embeddings, index, prompt)
    assert plain.logits.requires_grad
    with torch.no_grad():
        fast = ours.decode(embeddings, index, prompt)
    assert torch.allclose(fast.logits, plain.logits, atol=1e-4, rtol=1e-4)
    assert torch.allclose(fast.scores, plain.scores, atol=1e-5)


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_how_many_go_together_changes_nothing(at_once, monkeypatch):
    torch.manual_seed(0)
    ours = model()
    embeddings, boxes = torch.randn(1, 32, 5, 5), 40 * torch.rand(7, 4)
    index = torch.zeros(7, dtype=torch.int64)
    monkeypatch.setattr(promptable, "TOKENS_AT_ONCE", (25 * at_once,) * 2)
    with torch.no_grad():
        some = ours.decode(embeddings, index, Prompt(boxes=boxes)).logits
        alone = [
            ours.decode(embeddings, index[:1], Prompt(boxes=box[None])).logits
            for box in boxes
        ]
    assert torch.allclose(some, torch.cat(alone), atol=1e-5)


def test_a_shared_image_is_not_repeated(monkeypatch):
    """Boxes on one image need one embedding, whatever their number."""
    ours, seen = model(), []

    def spy(decoder, images, *rest, plain=fast_decoder.decode):
        seen.append(len(images))
        return plain(decoder, images, *rest)

    monkeypatch.setattr(fast_decoder, "decode", spy)
    monkeypatch.setattr(promptable, "TOKENS_AT_ONCE", (10_000,) * 2)
    index, boxes = torch.tensor([1, 1, 1]), 40 * torch.rand(3, 4)
    with torch.no_grad():
        ours.decode(torch.randn(2, 32, 5, 5), index, Prompt(boxes=boxes))
        ours.decode(torch.randn(2, 32, 5, 5), index - index, Prompt(boxes=boxes))
        ours.decode(
            torch.randn(2, 32, 5, 5), torch.tensor([0, 1, 1]), Prompt(boxes=boxes)
        )
    assert seen == [1, 1, 3]


def test_a_trained_decoder_is_the_one_that_decodes():
    """PEFT keeps the original beside the copy that it trains."""
    torch.manual_seed(0)
    adapted = add_lora(model().sam, 2, "samsp_small")
    ours = SelfPrompting(adapted.get_base_model())
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            with torch.no_grad():
                parameter += 0.1 * torch.randn_like(parameter)
    embeddings, index = torch.randn(1, 32, 5, 5), torch.zeros(1, dtype=torch.int64)
    said = []
    for _ in range(2):
        plain = ours.decode(embeddings, index).logits
        with torch.no_grad():
            fast = ours.decode(embeddings, index).logits
        assert torch.allclose(fast, plain, atol=1e-4, rtol=1e-4)
        said.append(fast)
        adapted.base_model.disable_adapter_layers()
    assert not torch.allclose(*said, atol=0.1)
