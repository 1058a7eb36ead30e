"""``python -m napari_samsp.export``: what stock segment_anything reads."""

from __future__ import annotations

import json
import sys
import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file
from segment_anything import SamPredictor, sam_model_registry

from napari_samsp.data.rgb import to_rgb8
from napari_samsp.export import main
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.sam import onnx_export
from napari_samsp.sam.adapters.adapter import add_lora, save_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard
from napari_samsp.sam.architecture import build_sam, to_stock_layout
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.sample_data import nuclei as nuclei_sample
from napari_samsp.self_prompting.letterbox import to_model_input
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.self_prompting.prompts import Prompt
from napari_samsp.utils.errors import InputError


def make_adapter(model: str, folder, trained_at: int | None = None):
    """An adapter whose every trainable tensor has moved."""
    loaded = load_sam(model)
    peft_model = add_lora(loaded.sam, 2, loaded.name)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in peft_model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn_like(parameter))
    size = loaded.sam.image_encoder.img_size
    card = AdapterCard(loaded.name, loaded.sha256, trained_at or size)
    save_adapter(peft_model, folder, card)


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


def test_the_small_model_is_exported_for_load_sam_and_says_so(tmp_path, nuclei, capsys):
    make_adapter("samsp_small", tmp_path / "a")
    out = tmp_path / "merged.safetensors"
    main([str(tmp_path / "a"), "--output", str(out)])
    assert f"{out} opens with napari_samsp.load_sam" in capsys.readouterr().out
    assert any(".attn.qkv." in name for name in load_file(out))
    merged = Segmenter(out).segment(nuclei[0], 2)
    adapted = Segmenter(adapter=tmp_path / "a").segment(nuclei[0], 2)
    for one, other in zip(merged, adapted, strict=True):
        assert abs(one.logits - other.logits).max() < 1e-4


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A random ``vit_t`` in MobileSAM's layout."""
    path = tmp_path_factory.mktemp("tiny") / "mobile_sam.pt"
    torch.manual_seed(0)
    sam = build_sam("vit_t")
    for name, value in sam.state_dict().items():
        if name.endswith("bn.weight"):  # some are 0 at first
            value.uniform_(0.5, 1.5)
    torch.save(to_stock_layout(sam.state_dict()), path)
    return path


@pytest.mark.slow
def test_mobilesam_loads_a_vit_t_strictly_and_gives_the_same_mask(
    tmp_path, nuclei, tiny, capsys
):
    with warnings.catch_warnings(action="ignore"):  # it imports timm by old names
        from mobilesam_lite.mobile_sam import SamPredictor as MobilePredictor
        from mobilesam_lite.mobile_sam import sam_model_registry as mobile_registry
    make_adapter(str(tiny), tmp_path / "a")
    out = tmp_path / "merged.pt"
    main([str(tmp_path / "a"), "--output", str(out), "--model", str(tiny)])
    assert "sam_model_registry opens it as vit_t" in capsys.readouterr().out
    with warnings.catch_warnings(action="ignore"):
        predictor = MobilePredictor(mobile_registry["vit_t"](checkpoint=str(out)))
    image = nuclei[0][..., None].repeat(3, -1)
    predictor.set_image(image)
    expected, _, _ = predictor.predict(multimask_output=False, return_logits=True)
    segmenter = Segmenter(tiny, adapter=tmp_path / "a", device="cpu")
    segmenter.scaling = type(segmenter.scaling)("none")
    (step,) = segmenter.segment(image, 1)
    assert np.abs(step.logits - expected[0]).max() < 1e-3


def test_a_vit_t_as_onnx_gives_torchs_masks(tmp_path, tiny):
    """At an input of 112 pixels, whose 7 cells are one window and half of another."""
    make_adapter(str(tiny), tmp_path / "a", trained_at=112)
    main(
        [
            str(tmp_path / "a"),
            "--output",
            str(tmp_path / "t.onnx"),
            "--model",
            str(tiny),
        ]
    )
    encoder, decoder = (
        onnxruntime.InferenceSession(tmp_path / f"t.{part}.onnx")
        for part in ("encoder", "decoder")
    )
    segmenter = Segmenter(tiny, adapter=tmp_path / "a", device="cpu", input_size=112)
    model = SelfPrompting(segmenter.sam)
    image, _ = to_model_input(to_rgb8(nuclei_sample()[0][0]), 112)
    with torch.inference_mode():
        expected = model.encode(image[None])
        first = model.decode(expected, torch.zeros(1, dtype=torch.int64))
    (embedding,) = encoder.run(None, {"image": image[None].numpy()})
    assert np.abs(embedding - expected.numpy()).max() < 1e-4
    inputs = {
        "image_embeddings": embedding,
        "point_coords": np.zeros((1, 0, 2), np.float32),
        "point_labels": np.zeros((1, 0), np.float32),
        "mask_input": np.zeros((1, 1, 28, 28), np.float32),
        "has_mask_input": np.float32([0]),
        "orig_im_size": np.float32([80, 112]),
    }
    masks, _, logits = decoder.run(None, inputs)
    assert np.abs(logits[:, 0] - first.logits.numpy()).max() < 1e-4
    assert masks.shape == (1, 1, 80, 112)


