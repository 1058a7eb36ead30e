"""The chunked encoder says what the plain one says."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_samsp.sam.adapters.adapter import add_lora
from napari_samsp.sam.architecture import Architecture, build_sam
from napari_samsp.sam.kernels import attention as chunked_attention
from napari_samsp.sam.kernels import encoder_cpu as fast_encoder
from napari_samsp.utils.device import PRECISION_VARIABLE, has_bfloat16, likes_bfloat16

if TYPE_CHECKING:
    from peft import PeftModel


def encoder_of(architecture):
    encoder = build_sam(architecture).image_encoder
    for name, parameter in encoder.named_parameters():
        # Stock weights start at zero here, which would hide a mistake.
        if "rel_pos" in name or name == "pos_embed":
            torch.nn.init.normal_(parameter, std=0.3)
    return encoder


@settings(max_examples=10)
@given(
    grid=st.integers(2, 9),
    window=st.integers(1, 6),
    batch=st.integers(1, 2),
    scores=st.sampled_from([1, 50, 400, 10_000]),
    seed=st.integers(0, 99),
)
def test_chunks_windows_and_padding_change_nothing(grid, window, batch, scores, seed):
    torch.manual_seed(seed)
    encoder = encoder_of(Architecture(8 * grid, 8, 24, 3, 2, (1,), window, 16, 32))
    images = torch.randn(batch, 3, 8 * grid, 8 * grid)
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(chunked_attention, "SCORES_AT_ONCE", scores)
        patch.setattr(fast_encoder, "TOKENS_AT_ONCE", 7)
        fast = fast_encoder.encode(encoder, images, bfloat16=False)
        assert torch.allclose(fast, encoder(images), atol=1e-5)
        assert torch.get_float32_matmul_precision() == "highest"


def with_lora() -> PeftModel:
    """A small SAM whose LoRA says something, as after training."""
    torch.manual_seed(0)
    small = Architecture(256, 16, 96, 4, 3, (1, 3), 8, 64, 64)
    adapted = add_lora(build_sam(small), 4, "small")
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return adapted


def test_lora_is_not_lost_on_the_way():
    adapted = with_lora()
    encoder = adapted.get_base_model().image_encoder
    images = torch.randn(1, 3, 256, 256)
    with torch.inference_mode():
        fast = fast_encoder.encode(encoder, images, bfloat16=False)
        assert torch.allclose(fast, encoder(images), atol=1e-4)
        with adapted.disable_adapter():
            assert not torch.allclose(fast, encoder(images), atol=1e-2)


def test_lora_counts_in_bfloat16_too():
    adapted = with_lora()
    encoder = adapted.get_base_model().image_encoder
    images = torch.randn(1, 3, 256, 256)
    with torch.inference_mode():
        exact = encoder(images)
        near = fast_encoder.encode(encoder, images, bfloat16=True)
    assert near.dtype == torch.float32
    assert torch.linalg.norm(near - exact) < 0.02 * torch.linalg.norm(exact)


def test_a_processor_rounds_only_when_asked_to(monkeypatch):
    monkeypatch.delenv(PRECISION_VARIABLE, raising=False)
    assert not likes_bfloat16(torch.device("cpu"))
    monkeypatch.setenv(PRECISION_VARIABLE, "bfloat16")
    assert likes_bfloat16(torch.device("cpu")) == has_bfloat16(torch.device("cpu"))


def test_the_precision_is_put_back_when_the_last_thread_is_through(monkeypatch):
    """Two that overlap, the first of them ending first."""
    monkeypatch.setattr(chunked_attention, "_medium_is_exact", lambda: True)
    inside, go_on = threading.Event(), threading.Event()

    def other():
        with chunked_attention.fast_products():
            inside.set()
            assert go_on.wait(60)

    before = torch.get_float32_matmul_precision()
    thread = threading.Thread(target=other)
    with chunked_attention.fast_products():
        thread.start()
        assert inside.wait(60)
    assert torch.get_float32_matmul_precision() == "medium" != before
    go_on.set()
    thread.join()
    assert torch.get_float32_matmul_precision() == before
