"""Our SAM is stock SAM: same weights, same masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor, build_sam_vit_b
from segment_anything.modeling import MaskDecoder

from napari_samsp.sam.architecture import (
    Architecture,
    build_sam,
    detect_architecture,
    from_stock_layout,
    to_stock_layout,
)
from napari_samsp.self_prompting.letterbox import logits_to_image, to_model_input
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.self_prompting.prompts import Prompt
from napari_samsp.utils.errors import InputError


@pytest.fixture(scope="module")
def stock():
    """Stock vit_b with random weights, the relative positions (zero at first) too."""
    torch.manual_seed(0)
    sam = build_sam_vit_b()
    with torch.no_grad():
        for name, parameter in sam.named_parameters():
            if "rel_pos" in name or "pos_embed" in name:
                parameter.normal_(std=0.2)
    return sam


def test_masks_equal_sam_predictor(stock):
    """A landscape image, without a prompt and with a box: logits to 1e-4."""
    image = np.random.default_rng(0).integers(0, 255, (60, 100, 3), np.uint8)
    box = np.array([12.0, 8.0, 70.0, 41.0])
    predictor = SamPredictor(stock)
    predictor.set_image(image)

    ours = SelfPrompting(build_sam("vit_b"))
    ours.sam.load_state_dict(from_stock_layout(stock.state_dict()))
    tensor, valid = to_model_input(image, 1024)
    with torch.inference_mode():
        embedding = ours.encode(tensor[None])
        scale = valid.flip(0).repeat(2) / torch.tensor([100, 60, 100, 60])
        prompts = [None, Prompt(boxes=(torch.tensor(box) * scale).float()[None])]
        for prompt, wanted_box in zip(prompts, (None, box), strict=True):
            full, score, low = predictor.predict(
                box=wanted_box, multimask_output=False, return_logits=True
            )
            decoding = ours.decode(embedding, torch.tensor([0]), prompt)
            np.testing.assert_allclose(decoding.logits.numpy(), low, atol=1e-4)
            np.testing.assert_allclose(decoding.scores.numpy(), score, atol=1e-4)
            mask = logits_to_image(
                decoding.logits, 1024, tuple(valid.tolist()), image.shape[:2]
            )
            np.testing.assert_allclose(mask.numpy(), full, atol=1e-4)


def test_state_dict_goes_to_stock_layout_and_back(stock):
    state = stock.state_dict()
    split = from_stock_layout(state)
    assert not any(".qkv." in key for key in split)
    fused = to_stock_layout(split)
    assert list(fused.keys() ^ state.keys()) == []
    for key, value in state.items():
        assert torch.equal(fused[key], value), key
    assert detect_architecture(state) == detect_architecture(split) == "vit_b"


def test_a_small_sam_computes_what_stock_modules_do():
    a = Architecture(128, 16, 48, 2, 3, (1,), 4, prompt_dim=64, decoder_mlp_dim=128)
    ours = build_sam(a)
    decoder = MaskDecoder(
        num_multimask_outputs=3,
        transformer=ours.mask_decoder.transformer,
        transformer_dim=a.prompt_dim,
    )
    decoder.load_state_dict(ours.mask_decoder.state_dict())
    side = a.embedding_size
    embedding = torch.randn(1, a.prompt_dim, side, side)
    sparse = torch.randn(5, 2, a.prompt_dim)
    dense = torch.randn(5, a.prompt_dim, side, side)
    pe = ours.prompt_encoder.get_dense_pe()
    with torch.inference_mode():
        expected = decoder(embedding, pe, sparse, dense, True)
        got = ours.mask_decoder(embedding, pe, sparse, dense, True)
    for one, other in zip(expected, got, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_an_unknown_checkpoint_is_named_plainly():
    with pytest.raises(InputError, match="holds no SAM"):
        detect_architecture({"conv.weight": torch.zeros(1)})
    with pytest.raises(InputError, match="0 blocks of width 7"):
        detect_architecture({"image_encoder.pos_embed": torch.zeros(1, 2, 2, 7)})
