"""The encoder in training gives stock's embedding and stock's gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_samsp.sam.adapters.adapter import add_lora
from napari_samsp.sam.architecture import ARCHITECTURES, Architecture, build_sam
from napari_samsp.sam.kernels import attention as chunked_attention
from napari_samsp.sam.kernels import encoder_train as training_encoder
from napari_samsp.sam.kernels.encoder_train import first_blocks, last_blocks


def adapted(architecture, everything=False):
    """A SAM with LoRA that changes something; stock's zeros would hide a mistake."""
    model = add_lora(build_sam(architecture), 3, "a test").double()
    for name, parameter in model.named_parameters():
        if "rel_pos" in name or "pos_embed" in name or "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
        if everything and "image_encoder" in name:
            parameter.requires_grad_(True)
    return model.get_base_model().image_encoder


def gradients(encoder, embed, images, direction):
    """Of every trainable parameter, as one vector."""
    encoder.zero_grad()
    out = embed(images)
    (out * direction).sum().backward()
    found = [p.grad.flatten() for p in encoder.parameters() if p.grad is not None]
    return out.detach(), torch.cat(found)


@settings(max_examples=10)
@given(
    grid=st.integers(2, 9),
    window=st.integers(1, 6),
    batch=st.integers(1, 2),
    scores=st.sampled_from([40, 400, 10_000]),
    split=st.integers(0, 2),
    checkpointing=st.booleans(),
    everything=st.booleans(),
    seed=st.integers(0, 99),
)
def test_gradients_are_stocks(
    grid, window, batch, scores, split, checkpointing, everything, seed
):
    """Windows that do not divide the grid, global attention, and padded images."""
    torch.manual_seed(seed)
    encoder = adapted(
        Architecture(8 * grid, 8, 24, 3, 2, (1,), window, 16, 32), everything
    )
    images = torch.randn(batch, 3, 8 * grid, 8 * grid).double()
    images[..., 5 * grid :, :] = 0  # a landscape image's padding
    direction = torch.randn(batch, 16, grid, grid).double()

    def ours(images):
        tokens = first_blocks(encoder, images, split)
        return last_blocks(encoder, tokens, split, checkpointing)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunked_attention, "SCORES_AT_ONCE", scores)
        patch.setattr(training_encoder, "WORTH_IT_TOKENS", 0)
        said, found = gradients(encoder, ours, images, direction)
    expected, stock = gradients(encoder, encoder, images, direction)
    assert torch.allclose(said, expected, atol=1e-10)
    assert len(found) == len(stock)
    assert torch.linalg.norm(found - stock) <= 1e-9 * torch.linalg.norm(stock)


def test_float32_gradients_of_1600_tokens_are_within_a_hundred_thousandth():
    """At the size from which it is used, so that nothing here is switched by hand."""
    torch.manual_seed(0)
    encoder = adapted(Architecture(640, 16, 48, 2, 2, (1,), 14, 16, 32)).float()
    images = torch.randn(1, 3, 640, 640)
    images[..., :, 400:] = 0
    direction = torch.randn(1, 16, 40, 40)

    def ours(images):
        return last_blocks(encoder, first_blocks(encoder, images, 0), 0)

    _, found = gradients(encoder, ours, images, direction)
    _, stock = gradients(encoder, encoder, images, direction)
    assert torch.linalg.norm(found - stock) <= 1e-5 * torch.linalg.norm(stock)
    # It did not just take the plain way: scores of all tokens were never kept.
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.append(t.numel()) or t, lambda t: t
    ):
        ours(images)
    assert max(kept) < 2 * 1600 * 1600


def test_bfloat16_gradients_point_the_same_way():
    torch.manual_seed(0)
    encoder = adapted(Architecture(640, 16, 48, 2, 2, (1,), 14, 16, 32)).float()
    images, direction = torch.randn(1, 3, 640, 640), torch.randn(1, 16, 40, 40)

    def ours(images):
        with torch.autocast("cpu", torch.bfloat16):
            return last_blocks(encoder, first_blocks(encoder, images, 0), 0).float()

    _, found = gradients(encoder, ours, images, direction)
    _, stock = gradients(encoder, encoder, images, direction)
    assert torch.nn.functional.cosine_similarity(found, stock, 0) > 0.995


def test_small_inputs_run_the_plain_blocks():
    """Their arithmetic is stock's own, bit by bit."""
    torch.manual_seed(0)
    encoder = adapted(ARCHITECTURES["samsp_small"]).float()
    images = torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        said = last_blocks(encoder, first_blocks(encoder, images, 4), 4)
        assert torch.equal(said, encoder(images))
