"""``python -m napari_samsp.export``: what stock segment_anything reads."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from segment_anything import SamPredictor, sam_model_registry

from napari_samsp.core.adapter import add_lora, save_adapter
from napari_samsp.core.adapter_card import AdapterCard
from napari_samsp.core.checkpoints import load_sam
from napari_samsp.core.errors import InputError
from napari_samsp.core.sam import build_sam, to_stock_layout
from napari_samsp.core.segmenter import Segmenter
from napari_samsp.export import main


def make_adapter(model: str, folder):
    """An adapter whose every trainable tensor has moved."""
    loaded = load_sam(model)
    peft_model = add_lora(loaded.sam, 2, loaded.name)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in peft_model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn_like(parameter))
    size = loaded.sam.image_encoder.img_size
    save_adapter(peft_model, folder, AdapterCard(loaded.name, loaded.sha256, size))


@pytest.mark.slow
def test_stock_sam_loads_it_strictly_and_gives_the_same_mask(tmp_path, nuclei):
    base = tmp_path / "mine.safetensors"
    torch.manual_seed(0)
    save_file(to_stock_layout(build_sam("vit_b").state_dict()), base)
    make_adapter(str(base), tmp_path / "a")
    out = tmp_path / "merged.pth"
    with pytest.raises(InputError, match=r"made for the model file mine\.safetensors"):
        main([str(tmp_path / "a"), "--output", str(out)])
    main([str(tmp_path / "a"), "--output", str(out), "--model", str(base)])

    stock = sam_model_registry["vit_b"](checkpoint=str(out))
    image = nuclei[0][..., None].repeat(3, -1)
    predictor = SamPredictor(stock)
    predictor.set_image(image)
    expected, _, _ = predictor.predict(multimask_output=False, return_logits=True)
    del stock, predictor
    segmenter = Segmenter(base, adapter=tmp_path / "a")
    segmenter.scaling = type(segmenter.scaling)("none")
    (step,) = segmenter.segment(image, 1)
    torch.testing.assert_close(
        torch.from_numpy(step.logits),
        torch.from_numpy(expected[0]),
        atol=1e-3,
        rtol=1e-4,
    )


def test_the_small_model_is_exported_in_the_same_layout(tmp_path, nuclei):
    make_adapter("samsp_tiny", tmp_path / "a")
    out = tmp_path / "merged.safetensors"
    main([str(tmp_path / "a"), "--output", str(out)])
    assert any(".attn.qkv." in name for name in load_file(out))
    merged = Segmenter(out).segment(nuclei[0], 2)
    adapted = Segmenter(adapter=tmp_path / "a").segment(nuclei[0], 2)
    for one, other in zip(merged, adapted, strict=True):
        assert abs(one.logits - other.logits).max() < 1e-4


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(InputError, match="must end in"):
        main([str(tmp_path), "--output", str(tmp_path / "a.onnx")])
