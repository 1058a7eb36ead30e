"""``python -m napari_samsp.export``: an adapter merged into a SAM that others run."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from napari_samsp.sam.adapters.adapter_card import adapter_name, read_card
from napari_samsp.utils.atomic_files import write_atomically
from napari_samsp.utils.cli import Parser, run
from napari_samsp.utils.errors import InputError, some

if TYPE_CHECKING:
    import argparse

    from segment_anything.modeling import Sam

    from napari_samsp.sam.adapters.adapter_card import AdapterCard
    from napari_samsp.sam.checkpoints import LoadedModel

PACKAGE = ".bioimageio.zip"
SUFFIXES = (".pth", ".pt", ".safetensors", ".onnx", PACKAGE)
EXAMPLES = """
python -m napari_samsp.export run/adapter --output my_sam_vit_b.pth
python -m napari_samsp.export run/adapter --output my_sam.safetensors
python -m napari_samsp.export run/adapter --output my_sam.onnx
python -m napari_samsp.export run/adapter --output my_sam.bioimageio.zip
"""


def parser() -> Parser:
    """Describe the options of `export`."""
    made = Parser(
        prog="python -m napari_samsp.export",
        description=(
            "Merge an adapter into a state dict in segment_anything's layout, into two "
            "ONNX files, FILE.encoder.onnx and FILE.decoder.onnx, or into a "
            "bioimage.io package that segments without a prompt."
        ),
        examples=EXAMPLES,
    )
    made.add_argument("adapter", type=Path, help="an adapter's folder")
    made.add_argument(
        "--output",
        type=Path,
        required=True,
        help=f"a .pth, .safetensors, .onnx or {PACKAGE} file",
    )
    made.add_argument(
        "--any-input-size",
        action="store_true",
        help="write a .pth or .safetensors file although the adapter was trained at "
        "another input size than the one that programs run the model at",
    )
    made.add_argument("--model", help="the base model's file, if it has no name")
    return made


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    name = args.output.name.lower()
    suffix = next((one for one in SUFFIXES if name.endswith(one)), None)
    if suffix is None:
        raise InputError(f"--output must end in {', '.join(SUFFIXES)}.")
    card = read_card(args.adapter)
    args.output.parent.mkdir(parents=True, exist_ok=True)

    from napari_samsp.sam.adapters.adapter import load_adapter, merge
    from napari_samsp.sam.adapters.class_tokens import drop_class_tokens

    if suffix == ".onnx":
        from napari_samsp.sam.onnx_export import CLASS_LABEL, check_onnx

        check_onnx()
    elif suffix == PACKAGE:
        from napari_samsp.inference.bioimageio_package import check_bioimageio

        check_bioimageio()
    loaded = _load_base(args, card, suffix)
    model, _ = load_adapter(loaded.sam, args.adapter, loaded.sha256)
    sam = merge(model)
    if suffix == PACKAGE:
        _write_package(sam, args.output, args.adapter, card)
        return
    if suffix == ".onnx":
        files = _write_onnx(sam, args.output, card)
    else:
        drop_class_tokens(sam)
        files = _write_state(sam, args.output)
    names = ", ".join(map(str, files))
    size = int(loaded.sam.image_encoder.img_size)
    trained = "" if size == card.image_size else f", trained at {card.image_size}"
    print(
        f"{names}: {loaded.architecture} with {args.adapter} merged, input size {size}"
        f"{trained}"
    )
    if len(card.classes) > 1 and suffix == ".onnx":
        labels = ", ".join(
            f"{n} {one.name}" for n, one in enumerate(card.classes, CLASS_LABEL)
        )
        print(f"A point with one of these labels asks for a class: {labels}.")
    if suffix != ".onnx":
        _tell_of_state(sam, args.output, card)


def _load_base(args: argparse.Namespace, card: AdapterCard, suffix: str) -> LoadedModel:
    """The base model at the input size that the file is to have."""
    from napari_samsp.sam.checkpoints import load_sam

    base = card.base_to_load(args.model)
    loaded = load_sam(base)
    own_size = int(loaded.sam.image_encoder.img_size)
    if own_size == card.image_size:
        return loaded
    if suffix in (".onnx", PACKAGE):  # it says its input size
        return load_sam(base, card.image_size)
    if not args.any_input_size:
        raise InputError(
            f"{args.adapter} was trained at an input size of {card.image_size}, "
            f"and programs run a {suffix} file at {own_size}, which gives other "
            "masks: export to .onnx, or write it anyway with --any-input-size."
        )
    return loaded


def _tell_of_state(sam: Sam, output: Path, card: AdapterCard) -> None:
    """What a state dict cannot do, and which programs open it."""
    from napari_samsp.sam.architecture import is_hybrid, is_tiny

    if len(card.classes) > 1:
        print(
            "A plain SAM has no place for classes, so the file does not know "
            f"{some([one.name for one in card.classes])}: it segments from clicks and "
            "boxes, and only the adapter tells the classes apart."
        )
    if is_hybrid(sam):
        print(
            f"segment_anything has no image encoder of this kind: {output} opens "
            "with napari_samsp.load_sam. For other programs export to .onnx."
        )
    if is_tiny(sam):
        print(
            f"{output} has MobileSAM's layout: its sam_model_registry opens it as "
            "vit_t, and so does napari_samsp.load_sam."
        )


def _write_state(sam: Sam, output: Path) -> list[Path]:
    import torch
    from safetensors.torch import save

    from napari_samsp.sam.architecture import to_stock_layout

    state = to_stock_layout(sam.state_dict())
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    if output.suffix.lower() == ".safetensors":
        data = save(state)
    else:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        data = buffer.getvalue()
    write_atomically(output, data)
    return [output]


def _write_onnx(sam: Sam, output: Path, card: AdapterCard) -> list[Path]:
    from napari_samsp.sam.architecture import PIXEL_MEAN, PIXEL_STD
    from napari_samsp.sam.onnx_export import write_onnx

    # What a program needs that runs the files without us.
    about = {
        "samsp": json.dumps(asdict(card)),
        "pixel_mean": json.dumps(PIXEL_MEAN),
        "pixel_std": json.dumps(PIXEL_STD),
    }
    return write_onnx(sam, output, about)


def _write_package(sam: Sam, output: Path, adapter: Path, card: AdapterCard) -> None:
    from napari_samsp.inference.bioimageio_package import what_is_lost, write_package

    name = card.name or adapter_name(adapter.resolve())
    write_package(sam.eval(), output, card, name)
    print(
        f"{output}: a bioimage.io model of {name}, input size {card.image_size}. "
        "Before you publish it, name its authors in the description inside."
    )
    for sentence in what_is_lost(card):
        print(sentence)


if __name__ == "__main__":
    run(main)
