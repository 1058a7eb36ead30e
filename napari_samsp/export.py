"""``python -m napari_samsp.export``: an adapter merged into a plain SAM checkpoint."""

from __future__ import annotations

import io
from pathlib import Path

from napari_samsp.cli import Parser, run
from napari_samsp.core.adapter_card import read_card
from napari_samsp.core.errors import InputError
from napari_samsp.core.images import write_atomically

EXAMPLES = """
python -m napari_samsp.export run/adapter --output my_sam_vit_b.pth
python -m napari_samsp.export run/adapter --output my_sam.safetensors
"""


def parser() -> Parser:
    """The command line."""
    made = Parser(
        prog="python -m napari_samsp.export",
        description="Merge an adapter into a state dict in segment_anything's layout.",
        examples=EXAMPLES,
    )
    made.add_argument("adapter", type=Path, help="an adapter's folder")
    made.add_argument(
        "--output", type=Path, required=True, help="a .pth or .safetensors file"
    )
    made.add_argument("--model", help="the base model's file, if it has no name")
    return made


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    if args.output.suffix not in (".pth", ".pt", ".safetensors"):
        raise InputError("--output must end in .pth, .pt or .safetensors.")
    card = read_card(args.adapter)
    args.output.parent.mkdir(parents=True, exist_ok=True)

    import torch
    from safetensors.torch import save

    from napari_samsp.core.adapter import load_adapter, merge
    from napari_samsp.core.checkpoints import load_sam
    from napari_samsp.core.sam import to_stock_layout

    loaded = load_sam(card.base_to_load(args.model))
    model, _ = load_adapter(loaded.sam, args.adapter, loaded.sha256)
    state = to_stock_layout(merge(model).state_dict())
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    if args.output.suffix == ".safetensors":
        data = save(state)
    else:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        data = buffer.getvalue()
    write_atomically(args.output, data)
    print(f"{args.output}: {loaded.architecture} with {args.adapter} merged")


if __name__ == "__main__":
    run(main)
