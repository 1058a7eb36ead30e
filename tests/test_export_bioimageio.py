"""``python -m napari_samsp.export``: bioimage.io packages, judged by its validator."""

from __future__ import annotations

import sys
import zipfile

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from safetensors.torch import save_file

from napari_samsp.data.rgb import Scaling, to_rgb8
from napari_samsp.data.training_sets.classes import LabelClass
from napari_samsp.export import main
from napari_samsp.inference.bioimageio_package import what_is_lost
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.sam.adapters.adapter import add_lora, save_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard
from napari_samsp.sam.adapters.class_tokens import add_class_tokens
from napari_samsp.sam.architecture import build_sam, to_stock_layout
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.sample_data import nuclei
from napari_samsp.self_prompting.letterbox import logits_to_image, to_model_input
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.utils.errors import InputError

CLASSES = (LabelClass(1, "nucleus", "#ff0000"), LabelClass(3, "other", "#00ff00"))
CLOSE = 1e-3
"""Largest difference between onnxruntime's logits and ours, which reach some tens."""


# bioimageio.spec leaves the closing of files to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


def make_adapter(model: str, folder, size: int | None = None, **card):
    """An adapter whose every trainable tensor has moved."""
    loaded = load_sam(model, size)
    add_class_tokens(loaded.sam, len(card.get("classes", ())))
    peft_model = add_lora(loaded.sam, 2, loaded.name)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in peft_model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn_like(parameter))
    size = int(loaded.sam.image_encoder.img_size)
    save_adapter(
        peft_model, folder, AdapterCard(loaded.name, loaded.sha256, size, **card)
    )
    return folder


def validate(package):
    """What bioimage.io's validator says, and the description inside."""
    from bioimageio.core import test_model as judge

    summary = judge(package, devices=["CPUExecutionProvider"])
    assert summary.status == "passed", summary.format()
    with zipfile.ZipFile(package) as opened:
        files = {
            name: opened.read(name)
            for name in opened.namelist()
            if "weights" not in name
        }
        opened.extract("weights.onnx", package.parent)
    session = onnxruntime.InferenceSession(package.parent / "weights.onnx")
    return session, files


def picture(height: int, width: int) -> np.ndarray:
    """A part of a real image, ``(height, width, 3)`` uint8."""
    return np.ascontiguousarray(to_rgb8(nuclei()[0][0])[:height, :width])


def run(session, image: np.ndarray) -> np.ndarray:
    """``(K, Y, X)`` logits."""
    given = image.transpose(2, 0, 1)[None].astype(np.float32)
    return session.run(None, {"image": given})[0][0]


@pytest.mark.slow
def test_a_package_is_valid_and_its_logits_are_the_segmenters(tmp_path, capsys):
    adapter = make_adapter(
        "samsp_small", tmp_path / "my cells", field_of_view=(128, 300), images=7
    )
    package = tmp_path / "my.model.bioimageio.zip"
    main([str(adapter), "--output", str(package)])
    said = capsys.readouterr().out
    assert "trained on views of 128 to 300 pixels, each resized to 256" in said
    session, files = validate(package)
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "my cells", "my.model.bioimageio.zip", "weights.onnx"
    ]  # fmt: skip

    image = picture(200, 256)
    segmenter = Segmenter(adapter=adapter, device="cpu", scaling=Scaling("none"))
    first, last = segmenter.segment(image, 2, tile="off")
    assert 0.05 < last.area_fraction < 0.95
    assert np.abs(first.logits - last.logits).max() > 0.1  # a prompt was made
    (logits,) = run(session, image)
    assert np.abs(logits - last.logits).max() < CLOSE

    described = yaml.safe_load(files["rdf.yaml"])
    assert [one["doi"] for one in described["cite"]] == [
        "10.48550/arXiv.2408.12364", "10.48550/arXiv.2304.02643"
    ]  # fmt: skip
    assert described["config"]["samsp"]["base"] == "samsp_small"
    assert b"views of 128 to 300 pixels" in files["README.md"]
    assert b"samsp_small: BSD-3-Clause" in files["LICENCE.txt"]


@pytest.mark.slow
def test_a_package_of_a_vit_with_classes_has_a_channel_a_class(tmp_path):
    """A random ``vit_t`` at an input of 112 pixels, with fixed intensity limits."""
    base = tmp_path / "mine.safetensors"
    torch.manual_seed(0)
    save_file(to_stock_layout(build_sam("vit_t").state_dict()), base)
    adapter = make_adapter(
        str(base), tmp_path / "a", 112, classes=CLASSES,
        scaling=Scaling("limits", 100, 4000),
    )  # fmt: skip
    package = tmp_path / "vit.bioimageio.zip"
    main([str(adapter), "--output", str(package), "--model", str(base)])
    session, files = validate(package)
    described = yaml.safe_load(files["rdf.yaml"])
    (channels,) = (
        axis for axis in described["outputs"][0]["axes"] if axis["type"] == "channel"
    )
    assert channels["channel_names"] == ["nucleus", "other"]

    image = picture(112, 80)
    model = SelfPrompting(Segmenter(base, adapter=adapter, device="cpu").sam)
    pixels, valid = to_model_input(image, 112)
    with torch.inference_mode():
        last = model(pixels[None], valid[None], 2)[-1]
    expected = logits_to_image(last.logits, 112, (112, 80), (112, 80)).numpy()
    assert np.abs(run(session, image) - expected).max() < CLOSE


def test_what_objects_lose_is_said():
    (said,) = what_is_lost(AdapterCard("samsp_small", "0" * 64, 256, objects=True))
    assert "foreground of iteration 0" in said
    assert not what_is_lost(AdapterCard("samsp_small", "0" * 64, 256))


def test_without_bioimageio_the_message_says_what_to_install(tmp_path, monkeypatch):
    adapter = make_adapter("samsp_small", tmp_path / "a")
    monkeypatch.setitem(sys.modules, "bioimageio.spec", None)
    with pytest.raises(InputError, match=r"napari-samsp\[bioimageio\]"):
        main([str(adapter), "--output", str(tmp_path / "a.bioimageio.zip")])
    assert [one.name for one in tmp_path.iterdir()] == ["a"]
