"""``python -m napari_samsp.predict``: segment files without a prompt."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samsp.cli import Parser, run
from napari_samsp.core.adapter_card import read_card
from napari_samsp.core.errors import InputError
from napari_samsp.core.image_files import (
    IMAGE_SUFFIXES,
    is_ome_zarr,
    read_image,
    read_ome_zarr,
    write_labels,
)

if TYPE_CHECKING:
    from napari_samsp.core.segmenter import Segmenter

EXAMPLES = """
python -m napari_samsp.predict images --output masks
python -m napari_samsp.predict a.tif b.png --output masks --objects --all-iterations
python -m napari_samsp.predict images --output masks --adapter run/adapter
"""


def parser() -> Parser:
    """The command line."""
    made = Parser(
        prog="python -m napari_samsp.predict",
        description="Segment images without a prompt; writes NAME.tif, integer labels.",
        examples=EXAMPLES,
    )
    made.add_argument(
        "input", nargs="+", type=Path, help="files or folders: tif, png, jpg, ome-zarr"
    )
    made.add_argument("--output", type=Path, required=True, help="folder for the masks")
    made.add_argument(
        "--model",
        help="a name or a checkpoint file (the adapter's base, or samsp_tiny)",
    )
    made.add_argument("--adapter", type=Path, help="an adapter's folder")
    made.add_argument("--iterations", type=int, default=3, help="how many (3)")
    made.add_argument(
        "--objects",
        action=argparse.BooleanOptionalAction,
        help="one prompt per object, and instances (as the adapter was trained, or no)",
    )
    made.add_argument("--prompt", help="such as box+mask (the adapter's)")
    made.add_argument(
        "--tile",
        type=_tiling,
        default="auto",
        metavar="auto|on|off|PIXELS",
        help="how much the model sees at once: as the adapter was trained or, without "
        "one, what a first look finds best; tiles as large as its input; the whole "
        "image; tiles of so many pixels (auto)",
    )
    made.add_argument(
        "--input-size",
        type=int,
        metavar="PIXELS",
        help="side of the model's input, a multiple of 16; smaller is faster (the "
        "adapter's, or the model's own)",
    )
    made.add_argument("--device", default="auto", help="auto, cpu, cuda, mps (auto)")
    made.add_argument(
        "--all-iterations",
        action="store_true",
        help="also write NAME.iter0.tif, NAME.iter1.tif, ...",
    )
    return made


def _tiling(text: str) -> str | int:
    if text in ("auto", "on", "off"):
        return text
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError("it must be auto, on, off or pixels")
    return int(text)


def find_images(inputs: list[Path]) -> dict[str, Path]:
    """The images that the arguments name.

    Parameters
    ----------
    inputs : list of Path
        Files and folders.

    Returns
    -------
    dict
        Output name to file, in order.

    Raises
    ------
    InputError
        If one is missing, a folder holds no image, or two images have one name.
    """
    found: dict[str, Path] = {}
    for place in inputs:
        if not place.exists():
            raise InputError(f"There is no file or folder {place}.")
        if place.is_file() or is_ome_zarr(place):
            paths = [place]
        else:
            paths = [
                path
                for path in sorted(place.iterdir())
                if not path.name.startswith(".")
                and (path.suffix.lower() in IMAGE_SUFFIXES or is_ome_zarr(path))
            ]
            if not paths:
                raise InputError(
                    f"The folder {place} holds no image ({', '.join(IMAGE_SUFFIXES)} "
                    "or ome-zarr)."
                )
        for path in paths:
            name = path.name.removesuffix(path.suffix).removesuffix(".ome")
            if name in found:
                raise InputError(
                    f"{found[name]} and {path} would both become {name}.tif: use two "
                    "output folders."
                )
            found[name] = path
    return found


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    args = parser().parse_args(argv)
    images = find_images(args.input)
    if args.iterations < 1:
        raise InputError("--iterations must be at least 1.")
    card = read_card(args.adapter) if args.adapter else None
    objects = args.objects if args.objects is not None else bool(card and card.objects)
    args.output.mkdir(parents=True, exist_ok=True)

    from rich.progress import track

    from napari_samsp.core.segmenter import Segmenter

    model = card.base_to_load(args.model) if card else args.model or "samsp_tiny"
    segmenter = Segmenter(model, args.adapter, args.device, input_size=args.input_size)
    failed: list[str] = []
    for name, path in track(
        images.items(), description="segmenting", disable=not sys.stderr.isatty()
    ):
        try:
            _segment(segmenter, name, path, args, objects)
        except InputError as error:
            sentence = str(error)
            failed.append(sentence if str(path) in sentence else f"{path}: {sentence}")
    if failed:
        done = len(images) - len(failed)
        rest = f" ({done} of {len(images)} images are done)" if len(images) > 1 else ""
        raise InputError(" ".join(failed) + rest)
    return 0


def _segment(
    segmenter: Segmenter, name: str, path: Path, args: Any, objects: bool
) -> None:
    channel_axis = None
    if is_ome_zarr(path):
        image, channel_axis = read_ome_zarr(path)
    else:
        image = read_image(path)
    iterations = segmenter.iterate(
        image, args.iterations, objects, channel_axis, args.prompt, args.tile
    )
    for step in iterations:
        if args.all_iterations:
            write_labels(args.output / f"{name}.iter{step.iteration}.tif", step.labels)
    write_labels(args.output / f"{name}.tif", step.labels)


if __name__ == "__main__":
    run(main)
