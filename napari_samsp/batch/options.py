"""The options of ``python -m napari_samsp.predict``."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_samsp.batch.manifest import MANIFEST_FILE
from napari_samsp.inference.cleanup import HIGHEST, LOWEST, Cleanup
from napari_samsp.inference.scale.object_scale import check_object_size
from napari_samsp.utils.cli import Parser

EXAMPLES = """
python -m napari_samsp.predict images --output masks
python -m napari_samsp.predict a.tif b.png --output masks --objects --all-iterations
python -m napari_samsp.predict images --output masks --adapter run/adapter
python -m napari_samsp.predict images --output masks --objects --table objects.csv
python -m napari_samsp.predict slide.tif --output masks --objects --object-size 30
python -m napari_samsp.predict images --output masks --min-size 50 --fill-holes
python -m napari_samsp.predict "plate/**/*_dapi.tif" --output masks --workers 8
python -m napari_samsp.predict plate --recursive --output masks --channel 0
python -m napari_samsp.predict a.tif --output masks --prompts points.csv
python -m napari_samsp.predict images --output masks --scheduler tcp://node1:8786
"""


def parser() -> Parser:
    """Describe the options of `predict`."""
    made = Parser(
        prog="python -m napari_samsp.predict",
        description="Segment images without a prompt; writes NAME.tif, integer labels. "
        f"The output folder's {MANIFEST_FILE} lists what is done: a second call "
        "continues.",
        examples=EXAMPLES,
    )
    # In the order of the help.
    for add in (
        _add_files,
        _add_model,
        _add_stacks,
        _add_cleanup,
        _add_prompts,
        _add_view,
        _add_reading,
        _add_writing,
        _add_machines,
    ):
        add(made)
    made.add_argument(
        "--all-iterations",
        action="store_true",
        help="also write NAME.iter0.tif, NAME.iter1.tif, ...",
    )
    return made


def _add_files(made: Parser) -> None:
    """Which images, and where their labels go."""
    made.add_argument(
        "input",
        nargs="+",
        help="files, folders or patterns such as 'a/*.tif': tif, png, jpg, ome-zarr, "
        "DICOM, NIfTI; of stacks and time series every plane is segmented",
    )
    made.add_argument("--output", type=Path, required=True, help="folder for the masks")


def _add_model(made: Parser) -> None:
    """What segments them."""
    made.add_argument(
        "--model",
        help="a name or a checkpoint file (the adapter's base, or samsp_small)",
    )
    made.add_argument("--adapter", type=Path, help="an adapter's folder")
    made.add_argument("--iterations", type=int, default=3, help="how many (3)")
    made.add_argument(
        "--objects",
        action=argparse.BooleanOptionalAction,
        help="one prompt per object, and instances (as the adapter was trained, or no)",
    )


def _add_stacks(made: Parser) -> None:
    """How the planes of a stack hang together."""
    made.add_argument(
        "--limits",
        choices=("stack", "slice"),
        default="stack",
        help="intensity limits of a stack or series: the same for all its planes, or "
        "those of each plane by itself (stack)",
    )
    slices = made.add_mutually_exclusive_group()
    slices.add_argument(
        "--follow-slices",
        action="store_true",
        help="in stacks and series, prompt a plane first by the result of the one "
        "before, along the last axis of the stack",
    )
    slices.add_argument(
        "--link-slices",
        action="store_true",
        help="in stacks and series, segment each plane by itself, then give objects "
        "that overlap from plane to plane one number, along the last axis of the "
        "stack; one plane in between may lack them (with --objects)",
    )


def _add_cleanup(made: Parser) -> None:
    """What becomes of the model's probabilities."""
    made.add_argument(
        "--threshold",
        type=float,
        default=Cleanup.threshold,
        metavar="P",
        help=f"probability above which a pixel is foreground, {LOWEST} to {HIGHEST}; "
        "objects shrink or grow, none is added (0.5)",
    )
    made.add_argument(
        "--min-size",
        type=int,
        default=Cleanup.min_size,
        metavar="PX",
        help="remove objects, or parts of a region, of fewer pixels (0)",
    )
    made.add_argument(
        "--fill-holes",
        action="store_true",
        help="background that an object encloses becomes part of it",
    )


