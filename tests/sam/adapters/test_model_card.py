"""The README of an adapter, as a person and as the Hugging Face Hub read it."""

from __future__ import annotations

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.utils import validate_repo_id

from napari_samsp.sam.adapters.adapter import add_lora, save_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard, read_card
from napari_samsp.sam.adapters.model_card import model_card, rename_adapter
from napari_samsp.sam.checkpoints import load_sam

FIGURES = {
    "before": {"dice": [0.5, 0.4], "iou": [0.4, 0.3], "n": 2},
    "after": {"dice": [0.7, 0.812], "iou": [0.6, 0.7], "n": 2, "ap50": [0.2, 0.3]},
}


def card(**changes) -> AdapterCard:
    values = {
        "base": "samsp_small", "base_sha256": "ab" * 32, "image_size": 256,
        "field_of_view": (96, 128), "images": 7, "held_out": True, "objects": True,
        "fingerprint": "cd" * 32, "versions": {"torch": "2.6.0"},
    }  # fmt: skip
    return AdapterCard(**{**values, **FIGURES, **changes})


def metadata(text: str) -> dict:
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


def test_a_saved_adapter_carries_our_card(tmp_path):
    loaded = load_sam("samsp_small")
    folder = tmp_path / "my run" / "adapter"
    save_adapter(add_lora(loaded.sam, 3, loaded.name), folder, card())
    text = (folder / "README.md").read_text(encoding="utf-8")
    about = metadata(text)
    assert about["license"]
    assert about["library_name"] == "peft"
    assert about["base_model"] == "samsp_small"
    assert about["pipeline_tag"] == "image-segmentation"
    assert "lora" in about["tags"]
    assert about["metrics"] == ["dice", "iou", "ap50"]
    for said in (
        "# my run", "ab" * 32, "cd" * 32, "96 to 128 pixels", "7 images", "rank 3",
        "0.500 → 0.400 | 0.700 → 0.812", "2 of held-out images", "torch 2.6.0",
        "Plugins > SAM-SP", "Segmenter('samsp_small', adapter=", "PeftModel.from_pret",
    ):  # fmt: skip
        assert said in text, said


def test_the_hub_reads_the_held_out_figures():
    (dice, *_) = ModelCard(model_card(card(), "mine", 4)).data.eval_results
    assert (dice.metric_type, dice.metric_value) == ("dice", 0.812)
    assert dice.task_type == "image-segmentation"


@pytest.mark.parametrize("changes", [{"held_out": False}, {"after": None}])
def test_what_was_not_held_out_is_no_result(changes):
    text = model_card(card(**changes), "mine", 4)
    assert "model-index" not in metadata(text)
    assert "held-out" not in text


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("vit_b", "facebook/sam-vit-base"),
        ("vit_b_lm", "vit_b_lm"),
        ("Modèle -- final.pth", "Mod-le-final-pth"),
        ("模型", "local-model"),
    ],
)
def test_the_base_models_name_is_one_that_the_hub_takes(base, expected):
    name = metadata(model_card(card(base=base), "mine", 4))["base_model"]
    assert name == expected
    validate_repo_id(name)


def test_python_in_the_card_is_python():
    text = model_card(card(base='od"d\\.pth'), "mine", 4)
    for block in text.split("```python\n")[1:]:
        compile(block.split("```")[0], "card", "exec")


@pytest.mark.parametrize(
    "name",
    [
        "small nuclei",
        "Kerne, größer: #2",
        'say "no" \\1',
        "- a: [b",
        "long " * 60 + "end",
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_card_is_called_as_the_adapter_was_renamed(tmp_path, name, newline):
    loaded = load_sam("samsp_small")
    folder = tmp_path / "2026-11-30_19-40-12" / "adapter"
    model = add_lora(loaded.sam, 3, loaded.name)
    save_adapter(model, folder, card())
    readme = folder / "README.md"
    own = readme.read_text(encoding="utf-8") + "\n# Mine\n\nOf ten mice.\n"
    readme.write_text(own, encoding="utf-8", newline=newline)
    for new in ("first " * 20, name):  # a name that YAML folds, then another
        rename_adapter(folder, new)
        text = readme.read_bytes().decode()
        new = " ".join(new.split())
        assert metadata(text.replace("\r\n", "\n"))["model-index"][0]["name"] == new
        assert [line for line in text.splitlines() if line.startswith("# ")] == [
            f"# {new}",
            "# Mine",
        ]
    (dice, *_) = ModelCard(text).data.eval_results
    assert dice.metric_value == 0.812
    assert text.endswith(f"{newline}Of ten mice.{newline}")
    assert read_card(folder).name == new
    # The run goes on: its adapter is written anew.
    save_adapter(model, folder, card())
    assert f"# {new}\n" in readme.read_text(encoding="utf-8")


def test_an_adapter_without_a_card_is_renamed(tmp_path):
    loaded = load_sam("samsp_small")
    save_adapter(add_lora(loaded.sam, 3, loaded.name), tmp_path / "a", card())
    (tmp_path / "a" / "README.md").unlink()
    rename_adapter(tmp_path / "a", "mine")
    assert read_card(tmp_path / "a").name == "mine"
    assert not (tmp_path / "a" / "README.md").exists()
