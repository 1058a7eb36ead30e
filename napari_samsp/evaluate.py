"""Compare predictions with masks: ``python -m napari_samsp.evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from napari_samsp.class_figures import (
    class_report,
    class_rows,
    find_classes,
    mean_scores,
    scores_by_class,
)
from napari_samsp.data.components import COMPONENTS, parts_note
from napari_samsp.data.folders.mask_pairs import Pairing, pair_files
from napari_samsp.data.folders.paired_slices import paired_slices
from napari_samsp.metrics import BOUNDARY_TOLERANCE, scores, summary
from napari_samsp.utils.atomic_files import write_atomically
from napari_samsp.utils.cli import Parser, run
from napari_samsp.utils.errors import InputError, printable, some
from napari_samsp.utils.notes import tell

if TYPE_CHECKING:
    from napari_samsp.data.training_sets.classes import Classes

TITLES = {
    "dice": "Dice",
    "iou": "IoU",
    "boundary_f1": "Boundary F1",
    "ap50": "AP at 0.5",
    "ap75": "AP at 0.75",
    "aji": "AJI",
}
WORST = 5


def evaluate(
    pairs: dict[str, tuple[Path, Path]],
    objects: bool = False,
    tolerance: float = BOUNDARY_TOLERANCE,
    components: str = "auto",
    series: int | None = None,
    classes: Classes | None = None,
    by_class: dict[str, dict[str, dict[str, float]]] | None = None,
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
    components : {"auto", "yes", "no"}
        Whether the connected parts of a label are the objects; ``auto``: in files of
        one value only.
    series : int, optional
        Which image of a mask file that holds several, from 0; default: the largest.
    classes : Classes, optional
        What labels mean: the figures of an image are means over the classes that it
        has, or is said to have.
    by_class : dict, optional
        Takes them, by the image's name and the class's.

    Returns
    -------
    dict
        `napari_samsp.metrics.scores` by name; of a stack by name and slice, such
        as ``embryo t0 z12``.

    Raises
    ------
    InputError
        If a file cannot be read, or the sizes of two differ.
    """
    figures = {}
    split: dict[Path, None] = {}
    console = Console(stderr=True)
    for name, paths in track(
        pairs.items(),
        "Comparing",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ):
        try:
            how = components if objects and classes is None else "no"
            for where, labels, truth in paired_slices(*paths, how, split, series):
                if classes is None:
                    figures[name + where] = scores(labels, truth, objects, tolerance)
                    continue
                found = scores_by_class(
                    (labels, truth), paths, classes, objects, tolerance
                )
                figures[name + where] = mean_scores(found, objects)
                if by_class is not None:
                    by_class[name + where] = found
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    if split and components == "auto":
        tell(parts_note([str(path) for path in split]))
    return figures


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
        Exit code; 0 on success.

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
    classes = None
    if options.classes:
        classes = find_classes(options.masks, options.predictions)
    by_class: dict[str, dict[str, dict[str, float]]] = {}
    figures = evaluate(
        pairing.pairs,
        options.objects,
        options.boundary_tolerance,
        options.components,
        options.series,
        classes,
        by_class,
    )
    content = report(figures)
    if classes is not None:
        content["classes"] = class_report(by_class, classes)
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
    console.print(means)
    if "classes" in content:
        console.print(class_rows(content["classes"], {k: TITLES[k] for k in keys}))
    console.print(worst)
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
        python -m napari_samsp.evaluate predictions set/masks --classes
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
        "--classes",
        action="store_true",
        help="judge each class that classes.json names, beside the masks or in the "
        "folder above; the means are over the classes of each image",
    )
    parser.add_argument(
        "--components",
        choices=COMPONENTS,
        default="auto",
        help="with --objects, whether the connected parts of a label are the objects; "
        "auto: in files of one value only, such as 0 and 255 (auto)",
    )
    parser.add_argument(
        "--series",
        type=int,
        metavar="N",
        help="which image of a mask file that holds several, from 0 (the largest)",
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


if __name__ == "__main__":
    run(main)
