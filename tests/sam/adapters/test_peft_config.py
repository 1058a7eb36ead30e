"""What of an adapter's configuration reaches PEFT."""

from __future__ import annotations

import json

import pytest
from peft import LoraConfig

from napari_samsp.sam.adapters.adapter import FULLY_TRAINED, TARGETS
from napari_samsp.sam.adapters.peft_config import check_config
from napari_samsp.utils.errors import InputError


def check(tmp_path, **changes) -> None:
    path = tmp_path / "adapter_config.json"
    usual = LoraConfig(r=4, target_modules="q_proj", modules_to_save=FULLY_TRAINED)
    content = json.loads(json.dumps(usual.to_dict(), default=str))
    path.write_text(json.dumps(content | changes))
    check_config(path)


@pytest.mark.parametrize(
    "targets",
    [
        TARGETS.format(blocks="|".join(map(str, range(32)))),
        r".*\.(q_proj|v_proj)",
        r"image_encoder\.blocks\.\d+\.(attn\.q_proj|attn\.v_proj|mlp\.lin1)$",
        [f"image_encoder.blocks.{n}.attn.q_proj" for n in range(32)],
        ["q_proj", "v_proj"],
        "dummy-target-modules",
    ],
)
def test_usual_targets(tmp_path, targets):
    check(tmp_path, target_modules=targets)


@pytest.mark.parametrize(
    "changes",
    [
        {"target_modules": "(a+)+$"},
        {"target_modules": "(.|a)(.|a)(.|a)(.|a)x"},
        {"target_modules": ".?" * 60 + "x"},
        {"target_modules": "(a|a)"},
        {"target_modules": "(" * 200},
        {"target_modules": ".*.*.*.*.*x"},
        {"rank_pattern": {f".*{n}": 4 for n in range(5)}},
        {"alpha_pattern": {"q": 10**9}},
        {"target_modules": [f"m{n}" for n in range(60_000)]},
        {"modules_to_save": [f"m{n}" for n in range(60_000)]},
        {"modules_to_save": ["(a+)+$"]},
        {"layers_pattern": "(a+)+$", "layers_to_transform": [0]},
        {"layers_pattern": ["x"] * 60_000},
        {"layers_to_transform": list(range(60_000))},
    ],
    ids=lambda changes: ",".join(changes),
)
def test_what_would_take_for_ever_is_refused(tmp_path, changes):
    with pytest.raises(InputError, match="broken") as error:
        check(tmp_path, **changes)
    assert len(str(error.value)) < 1000
