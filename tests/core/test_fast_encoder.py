"""The chunked encoder says what the plain one says."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_samsp.core import chunked_attention, fast_encoder
from napari_samsp.core.adapter import add_lora
from napari_samsp.core.sam import Architecture, build_sam


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
        fast = fast_encoder.encode(encoder, images)
        assert torch.allclose(fast, encoder(images), atol=1e-5)
        assert torch.get_float32_matmul_precision() == "highest"


def test_lora_is_not_lost_on_the_way():
    torch.manual_seed(0)
    sam = build_sam("samsp_tiny")
    adapted = add_lora(sam, 4, "samsp_tiny")
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    encoder = adapted.get_base_model().image_encoder
    images = torch.randn(1, 3, 256, 256)
    with torch.inference_mode():
        fast = fast_encoder.encode(encoder, images)
        assert torch.allclose(fast, encoder(images), atol=1e-4)
        with adapted.disable_adapter():
            assert not torch.allclose(fast, encoder(images), atol=1e-2)
