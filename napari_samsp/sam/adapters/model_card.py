"""``README.md`` of an adapter: what it is, for people and for the Hugging Face Hub.

The metadata at its top is what the Hub reads, so the folder can be uploaded as it is.
Needs no torch.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import yaml

from napari_samsp.sam.adapters.adapter_card import (
    CARD_FILE,
    CONFIG_FILE,
    adapter_name,
    read_card,
)
from napari_samsp.utils.atomic_files import write_atomically
from napari_samsp.utils.errors import InputError, in_words

if TYPE_CHECKING:
    from pathlib import Path

    from napari_samsp.sam.adapters.adapter_card import AdapterCard

README_FILE = "README.md"
FIGURES = {"dice": "Dice", "iou": "IoU", "ap50": "AP at IoU 0.5"}
HUB_NAMES = {
    "vit_b": "facebook/sam-vit-base",
    "vit_l": "facebook/sam-vit-large",
    "vit_h": "facebook/sam-vit-huge",
}
"""Where the Hub keeps a base model; others have no page there."""


def write_model_card(folder: Path, card: AdapterCard, name: str) -> None:
    """Write the model card into an adapter's folder, atomically.

    Parameters
    ----------
    folder : Path
        Holds PEFT's configuration already.
    card : AdapterCard
        What is known of the adapter.
    name : str
        What the adapter is called.
    """
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    text = model_card(card, name, int(config["r"]))
    write_atomically(folder / README_FILE, text.encode())


def rename_adapter(folder: Path, name: str) -> None:
    """Give an adapter a name, which its folder does not take on.

    ``samsp.json`` and the model card tell it. What a person wrote into the model card
    stays.

    Parameters
    ----------
    folder : Path
        The adapter's folder.
    name : str
        The new name, a single line.

    Raises
    ------
    InputError
        If there is no name, the folder is no adapter, or the disk refuses.
    """
    name = " ".join(name.split())
    if not name:
        raise InputError("An adapter needs a name.")
    old = read_card(folder).name or adapter_name(folder.absolute())
    path, readme = folder / CARD_FILE, folder / README_FILE
    try:
        # Not by way of `AdapterCard`, which would drop the keys of later versions.
        content = json.loads(path.read_text(encoding="utf-8")) | {"name": name}
        if readme.is_file():
            text = readme.read_bytes().decode(errors="surrogateescape")
            text = _renamed(text, old, name)
            write_atomically(readme, text.encode(errors="surrogateescape"))
        write_atomically(path, json.dumps(content, indent=2).encode())
    except OSError as error:
        raise InputError(f"The adapter keeps its name: {in_words(error)}") from error


def _renamed(text: str, old: str, name: str) -> str:
    """A model card whose title, and whose name for the Hub, are the new ones."""
    title = re.compile(rf"^# {re.escape(old)}[ \t]*(?=\r?$)", re.MULTILINE)
    text = title.sub(lambda _: f"# {name}", text, count=1)
    # JSON's strings are YAML's too, whatever is in them.
    entry = json.dumps(name, ensure_ascii=False)
    key = r"^(model-index:\r?\n- name: ).*(\r?\n)(?: {4,}.*\r?\n)*"
    hub = re.compile(key, re.MULTILINE)
    return hub.sub(lambda found: f"{found[1]}{entry}{found[2]}", text, count=1)


def model_card(card: AdapterCard, name: str, rank: int) -> str:
    """Compose the model card.

    Parameters
    ----------
    card : AdapterCard
        What is known of the adapter.
    name : str
        What it is called.
    rank : int
        Of the LoRA matrices.

    Returns
    -------
    str
        Markdown with YAML metadata at its top.
    """
    metadata = yaml.safe_dump(_metadata(card, name), sort_keys=False)
    parts = (
        f"---\n{metadata}---",
        f"# {name}",
        "An adapter for napari-samsp, which segments images without a prompt: Segment "
        "Anything prompts itself, iteration by iteration "
        "([SAM-SP](https://arxiv.org/abs/2408.12364)).",
        _facts(card, rank),
        _figures(card),
        _use(card),
        f"## Licence\n\n{card.licence} Choose the adapter's own before you publish it.",
    )
    return "\n\n".join(parts) + "\n"


def _metadata(card: AdapterCard, name: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "license": "other",
        "library_name": "peft",
        "base_model": HUB_NAMES.get(card.base, _hub_name(card.base)),
        "pipeline_tag": "image-segmentation",
        "tags": ["napari", "napari-samsp", "segment-anything", "lora", "peft"],
        "metrics": [],
    }
    figures = card.after or {}
    judged = [key for key in FIGURES if figures.get(key)]
    metadata["metrics"] = judged or ["dice", "iou"]
    if judged and card.held_out:
        # Figures of the training images would be read as more than they are.
        values = [
            {"type": key, "name": FIGURES[key], "value": figures[key][-1]}
            for key in judged
        ]
        result = {
            "task": {"type": "image-segmentation"},
            "dataset": {
                "type": card.fingerprint[:12] or "own",
                "name": "held-out images of its training set",
            },
            "metrics": values,
        }
        metadata["model-index"] = [{"name": name, "results": [result]}]
    return metadata


def _hub_name(base: str) -> str:
    """A name that the Hub takes: it refuses a card that names its base otherwise."""
    name = re.sub(r"[^A-Za-z0-9_]+", "-", base).strip("-")
    return name[:96].strip("-") or "local-model"


def _facts(card: AdapterCard, rank: int) -> str:
    mode = "one prompt per object" if card.objects else "one prompt per image"
    scaling = card.scaling
    limits = "" if scaling.kind == "none" else f", {scaling.low:g} to {scaling.high:g}"
    field = "whole images"
    if card.field_of_view:
        field = " to ".join(map(str, dict.fromkeys(card.field_of_view))) + " pixels"
    count = "1 image" if card.images == 1 else f"{card.images} images"
    versions = ", ".join(f"{k} {v}" for k, v in card.versions.items())
    rows = {
        "Base model": f"{card.base}, SHA-256 `{card.base_sha256}`",
        "Input": f"{card.image_size} x {card.image_size}, intensities by "
        f"{scaling.kind}{limits}",
        "Field of view": f"{field}; larger images are tiled",
        "Classes": ", ".join(f"{c.label} {_plain(c.name)}" for c in card.classes),
        "Mode": f"{mode}; an iteration hands {card.prompt} to the next",
        "Trained": f"on {count} with {card.iterations} iterations; LoRA of rank {rank} "
        "on the image encoder's query and value projections, prompt encoder and mask "
        "decoder fully",
        "Training set": f"`{card.fingerprint}`" if card.fingerprint else "not recorded",
        "Made": " with ".join(part for part in (card.created, versions) if part),
    }
    lines = ["## What it is", "", "| | |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in rows.items() if value]
    return "\n".join(lines)


def _figures(card: AdapterCard) -> str:
    before, after = card.before or {}, card.after or {}
    judged = [key for key in FIGURES if before.get(key) and after.get(key)]
    if not judged:
        return "## How good it is\n\nNot measured."
    of = "held-out images" if card.held_out else "the training images themselves"
    lines = [
        "## How good it is",
        "",
        f"Means over {after.get('n', '?')} of {of}, from iteration 0 to the last:",
        "",
        "| | before | after |",
        "|---|---|---|",
    ]
    if len(card.classes) > 1:
        lines[2] = f"Means over the classes of each image, and over {lines[2][11:]}"
    for key in judged:
        cells = (" → ".join(f"{v:.3f}" for v in f[key]) for f in (before, after))
        lines.append(f"| {FIGURES[key]} | {' | '.join(cells)} |")
    old, new = before.get("class_dice") or {}, after.get("class_dice") or {}
    for name in (name for name in new if name in old):
        cells = (" → ".join(f"{v:.3f}" for v in f[name]) for f in (old, new))
        lines.append(f"| Dice of {_plain(name)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _plain(name: str) -> str:
    """A class's name, which anyone may have chosen, without Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>()#+|!~-])", r"\\\1", name)


def _use(card: AdapterCard) -> str:
    return f"""## How to use it

In napari: *Plugins > SAM-SP*, then the button beside *Adapter*, and choose this folder.

In Python:

```python
from napari_samsp import Segmenter

segmenter = Segmenter({card.base!r}, adapter="FOLDER")
iterations = segmenter.segment(image, iterations={card.iterations}, \
objects={card.objects})
```

With stock PEFT:

```python
from napari_samsp import load_sam
{_tokens_import(card)}from peft import PeftModel

sam = load_sam({card.base!r}).sam
{_tokens(card)}model = PeftModel.from_pretrained(sam, "FOLDER")
```"""


def _tokens(card: AdapterCard) -> str:
    """The line that PEFT needs for the classes: their tokens are modules of the SAM."""
    if len(card.classes) < 2:
        return ""
    return f"add_class_tokens(sam, {len(card.classes)})\n"


def _tokens_import(card: AdapterCard) -> str:
    if len(card.classes) < 2:
        return ""
    return "from napari_samsp.sam.adapters.class_tokens import add_class_tokens\n"
