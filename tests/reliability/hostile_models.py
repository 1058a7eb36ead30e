"""Broken and hostile checkpoints and adapters, made as those of `hostile` are."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from hostile import Plant, link_to_itself, planted, text_file
from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from collections.abc import Callable


def _zip_of(names: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in names.items():
            file.writestr(name, data)
    return buffer.getvalue()


def _lying_header(place: Path) -> None:
    header = json.dumps(
        {
            "x": {
                "dtype": "F32",
                "shape": [10**6, 10**6],
                "data_offsets": [0, 4 * 10**12],
            }
        }
    ).encode()
    place.write_bytes(struct.pack("<Q", len(header)) + header + bytes(64))


def _huge_header(place: Path) -> None:
    place.write_bytes(struct.pack("<Q", 2**60) + b"{}")


CHECKPOINTS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a pickle that runs code": (
        "a.pth", lambda p: p.write_bytes(pickle.dumps(Plant(planted(p.parent))))
    ),
    "a checkpoint that runs code": (
        "a.pt", lambda p: torch.save({"model": Plant(planted(p.parent))}, p)
    ),
    "a checkpoint that runs code, old format": (
        "a.pt",
        lambda p: torch.save(
            Plant(planted(p.parent)), p, _use_new_zipfile_serialization=False
        ),
    ),
    "a zip that leaves its folder": (
        "a.pth",
        text_file(_zip_of({"../planted/data.pkl": b"", "../planted/version": b""})),
    ),
    "a checkpoint of nothing": ("a.pth", lambda p: torch.save({}, p)),
    "a checkpoint of another model": (
        "a.pth", lambda p: torch.save({"fc.weight": torch.ones(3)}, p)
    ),
    "an empty checkpoint": ("a.pth", text_file(b"")),
    "safetensors whose header lies": ("a.safetensors", _lying_header),
    "safetensors with a header of 2^60 bytes": ("a.safetensors", _huge_header),
    "safetensors that are text": ("a.safetensors", text_file("[]")),
    "a folder as a checkpoint": ("a.pth", lambda place: place.mkdir()),
    "a checkpoint that links to itself": ("a.pth", link_to_itself),
}  # fmt: skip


def _card(**changes: Any) -> Callable[[Path], None]:
    def change(adapter: Path) -> None:
        path = adapter / "samsp.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def _config(**changes: Any) -> Callable[[Path], None]:
    def change(adapter: Path) -> None:
        path = adapter / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def _tensors(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable:
    def apply(adapter: Path) -> None:
        path = adapter / "adapter_model.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    return apply


def _first(tensors: dict, part: str) -> str:
    return next(name for name in sorted(tensors) if part in name)


def _nan(tensors: dict) -> None:
    tensors[_first(tensors, "lora_A")].fill_(float("nan"))


def _retyped(dtype: torch.dtype) -> Callable[[Path], None]:
    def change(tensors: dict) -> None:
        name = _first(tensors, "lora_A")
        tensors[name] = tensors[name].to(dtype)

    return _tensors(change)


def _huge(tensors: dict) -> None:
    tensors[_first(tensors, "lora_A")].fill_(3e38)


def _misshapen(tensors: dict) -> None:
    name = _first(tensors, "lora_B")
    tensors[name] = tensors[name][:-1].contiguous()


def _write(name: str, content: str | bytes) -> Callable[[Path], None]:
    return lambda adapter: text_file(content)(adapter / name)


ADAPTERS: dict[str, Callable[[Path], None]] = {
    "an adapter without its card": lambda a: (a / "samsp.json").unlink(),
    "an adapter without tensors": lambda a: (a / "adapter_model.safetensors").unlink(),
    "a card that is a list": _write("samsp.json", "[]"),
    "a card that is cut short": _write("samsp.json", '{"base": "samsp_ti'),
    "a card of bytes": _write("samsp.json", b"\xff\xfe\x00"),
    "a card nested 100,000 deep": _write("samsp.json", "[" * 100_000),
    "a card with a number for a name": _card(base=3),
    "a card of an unknown prompt": _card(prompt="../box"),
    "a card of size true": _card(image_size=True),
    "a card of size 10^30": _card(image_size=10**30),
    "a card of a field of no pixels": _card(field_of_view=0),
    "a card of a field of true": _card(field_of_view=[True, 4]),
    "a card of a field from more to less": _card(field_of_view=[300, 200]),
    "a card of three fields": _card(field_of_view=[1, 2, 3]),
    "a card of a field of 10^30": _card(field_of_view=[1, 10**30]),
    "a card with words for figures": _card(before={"dice": "good"}, after={"dice": 3}),
    "a card with a scaling of words": _card(scaling={"low": "a", "high": "b"}),
    "a card with an unknown scaling": _card(scaling={"kind": "../x"}),
    "a card of another base": _card(base_sha256="0" * 64),
    "a card of a base outside": _card(base="../../../etc/passwd", base_sha256="0"),
    "a configuration of rank 10^9": _config(r=10**9),
    "a configuration of no LoRA": _config(peft_type="PREFIX_TUNING"),
    "a configuration that never ends": _config(target_modules="(a+)+$"),
    "a configuration with other code": _config(
        auto_mapping={"parent_library": "os", "base_model_class": "system"}
    ),
    "a configuration of text": _write("adapter_config.json", "hello"),
    "an adapter of NaN": _tensors(_nan),
    "an adapter of 3e38": _tensors(_huge),
    "an adapter of complex numbers": _retyped(torch.complex64),
    "an adapter of yes and no": _retyped(torch.bool),
    "a configuration with 60,000 modules": _config(
        target_modules=[f"m{n}" for n in range(60_000)]
    ),
    "a configuration with a pattern of layers": _config(
        layers_pattern="(a+)+$", layers_to_transform=[0]
    ),
    "an adapter that lacks a tensor": _tensors(
        lambda t: t.__delitem__(_first(t, "lora_A"))
    ),
    "an adapter with one tensor more": _tensors(
        lambda t: t.update({"base_model.model.spare": torch.zeros(2)})
    ),
    "an adapter with a misshapen tensor": _tensors(_misshapen),
    "tensors that are cut short": lambda a: os.truncate(
        a / "adapter_model.safetensors", 1000
    ),
    "tensors whose header lies": lambda a: _lying_header(
        a / "adapter_model.safetensors"
    ),
    "tensors that are a pickle": lambda a: (
        a / "adapter_model.safetensors"
    ).write_bytes(pickle.dumps(Plant(planted(a.parent)))),
}
