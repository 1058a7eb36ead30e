"""``vit_t`` is MobileSAM: same weights, same embedding, same layout on disk."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from peft.tuners.lora import LoraLayer

from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.sam.adapters.adapter import (
    add_lora,
    load_adapter,
    merge,
    save_adapter,
)
from napari_samsp.sam.adapters.adapter_card import AdapterCard
from napari_samsp.sam.architecture import (
    build_sam,
    detect_architecture,
    from_stock_layout,
    grid_side,
    patch_size,
    to_stock_layout,
)
from napari_samsp.sam.checkpoints import load_sam, load_state_dict
from napari_samsp.sam.kernels.encoder_train import first_blocks, last_blocks
from napari_samsp.self_prompting.promptable import PromptableSam
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.progress import Progress

with warnings.catch_warnings(action="ignore"):  # it imports timm by old names
    from mobilesam_lite.mobile_sam import SamPredictor, sam_model_registry


@pytest.fixture(scope="module")
def mobile():
    """MobileSAM with random weights, norms and biases, which are plain at first."""
    torch.manual_seed(0)
    with warnings.catch_warnings(action="ignore"):
        sam = sam_model_registry["vit_t"]()
    with torch.no_grad():
        for name, value in sam.image_encoder.state_dict().items():
            if name.endswith("attention_biases"):
                value.normal_(std=0.5)
            elif name.endswith(("bn.weight", "running_var")):
                value.uniform_(0.5, 1.5)
            elif name.endswith(("bias", "running_mean")):
                value.normal_(std=0.1)
            elif name.endswith("num_batches_tracked"):
                value.fill_(300)
    sam.train()
    return sam.eval()  # the biases are gathered on the way


@pytest.fixture
def file(mobile, tmp_path):
    path = tmp_path / "mobile_sam.pt"
    torch.save(mobile.state_dict(), path)
    return str(path)


def picture(size: int, height: int) -> torch.Tensor:
    """A normalised landscape image, padded below."""
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(1, 3, size, size, generator=generator)
    image[:, :, height:] = 0
    return image


def test_layout_is_known_and_comes_back_whole(mobile, file):
    state = mobile.state_dict()
    ours = load_sam(file)
    assert ours.architecture == detect_architecture(state) == "vit_t"
    assert detect_architecture(ours.sam.state_dict()) == "vit_t"
    back = to_stock_layout(ours.sam.state_dict())
    assert back.keys() == state.keys()
    for name, value in state.items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(back[name], value), name
    assert ours.note == ""


def test_qkv_is_split_head_by_head():
    state = {
        "image_encoder.patch_embed.seq.0.c.weight": torch.zeros(1),
        "image_encoder.layers.1.blocks.0.attn.attention_biases": torch.zeros(2, 49),
        "image_encoder.layers.1.blocks.0.attn.qkv.bias": torch.arange(12.0),
    }
    split = from_stock_layout(state)
    for name, wanted in {
        "q": [0, 1, 6, 7],
        "k": [2, 3, 8, 9],
        "v": [4, 5, 10, 11],
    }.items():
        found = split[f"image_encoder.blocks.0.attn.{name}_proj.bias"]
        assert found.tolist() == wanted


@pytest.mark.slow
def test_masks_are_those_of_mobilesams_predictor(mobile, file, nuclei):
    """At 1024, without a prompt and with a box."""
    image = nuclei[0][..., None].repeat(3, -1)
    predictor = SamPredictor(mobile)
    predictor.set_image(image)
    segmenter = Segmenter(file, device="cpu")
    segmenter.scaling = type(segmenter.scaling)("none")
    expected, _, _ = predictor.predict(multimask_output=False, return_logits=True)
    (step,) = segmenter.segment(image, 1)
    np.testing.assert_allclose(step.logits, expected[0], atol=1e-3)
    box = np.array([12.0, 8.0, 70.0, 41.0])
    expected, _, _ = predictor.predict(
        box=box, multimask_output=False, return_logits=True
    )
    (step,) = segmenter.prompt(image, boxes=[[8, 12, 41, 70]])
    np.testing.assert_allclose(np.ravel(step.logits), expected.ravel(), atol=1e-3)


@pytest.mark.parametrize("size", [64, 208, 512])
def test_embedding_at_smaller_inputs_is_mobilesams(mobile, file, size):
    """Its code has its input's size written into its blocks: set here, not the weights.

    13 cells of 208 pixels are no whole number of windows.
    """
    encoder = copy.deepcopy(mobile.image_encoder)
    side = size // 4
    for layer, grid in zip(
        encoder.layers, (side, side // 2, side // 4, side // 4), strict=True
    ):
        layer.input_resolution = (grid, grid)
        for block in layer.blocks:
            block.input_resolution = (grid, grid)
        if layer.downsample is not None:
            layer.downsample.input_resolution = (grid, grid)
    images = picture(size, 2 * size // 3)
    loaded = load_sam(file, size).sam
    with torch.inference_mode():
        x = encoder.patch_embed(images)
        for layer in encoder.layers:
            x = layer(x)
        x = x.unflatten(1, (size // 16, size // 16)).permute(0, 3, 1, 2)
        expected = encoder.neck(x)
        found = loaded.image_encoder(images)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert patch_size(loaded.image_encoder) == 16
    assert grid_side(loaded.image_encoder) == size // 16
    assert loaded.prompt_encoder.input_image_size == (size, size)
    with pytest.raises(InputError, match="multiple of 16"):
        load_sam(file, size + 8)


def test_weights_do_not_depend_on_the_input_size(file):
    own, small = load_sam(file).sam, load_sam(file, 96).sam
    assert own.image_encoder.img_size == 1024
    state = small.state_dict()
    assert all(torch.equal(state[k], v) for k, v in own.state_dict().items())


@pytest.mark.parametrize("prefix", ["", "module.", "sam."])
def test_files_of_others_are_read(mobile, tmp_path, prefix):
    """micro-sam keeps its second decoder beside; others leave prefixes."""
    path = tmp_path / "best.pt"
    state = {f"{prefix}{k}": v for k, v in mobile.state_dict().items()}
    torch.save({"model_state": state, "decoder_state": {"x": torch.ones(1)}}, path)
    loaded = load_sam(str(path))
    assert loaded.architecture == "vit_t"
    assert loaded.note == (
        "Left out: a second decoder of a kind that is not known here."
    )
    counters = [name for name in state if name.endswith("num_batches_tracked")]
    assert len(load_state_dict(path)) == 439 - len(counters) == 412


def test_what_is_missing_or_another_tinyvit_is_told(mobile, tmp_path):
    path = tmp_path / "part.pt"
    state = mobile.state_dict()
    del state["image_encoder.layers.2.blocks.3.attn.qkv.bias"]
    torch.save(state, path)
    with pytest.raises(
        InputError, match=r"1 missing \(image_encoder.layers.2.blocks.3"
    ):
        load_sam(str(path))
    state["image_encoder.norm_head.weight"] = torch.zeros(448)
    torch.save(state, path)
    with pytest.raises(InputError, match="TinyViT of width 448"):
        load_sam(str(path))


def test_lora_is_on_q_and_v_and_merges_into_mobilesams_layout(mobile, file, tmp_path):
    images = picture(128, 80)
    loaded = load_sam(file, 128)
    with torch.inference_mode():
        before = loaded.sam.image_encoder(images)
    peft = add_lora(loaded.sam, 2, loaded.name)
    layers = [n for n, m in peft.named_modules() if isinstance(m, LoraLayer)]
    assert len(layers) == 2 * 10
    assert all("image_encoder.blocks" in n for n in layers)
    assert {n.rpartition(".")[2] for n in layers} == {"q_proj", "v_proj"}
    with torch.inference_mode():
        assert torch.equal(loaded.sam.image_encoder(images), before)
        for name, parameter in peft.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
        adapted = loaded.sam.image_encoder(images)
    assert (adapted - before).abs().max() > 0.05
    save_adapter(peft, tmp_path / "a", AdapterCard(loaded.name, loaded.sha256, 128))
    again, _ = load_adapter(load_sam(file, 128).sam, tmp_path / "a", loaded.sha256)
    state = to_stock_layout(merge(again).state_dict())
    mobile_state = mobile.state_dict()
    assert state.keys() == mobile_state.keys()
    fresh = build_sam("vit_t")
    fresh.image_encoder.img_size = 128
    fresh.load_state_dict(from_stock_layout(state))
    with torch.inference_mode():
        found = fresh.image_encoder(images)
    torch.testing.assert_close(found, adapted, atol=1e-4, rtol=0)
    # Of the encoder nothing but q and v has moved.
    moved = {
        k for k, v in mobile_state.items()
        if k.startswith("image_encoder") and not k.endswith("num_batches_tracked")
        and not torch.equal(state[k], v)
    }  # fmt: skip
    assert moved == {k for k in mobile_state if k.endswith(".attn.qkv.weight")}


@pytest.mark.parametrize("count", [0, 1, 2, 8, 10])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_frozen_blocks_run_apart_with_the_same_gradients(file, count, checkpointing):
    """Also where the first part ends on a finer grid than the embedding's."""
    sam = load_sam(file, 64).sam
    peft = add_lora(sam, 2, "vit_t").train()
    torch.manual_seed(2)
    for name, parameter in peft.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    encoder, images = sam.image_encoder, picture(64, 48).repeat(2, 1, 1, 1)

    def gradients(embed):
        encoder.zero_grad()
        out = embed()
        out.square().sum().backward()
        named = encoder.named_parameters()
        return out, {n: p.grad for n, p in named if p.grad is not None}

    expected, plain = gradients(lambda: encoder(images))
    tokens = first_blocks(encoder, images, count).detach()
    if count == 10:
        with torch.no_grad():
            found = last_blocks(encoder, tokens, count, checkpointing)
        torch.testing.assert_close(found, expected)
        return
    found, ours = gradients(lambda: last_blocks(encoder, tokens, count, checkpointing))
    torch.testing.assert_close(found, expected)
    later = {n for n in plain if int(n.split(".")[1]) >= count}
    assert ours.keys() == later
    for name in later:
        torch.testing.assert_close(ours[name], plain[name], atol=1e-4, rtol=1e-3)


def test_training_moves_no_statistics(file):
    """A few corrections' statistics are noise, and the layout's would be lost."""
    sam = load_sam(file, 64).sam
    before = {k: v.clone() for k, v in sam.state_dict().items()}
    images = picture(64, 48)
    with torch.no_grad():
        expected = sam.image_encoder(images)
        assert torch.equal(sam.train().image_encoder(images), expected)
    assert all(torch.equal(before[k], v) for k, v in sam.state_dict().items())


def test_encoding_can_be_stopped_before_every_block(file):
    sam = load_sam(file, 64).sam
    beats = []
    with Progress(beats.append).within(sam), torch.no_grad():
        PromptableSam(sam).encode(picture(64, 48))
    assert len(beats) == 10
