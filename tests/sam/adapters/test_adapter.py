"""LoRA through PEFT: exact at the start, through stock PEFT, and merged."""

from __future__ import annotations

import json

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file

import napari_samsp
from napari_samsp.data.rgb import Scaling
from napari_samsp.sam.adapters.adapter import (
    add_lora,
    load_adapter,
    merge,
    save_adapter,
)
from napari_samsp.sam.adapters.adapter_card import AdapterCard, read_card
from napari_samsp.sam.architecture import build_sam
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.utils.errors import InputError


def decode(sam) -> torch.Tensor:
    """Both iterations' logits of a fixed landscape input."""
    images = torch.linspace(-2, 2, 3 * 256 * 256).reshape(1, 3, 256, 256).sin()
    with torch.inference_mode():
        steps = SelfPrompting(sam).eval()(images, torch.tensor([[160, 256]]), 2)
    return torch.cat([step.logits for step in steps])


@pytest.fixture
def base():
    """The bundled model and its hash."""
    loaded = load_sam("samsp_small")
    return loaded.sam, loaded.sha256


def trained(sam, sha256, folder):
    """An adapter whose every trainable tensor has moved, saved; and its logits."""
    model = add_lora(sam, 4, "samsp_small")
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn_like(parameter))
    card = AdapterCard(
        base="samsp_small", base_sha256=sha256, image_size=256,
        scaling=Scaling("limits", 3.0, 70.0), prompt="mask", objects=True,
        field_of_view=(90, 200),
    )  # fmt: skip
    save_adapter(model, folder, card)
    return model


def test_lora_changes_nothing_at_first_and_only_the_encoder_has_it(base):
    sam, _ = base
    before = decode(sam)
    model = add_lora(sam, 4, "samsp_small")
    assert torch.equal(decode(model.get_base_model()), before)
    adapted = [n for n, m in model.named_modules() if isinstance(m, LoraLayer)]
    assert len(adapted) == 2 * 4  # q and v of four blocks
    assert all("image_encoder" in name for name in adapted)


def test_vit_b_has_24_lora_layers():
    with torch.device("meta"):
        model = add_lora(build_sam("vit_b"), 4, "vit_b")
    assert sum(isinstance(m, LoraLayer) for m in model.modules()) == 24


def test_stock_peft_opens_what_we_save(base, tmp_path):
    sam, sha256 = base
    saved = decode(trained(sam, sha256, tmp_path / "a").get_base_model())
    base_model = napari_samsp.load_sam("samsp_small").sam
    stock = PeftModel.from_pretrained(base_model, str(tmp_path / "a"))
    torch.testing.assert_close(decode(stock.get_base_model()), saved, atol=1e-5, rtol=0)
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "samsp_small"


def test_load_and_merge_are_exact(base, tmp_path):
    sam, sha256 = base
    saved = decode(trained(sam, sha256, tmp_path / "a").get_base_model())
    fresh = load_sam("samsp_small").sam
    assert (decode(fresh) - saved).abs().max() > 0.1
    model, card = load_adapter(fresh, tmp_path / "a", sha256)
    assert card == read_card(tmp_path / "a")
    assert card.scaling == Scaling("limits", 3.0, 70.0)
    assert card.field_of_view == (90, 200)
    merged = merge(model)
    torch.testing.assert_close(decode(merged), saved, atol=1e-4, rtol=1e-5)
    assert merged.state_dict().keys() == build_sam("samsp_small").state_dict().keys()


@pytest.mark.parametrize(("stored", "read"), [(120, (120, 120)), (None, None)])
def test_a_card_of_one_field_or_none_is_still_read(base, tmp_path, stored, read):
    """The first adapters saw all images alike."""
    trained(*base, tmp_path / "a")
    file = tmp_path / "a" / "samsp.json"
    file.write_text(
        json.dumps({**json.loads(file.read_text()), "field_of_view": stored})
    )
    assert read_card(tmp_path / "a").field_of_view == read


def test_an_adapter_of_another_base_is_refused(base, tmp_path):
    sam, sha256 = base
    trained(sam, sha256, tmp_path / "a")
    with pytest.raises(InputError, match="made for the base model samsp_small"):
        load_adapter(load_sam("samsp_small").sam, tmp_path / "a", "0" * 64)


def _without(tensors):
    tensors.pop(sorted(tensors)[0])


def _misshapen(tensors):
    name = next(n for n in sorted(tensors) if "lora_A" in n)
    tensors[name] = tensors[name][:, :-1].contiguous()


def _extra(tensors):
    tensors["base_model.model.image_encoder.spare"] = torch.zeros(2)


@pytest.mark.parametrize("damage", [_without, _misshapen, _extra])
def test_wrong_tensors_are_refused(base, tmp_path, damage):
    sam, sha256 = base
    trained(sam, sha256, tmp_path / "a")
    path = tmp_path / "a" / "adapter_model.safetensors"
    tensors = load_file(path)
    damage(tensors)
    save_file(tensors, path)
    with pytest.raises(InputError, match=r"does not fit|cannot be read"):
        load_adapter(load_sam("samsp_small").sam, tmp_path / "a", sha256)


def test_a_truncated_adapter_is_refused(base, tmp_path):
    sam, sha256 = base
    trained(sam, sha256, tmp_path / "a")
    path = tmp_path / "a" / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot be read"):
        load_adapter(load_sam("samsp_small").sam, tmp_path / "a", sha256)


def test_a_failed_save_leaves_the_old_adapter(base, tmp_path, monkeypatch):
    sam, sha256 = base
    model = trained(sam, sha256, tmp_path / "a")
    before = {f.name: f.read_bytes() for f in (tmp_path / "a").iterdir()}

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model, "save_pretrained", full)
    with pytest.raises(OSError, match="No space"):
        save_adapter(model, tmp_path / "a", read_card(tmp_path / "a"))
    assert {f.name: f.read_bytes() for f in (tmp_path / "a").iterdir()} == before
    assert [f.name for f in tmp_path.iterdir()] == ["a"]
