"""A SAM at another input size: the same tensors at its own, like masks at others."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from segment_anything.modeling.image_encoder import get_rel_pos

from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.sam import architecture as sam
from napari_samsp.sam.adapters.adapter import add_lora, save_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard, write_card
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.utils.errors import InputError

MINI = sam.Architecture(64, 16, 32, 2, 2, (1,), 2, prompt_dim=32, decoder_mlp_dim=64)


@pytest.fixture
def checkpoint(monkeypatch, tmp_path):
    """A small random SAM of 64 pixels in stock layout, its file and its tensors."""
    monkeypatch.setitem(sam.ARCHITECTURES, "mini", MINI)
    torch.manual_seed(0)
    state = sam.to_stock_layout(sam.build_sam(MINI).state_dict())
    for key, value in state.items():
        if "pos" in key:  # zero at first
            value.normal_()
        assert value.isfinite().all()
    path = tmp_path / "mini.pth"
    torch.save(state, path)
    return str(path), state


def encode(model, size: int) -> torch.Tensor:
    image = torch.linspace(-2, 2, 3 * size * size).reshape(1, 3, size, size).sin()
    with torch.inference_mode():
        return model.image_encoder(image)


def test_at_its_own_size_nothing_changes(checkpoint) -> None:
    path, state = checkpoint
    for size in (None, 64):
        loaded = load_sam(path, size).sam
        same = sam.to_stock_layout(loaded.state_dict())
        assert all(torch.equal(same[key], value) for key, value in state.items())
        assert loaded.image_encoder.img_size == 64


@pytest.mark.parametrize("size", [16, 32, 48, 80, 128])
def test_only_positions_change_and_the_shapes_follow(checkpoint, size: int) -> None:
    path, state = checkpoint
    loaded = load_sam(path, size).sam
    other = sam.to_stock_layout(loaded.state_dict())
    changed = {k for k, v in state.items() if not torch.equal(other[k], v)}
    assert changed == {
        "image_encoder.pos_embed",
        "image_encoder.blocks.1.attn.rel_pos_h",
        "image_encoder.blocks.1.attn.rel_pos_w",
    }
    cells = size // 16
    assert encode(loaded, size).shape == (1, 32, cells, cells)
    assert loaded.prompt_encoder.image_embedding_size == (cells, cells)
    assert loaded.prompt_encoder.input_image_size == (size, size)
    assert loaded.prompt_encoder.mask_input_size == (4 * cells, 4 * cells)


@pytest.mark.parametrize("size", [32, 128])
def test_relative_positions_are_those_of_segment_anything(checkpoint, size) -> None:
    path, state = checkpoint
    key = "image_encoder.blocks.1.attn.rel_pos_h"
    cells = size // 16
    ours = load_sam(path, size).sam.state_dict()[key]
    torch.testing.assert_close(
        get_rel_pos(cells, cells, ours), get_rel_pos(cells, cells, state[key])
    )


def test_positions_keep_their_place(checkpoint) -> None:
    """A ramp stays a ramp: not turned, not shifted by more than its ends."""
    path, state = checkpoint
    rows = torch.arange(4.0)[:, None].expand(4, 4)
    columns = 10 * torch.arange(4.0)[None].expand(4, 4)
    state["image_encoder.pos_embed"][0, ..., 0] = rows
    state["image_encoder.pos_embed"][0, ..., 1] = columns
    torch.save(state, path)
    position = load_sam(path, 128).sam.state_dict()["image_encoder.pos_embed"][0]
    middle = slice(2, 6)
    wanted = (torch.arange(8.0) + 0.5) / 2 - 0.5
    torch.testing.assert_close(position[middle, 0, 0], wanted[middle], atol=0.1, rtol=0)
    torch.testing.assert_close(
        position[0, middle, 1], 10 * wanted[middle], atol=1.0, rtol=0
    )


def test_a_checkpoint_that_was_saved_at_another_size_keeps_it(
    checkpoint, tmp_path
) -> None:
    smaller = load_sam(checkpoint[0], 32).sam
    path = tmp_path / "smaller.pth"
    torch.save(sam.to_stock_layout(smaller.state_dict()), path)
    loaded = load_sam(str(path)).sam
    assert loaded.image_encoder.img_size == 32
    assert torch.equal(encode(loaded, 32), encode(smaller, 32))


@pytest.mark.parametrize("size", [0, -16, 8, 100])
def test_other_sizes_are_refused_with_one_that_goes(checkpoint, size: int) -> None:
    with pytest.raises(InputError, match=f"multiple of 16, such as .*, not {size}"):
        load_sam(checkpoint[0], size)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return np.count_nonzero(one & other) / max(np.count_nonzero(one | other), 1)


@pytest.mark.parametrize("size", [128, 384, 512])
def test_masks_at_another_size_are_like_those_at_the_own(nuclei, size: int) -> None:
    image, labels = nuclei
    native = Segmenter().segment(image, 2, tile="off")[-1].labels > 0
    segmenter = Segmenter(input_size=size)
    assert segmenter.input_size == size
    found = segmenter.segment(image, 2, tile="off")[-1].labels > 0
    assert found.shape == image.shape
    assert iou(found, native) > 0.7
    assert iou(found, labels > 0) > 0.7


def test_an_adapter_brings_its_input_size(tmp_path) -> None:
    loaded = load_sam("samsp_small", 128)
    card = AdapterCard("samsp_small", loaded.sha256, 128)
    save_adapter(add_lora(loaded.sam, 2, "samsp_small"), tmp_path / "a", card)
    assert Segmenter(adapter=tmp_path / "a").input_size == 128
    assert Segmenter(adapter=tmp_path / "a", input_size=256).input_size == 256
    write_card(tmp_path / "a", dataclasses.replace(card, image_size=100))
    with pytest.raises(InputError, match="multiple of 16"):
        Segmenter(adapter=tmp_path / "a")