def _add_prompts(made: Parser) -> None:
    """What the model is told."""
    made.add_argument(
        "--prompts",
        type=Path,
        metavar="FILE.csv",
        help="segment from points or boxes, in the columns of napari's CSV of points "
        "and shapes; a column image says of which image they are, a column label 1 or "
        "0 whether a point is on its object",
    )
    made.add_argument("--prompt", help="such as box+mask (the adapter's)")


def _add_view(made: Parser) -> None:
    """How much of an image the model sees at once."""
    closeness = made.add_mutually_exclusive_group()
    closeness.add_argument(
        "--object-size",
        type=_object_size,
        metavar="PX",
        help="width of a typical object in pixels; how much the model sees at once "
        "follows from it (estimated; manifest.jsonl tells what was found)",
    )
    closeness.add_argument(
        "--tile",
        type=_tiling,
        default="auto",
        metavar="auto|on|off|PIXELS",
        help="how much the model sees at once: what suits the objects that it finds, "
        "with an adapter within what it was trained on; tiles as large as its input; "
        "the whole image; tiles of so many pixels (auto)",
    )
    made.add_argument(
        "--input-size",
        type=int,
        metavar="PIXELS",
        help="side of the model's input, a multiple of 16; smaller is faster (the "
        "adapter's, or the model's own)",
    )


def _add_reading(made: Parser) -> None:
    """What is read of files and folders."""
    made.add_argument(
        "--recursive",
        action="store_true",
        help="also look into the folders in a folder; the output has the same folders",
    )
    choice = made.add_mutually_exclusive_group()
    choice.add_argument(
        "--channel", type=_channels, metavar="N", help="one channel, counted from 0"
    )
    choice.add_argument(
        "--channels",
        type=_channels,
        metavar="R,G,B",
        help="the channels, up to three, that become red, green and blue",
    )
    made.add_argument(
        "--axes",
        metavar="LETTERS",
        help="what the axes longer than 1 are, such as TZCYX, if the file is wrong",
    )
    made.add_argument(
        "--series",
        type=int,
        metavar="N",
        help="which image of a file that holds several, from 0 (each, under its "
        "own name)",
    )


def _add_writing(made: Parser) -> None:
    """What is written."""
    made.add_argument(
        "--format",
        choices=("auto", "tif", "ome-zarr"),
        default="auto",
        help="of the labels: auto takes ome-zarr for OME-Zarr images of more than 50 "
        "million pixels a plane, NIfTI for NIfTI, and tif for all others (auto)",
    )
    made.add_argument(
        "--table",
        type=Path,
        metavar="FILE",
        help="also measure the objects: a row for each in this .csv or .parquet file",
    )
    made.add_argument(
        "--overwrite",
        action="store_true",
        help="segment again what is done already, and replace label files that are "
        "not from an earlier call; an input is never replaced",
    )


def _add_machines(made: Parser) -> None:
    """Where it is computed."""
    where = made.add_mutually_exclusive_group()
    where.add_argument(
        "--workers", type=int, metavar="N", help="processes that share the cores (1)"
    )
    where.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="use a dask.distributed cluster; its workers must see the same folders",
    )
    made.add_argument("--device", default="auto", help="auto, cpu, cuda, mps (auto)")


def _tiling(text: str) -> str | int:
    if text in ("auto", "on", "off"):
        return text
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError("it must be auto, on, off or pixels")
    return int(text)


def _object_size(text: str) -> float:
    try:
        size = float(text)
        check_object_size(size)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            "it must be a number of pixels above 0"
        ) from error
    return size


def _channels(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isdigit() for part in parts) or len(parts) > 3:
        raise argparse.ArgumentTypeError("it must be up to three numbers from 0")
    return tuple(map(int, parts))
