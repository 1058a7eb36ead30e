"""Compare predictions with masks: ``python -m napari_samsp.evaluate``."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from napari_samsp.cli import Parser, run
from napari_samsp.core.atomic_files import write_atomically
from napari_samsp.core.errors import InputError, printable, some
from napari_samsp.core.file_names import ITERATION, by_stem, image_stem
from napari_samsp.core.image_files import as_labels, read_labels
from napari_samsp.core.metrics import BOUNDARY_TOLERANCE, scores, summary
from napari_samsp.core.stored_image import open_image

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIXES = (".tif", ".tiff", ".png")
TITLES = {
    "dice": "Dice",
    "iou": "IoU",
    "boundary_f1": "Boundary F1",
    "ap50": "AP at 0.5",
    "ap75": "AP at 0.75",
    "aji": "AJI",
}
WORST = 5


@dataclass(frozen=True)
class Pairing:
    """Which prediction belongs to which mask.

    Attributes
    ----------
    pairs : dict
        Prediction's and mask's file by name.
    missing : list of str
        Masks without a prediction.
    unmatched : list of str
        Predictions without a mask.
    """

    pairs: dict[str, tuple[Path, Path]]
    missing: list[str]
    unmatched: list[str]


def pair_files(predictions: Path, masks: Path, iteration: int | None = None) -> Pairing:
    """Pair the files of two folders by stem.

    Parameters
    ----------
    predictions : Path
        Holds ``NAME.tif`` or ``NAME.png``; ``NAME.iter0.tif`` and the like are of
        single iterations.
    masks : Path
        Holds ``NAME.tif`` or ``NAME.png``, also ``NAME.ome.tif``, ``NAME_mask``,
        ``NAME_seg``, ``NAME-labels`` and the like.
    iteration : int, optional
        Take the predictions of this iteration instead.

    Returns
    -------
    Pairing

    Raises
    ------
    InputError
        If a folder is missing or empty, or two of its files have the same stem.
    """
    true = _by_stem(masks)
    found: dict[str, Path] = {}
    for stem, path in _by_stem(predictions).items():
        part = None if stem in true else ITERATION.fullmatch(stem)
        number = int(part["number"]) if part else None
        if number == iteration:
            found[part["name"] if part else stem] = path
    if not found:
        of = "" if iteration is None else f" of iteration {iteration}"
        raise InputError(
            f"There are no predictions{of} in {predictions}; write them with "
            "python -m napari_samsp.predict."
        )
    true = _renamed(true, found)
    return Pairing(
        {
            name: (found[name], true[name])
            for name in sorted(found.keys() & true.keys())
        },
        sorted(true.keys() - found.keys()),
        sorted(found.keys() - true.keys()),
    )


def _renamed(true: dict[str, Path], found: dict[str, Path]) -> dict[str, Path]:
    """Masks by the names of their predictions, such as NAME for NAME_mask."""
    named: dict[str, Path] = {}
    for stem, path in true.items():
        short = image_stem(stem)
        # A prediction of the mask's own name wins.
        name = short if stem not in found and short in found else stem
        if name != stem and (other := named.get(name) or true.get(name)):
            raise InputError(
                f"{other.name} and {path.name} would both be the mask of {name}; keep "
                "one of them."
            )
        named[name] = path
    return named


def evaluate(
    pairs: dict[str, tuple[Path, Path]],
    objects: bool = False,
    tolerance: float = BOUNDARY_TOLERANCE,
) -> dict[str, dict[str, float]]:
    """Figures of every image.

    Parameters
    ----------
    pairs : dict
        Prediction's and mask's file by name.
    objects : bool
        Adds the figures of instances.
    tolerance : float
        Of the boundary in pixels.

    Returns
    -------
    dict
        `napari_samsp.core.metrics.scores` by name; of a stack by name and slice, such
        as ``embryo t0 z12``.

    Raises
    ------
    InputError
        If a file cannot be read, or the sizes of two differ.
    """
    figures = {}
    console = Console(stderr=True)
    for name, (prediction, mask) in track(
        pairs.items(),
        "Comparing",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ):
        try:
            for where, labels, truth in _slices(prediction, mask):
                figures[name + where] = scores(labels, truth, objects, tolerance)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    return figures


def _slices(
    prediction: Path, mask: Path
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """The pairs of slices of two files, and where they are; of 2D files the one."""
    with ExitStack() as files:
        stacks = []
        for path in (prediction, mask):
            image = files.enter_context(open_image(path))
            stacks.append(image if image.plane_axes else None)
        labels, truth = stacks
        if labels is None or truth is None:
            yield "", read_labels(prediction), read_labels(mask)
            return
        if labels.labels_shape != truth.labels_shape:
            sides = (
                " x ".join(map(str, stack.labels_shape)) for stack in (labels, truth)
            )
            raise InputError(
                "The prediction is {} but the mask is {}; sizes must be equal.".format(
                    *sides
                )
            )
        axes = truth.plane_axes.lower()
        for index in truth.planes():
            where = "".join(f" {a}{n}" for a, n in zip(axes, index, strict=True))
            ours, theirs = (
                as_labels(np.asarray(stack.plane(index)[0]), str(path))
                for stack, path in ((labels, prediction), (truth, mask))
            )
            yield where, ours, theirs


def report(figures: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Sum up the figures of all images.

    Parameters
    ----------
    figures : dict
        From `evaluate`, at least one image.

    Returns
    -------
    dict
        ``{"dice": {"mean", "std", "n"}, ..., "images": figures, "worst": names}``;
        the worst are those of the lowest Dice, or AJI if there is one.
    """
    keys = list(next(iter(figures.values())))
    judged_by = "aji" if "aji" in keys else "dice"
    worst = sorted(figures, key=lambda name: (figures[name][judged_by], name))
    return {
        **{key: summary(f[key] for f in figures.values())._asdict() for key in keys},
        "images": figures,
        "worst": worst[:WORST],
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : list of str, optional
        Default: those of the process.

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    InputError
        If something cannot be compared.
    """
    options = _parser().parse_args(arguments)
    pairing = pair_files(options.predictions, options.masks, options.iteration)
    if pairing.missing and not options.allow_missing:
        raise InputError(
            f"There is no prediction in {options.predictions} for "
            f"{some(pairing.missing)} of {options.masks}; predict the rest, or leave "
            "it out with --allow-missing."
        )
    if not pairing.pairs:
        raise InputError(
            f"No prediction in {options.predictions} has the name of a mask in "
            f"{options.masks}."
        )
    if options.dry_run:
        for name, (prediction, mask) in pairing.pairs.items():
            print(printable(f"{name}: {prediction} and {mask}"))
        return 0
    figures = evaluate(pairing.pairs, options.objects, options.boundary_tolerance)
    content = report(figures)
    if options.json is not None:
        content |= {
            "missing": pairing.missing,
            "unmatched": pairing.unmatched,
            "boundary_tolerance": options.boundary_tolerance,
        }
        text = json.dumps(content, indent=2)
        write_atomically(options.json, f"{text}\n".encode())
    _show(content, pairing)
    return 0


def _show(content: dict[str, Any], pairing: Pairing) -> None:
    console = Console(highlight=False)
    keys = [key for key in TITLES if key in content]
    means = Table("", *(TITLES[key] for key in keys))
    for row, pattern in {"mean": ".3f", "std": ".3f", "n": "d"}.items():
        means.add_row(row, *(f"{content[key][row]:{pattern}}" for key in keys))
    worst = Table("worst", *(TITLES[key] for key in keys))
    worst.columns[0].overflow = "fold"
    for name in content["worst"]:
        figures = content["images"][name]
        worst.add_row(Text(printable(name)), *(f"{figures[key]:.3f}" for key in keys))
    console.print(means, worst)
    if pairing.missing:
        console.print(Text(f"Left out, without a prediction: {some(pairing.missing)}."))
    if pairing.unmatched:
        console.print(Text(f"Not used, without a mask: {some(pairing.unmatched)}."))


def _parser() -> Parser:
    parser = Parser(
        prog="python -m napari_samsp.evaluate",
        description="Compare predicted label images with masks of the same names; "
        "stacks slice by slice.",
        examples="""
        python -m napari_samsp.evaluate predictions masks
        python -m napari_samsp.evaluate predictions masks --objects --json figures.json
        python -m napari_samsp.evaluate predictions masks --iteration 0
        """,
    )
    parser.add_argument(
        "predictions",
        metavar="PREDICTIONS",
        type=Path,
        help="folder of NAME.tif or NAME.png, as predict writes it",
    )
    parser.add_argument("masks", metavar="MASKS", type=Path, help="folder of masks")
    parser.add_argument(
        "--objects",
        action="store_true",
        help="also judge single objects: AP at IoU 0.5 and 0.75, and AJI",
    )
    parser.add_argument(
        "--boundary-tolerance",
        metavar="PIXELS",
        type=float,
        default=BOUNDARY_TOLERANCE,
        help="how far off a boundary may be (default: %(default)g)",
    )
    parser.add_argument(
        "--iteration",
        metavar="N",
        type=int,
        help="judge NAME.iterN.tif, written by predict --all-iterations",
    )
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="leave out masks that have no prediction",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="only list which prediction is compared with which mask",
    )
    parser.add_argument(
        "--json", metavar="FILE", type=Path, help="also write the figures there"
    )
    return parser


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.")
    files: dict[str, Path] = {}
    for stem, path in by_stem(folder, SUFFIXES).items():
        name = stem.removesuffix(".ome")  # as predict names what it writes
        if name in files:
            raise InputError(
                f"{files[name].name} and {path.name} in {folder} have the same name; "
                "keep one of them."
            )
        files[name] = path
    if not files:
        raise InputError(f"There are no {', '.join(SUFFIXES)} files in {folder}.")
    return files


if __name__ == "__main__":
    run(main)