def test_an_adapter_of_another_input_size_is_exported_only_if_asked(tmp_path, capsys):
    make_adapter("samsp_small", tmp_path / "a", trained_at=512)
    out = tmp_path / "merged.pth"
    with pytest.raises(InputError, match="trained at an input size of 512"):
        main([str(tmp_path / "a"), "--output", str(out)])
    assert not out.exists()
    main([str(tmp_path / "a"), "--output", str(out), "--any-input-size"])
    assert "trained at 512" in capsys.readouterr().out
    assert out.exists()


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(InputError, match="must end in"):
        main([str(tmp_path), "--output", str(tmp_path / "a.h5")])


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Both ONNX files in onnxruntime, the same model in torch, and a real image."""
    folder = tmp_path_factory.mktemp("onnx")
    make_adapter("samsp_small", folder / "a")
    with pytest.MonkeyPatch.context() as patch:
        # Between the sizes of the two: as if the encoder were too large for a file.
        patch.setattr(onnx_export, "ONE_FILE_BYTES", 8_000_000)
        main([str(folder / "a"), "--output", str(folder / "my.model.onnx")])
    assert sorted(f.name for f in folder.iterdir()) == [
        "a", "my.model.decoder.onnx", "my.model.encoder.onnx",
 "my.model.encoder.onnx.data"
    ]  # fmt: skip
    encoder, decoder = (
        onnxruntime.InferenceSession(folder / f"my.model.{part}.onnx")
        for part in ("encoder", "decoder")
    )
    sam = Segmenter(adapter=folder / "a", device="cpu").sam
    picture = to_rgb8(nuclei_sample()[0][0])
    image, _ = to_model_input(picture, 256)
    return encoder, decoder, SelfPrompting(sam), image[None]


def test_the_onnx_encoder_gives_torchs_embedding(exported):
    encoder, _, model, image = exported
    (embedding,) = encoder.run(None, {"image": image.numpy()})
    with torch.inference_mode():
        expected = model.encode(image)
    assert np.abs(embedding - expected.numpy()).max() < 1e-4


@pytest.mark.parametrize("kind", ["none", "box", "mask", "box+mask", "many boxes"])
def test_the_onnx_decoder_gives_torchs_masks(exported, kind):
    _, decoder, model, image = exported
    boxes = torch.tensor([[20.0, 30, 90, 80], [100, 10, 250, 130], [5, 6, 7, 200]])
    boxes = boxes if kind == "many boxes" else boxes[:1]
    boxed, masked = "box" in kind, "mask" in kind
    with torch.inference_mode():
        embedding = model.encode(image)
        first = model.decode(embedding, torch.zeros(1, dtype=torch.int64))
        masks = first.logits[:, None]
        expected = model.decode(
            embedding,
            torch.zeros(len(boxes), dtype=torch.int64),
            Prompt(boxes=boxes if boxed else None, masks=masks if masked else None),
        )
    corners = boxes.reshape(-1, 2, 2).numpy()[:, : 2 * boxed]
    shape = (len(boxes), 1, 128, 128)
    full, scores, logits = decoder.run(
        None,
        {
            "image_embeddings": embedding.numpy(),
            "point_coords": corners,
            "point_labels": np.tile(np.float32([2, 3]), (len(boxes), 1))[
                :, : 2 * boxed
            ],
            "mask_input": masks.expand(shape).numpy(),
            "has_mask_input": np.float32([masked]),
            "orig_im_size": np.float32([300, 400]),
        },
    )
    assert full.shape == (len(boxes), 1, 300, 400)
    assert logits.shape == shape
    assert np.abs(logits[:, 0] - expected.logits.numpy()).max() < 1e-4
    assert np.abs(scores[:, 0] - expected.scores.numpy()).max() < 1e-4


def test_an_onnx_file_says_what_running_it_needs(exported):
    for session in exported[:2]:
        about = session.get_modelmeta().custom_metadata_map
        assert json.loads(about["samsp"])["prompt"] == "box+mask"
        assert json.loads(about["pixel_mean"]) == [123.675, 116.28, 103.53]


def test_without_onnx_the_message_says_what_to_install(tmp_path, monkeypatch):
    make_adapter("samsp_small", tmp_path / "a")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"onnxscript: .*napari-samsp\[onnx\]"):
        main([str(tmp_path / "a"), "--output", str(tmp_path / "a.onnx")])
    assert [f.name for f in tmp_path.iterdir()] == ["a"]
