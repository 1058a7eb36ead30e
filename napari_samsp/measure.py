"""Measure the objects of label images: ``python -m napari_samsp.measure``."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track

from napari_samsp.data.folders.image_listing import find_images
from napari_samsp.data.image_files import is_ome_zarr
from napari_samsp.data.tables.object_files import measure_file
from napari_samsp.data.tables.table_files import TableFile
from napari_samsp.data.training_sets.class_tables import classes_beside
from napari_samsp.data.voxel_size import VoxelSize
from napari_samsp.utils.cli import Parser, run
from napari_samsp.utils.errors import InputError, in_words, is_disk_error
from napari_samsp.utils.file_names import ITERATION, composed, image_stem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_samsp.data.tables.object_table import Columns
    from napari_samsp.data.training_sets.classes import Classes

LABEL_SUFFIXES = (".tif", ".tiff", ".png")


def find_labels(place: str, recursive: bool = False) -> dict[str, Path]:
    """The label images of a folder.

    Parameters
    ----------
    place : str
        A file, a folder or a pattern.
    recursive : bool
        Look into folders in folders.

    Returns
    -------
    dict
        File by name, in order. ``NAME.iter0.tif`` and the like, of single iterations,
        are left out where there is a ``NAME.tif``.

    Raises
    ------
    InputError
        If there is none, or two have one name.
    """
    found = find_images([place], recursive=recursive, split=False)
    labels = {}
    for name, path in found.items():
        single = ITERATION.fullmatch(name)
        if single and single["name"] in found:
            continue
        if path.suffix.lower() in LABEL_SUFFIXES or is_ome_zarr(path):
            labels[name] = path
    if not labels:
        endings = ", ".join(LABEL_SUFFIXES)
        raise InputError(f"{place} holds no labels ({endings} or ome-zarr).")
    return labels


def pair_images(labels: dict[str, Path], images: dict[str, Path]) -> dict[str, Path]:
    """Find the image of each label image.

    Parameters
    ----------
    labels : dict
        From `find_labels`.
    images : dict
        Image files by name.

    Returns
    -------
    dict
        Image by the labels' name: of the same name, or of that without an ending such
        as ``_mask``. Labels without an image are left out.
    """
    known = {composed(name): path for name, path in images.items()}
    pairs = {}
    for name in labels:
        own = composed(name)
        path = known.get(own) or known.get(image_stem(own))
        if path is not None:
            pairs[name] = path
    return pairs


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : list of str, optional
        Default: those of the process.

    Returns
    -------
    int
        Exit code; 0 on success.

    Raises
    ------
    InputError
        If nothing can be measured, or after the rest is, a file could not be.
    """
    options = _parser().parse_args(arguments)
    labels = find_labels(options.labels, options.recursive)
    pairs: dict[str, Path] = {}
    if options.images is not None:
        images = find_images([options.images], recursive=options.recursive)
        pairs = pair_images(labels, images)
        if len(labels) == len(images) == 1:  # two files, whatever they are called
            pairs = dict(zip(labels, images.values(), strict=True))
    top = Path(options.labels)
    classes = {
        path: classes_beside(path, top if top.is_dir() else None)
        for path in labels.values()
    }
    failed: list[str] = []
    console = Console(stderr=True)
    with TableFile(options.output, options.overwrite) as table:
        for name, path in track(
            labels.items(),
            "Measuring",
            console=console,
            transient=True,
            disable=not console.is_terminal,
        ):
            if options.images is not None and name not in pairs:
                failed.append(f"There is no image of {path} in {options.images}.")
                continue
            try:
                image = pairs.get(name)
                for columns in _measured(path, image, classes[path], options):
                    table.add(name, columns)
            except (InputError, OSError) as error:
                if isinstance(error, OSError) and not is_disk_error(error):
                    raise
                words = in_words(error)
                failed.append(words if str(path) in words else f"{path}: {words}")
        if len(failed) < len(labels):
            table.write()
    if failed:
        done = len(labels) - len(failed)
        rest = f" ({done} of {len(labels)} files are measured)"
        raise InputError(" ".join(failed) + (rest if len(labels) > 1 else ""))
    return 0


def _measured(
    labels: Path,
    image: Path | None,
    classes: Classes | None,
    options: argparse.Namespace,
) -> Iterator[Columns]:
    voxels = None
    if options.pixel_size:
        side = options.pixel_size
        scale = {"Z": options.slice_distance or side, "Y": side, "X": side}
        voxels = VoxelSize(scale, dict.fromkeys(scale, "micrometer"))
    # A file counts as a whole: none of its rows if a slice cannot be read.
    yield from list(
        measure_file(
            labels,
            image,
            volumes=options.volumes,
            axes=options.axes.upper() if options.axes else None,
            voxels=voxels,
            classes=classes,
        )
    )


def _micrometres(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError("it must be a positive number of micrometres")
    return number


def _parser() -> Parser:
    parser = Parser(
        prog="python -m napari_samsp.measure",
        description="Measure the objects of label images: one row each, with size, "
        "shape, place and, with --images, intensities.",
        examples="""
        python -m napari_samsp.measure masks --output objects.csv
        python -m napari_samsp.measure masks --images images --output objects.csv
        python -m napari_samsp.measure stack.tif --volumes --output objects.parquet
        """,
    )
    parser.add_argument(
        "labels",
        metavar="LABELS",
        help="a file, a folder or a pattern: tif, png, ome-zarr",
    )
    parser.add_argument(
        "--images",
        metavar="DIR",
        help="the images of the same names, for intensities",
    )
    parser.add_argument(
        "--output",
        metavar="TABLE",
        type=Path,
        required=True,
        help="a .csv file, or .parquet with pyarrow installed",
    )
    parser.add_argument(
        "--volumes",
        action="store_true",
        help="measure objects of stacks in three dimensions, not slice by slice",
    )
    parser.add_argument(
        "--recursive",
        action="store_true",
        help="also look into the folders in a folder",
    )
    parser.add_argument(
        "--pixel-size",
        metavar="UM",
        type=_micrometres,
        help="side of a pixel in micrometres, instead of what the files tell",
    )
    parser.add_argument(
        "--slice-distance",
        metavar="UM",
        type=_micrometres,
        help="with --pixel-size and --volumes, from slice to slice (as --pixel-size)",
    )
    parser.add_argument(
        "--axes",
        metavar="LETTERS",
        help="what the axes of the images longer than 1 are, such as TZCYX, if the "
        "files are wrong",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the output also if it is no table of objects",
    )
    return parser


if __name__ == "__main__":
    run(main)
