"""Run a recipe of experiments: data x method x number of images x seed -> a CSV.

    python training/experiments/run.py RECIPE.yaml DATA --output results.csv

Every line of the CSV is one iteration of one method, averaged over the test images.
What is in the CSV already is not run again, so that an interrupted run continues.
Training images are drawn by seed, the same for every method.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, fields, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import yaml

# What the scripts of training/ share lies there; it is no package.
sys.path.insert(0, str(Path(__file__).parents[1]))
from methods import METHODS, Job
from real_images import Pair, evenly, shuffled, with_tests

from napari_samsp import Segmenter
from napari_samsp.data.image_files import read_image, read_labels
from napari_samsp.data.rgb import to_rgb8
from napari_samsp.data.training_sets.classes import IGNORE
from napari_samsp.inference.interactive.correct_next import confidence, correction_order
from napari_samsp.metrics import average_precision, class_scores, dice, iou
from napari_samsp.train.examples.example import Example

BUNDLED = "samsp_small"
FOLDER = 60
"""Images that a user has, of whom the widget says which to correct first."""
CHOSEN = " chosen"


@dataclass(frozen=True)
class Recipe:
    """What to run; the keys of the YAML file.

    Attributes
    ----------
    data : list of str
        Names of sets.
    objects : list of str
        Those of them whose objects are wanted apart.
    classes : list of str
        Those of them whose labels are classes of areas, to be told apart. Beside the
        means over the classes of each image, each class has lines of its own, as the
        set ``NAME, class N``.
    methods : list of str
        Keys of ``methods.METHODS``.
    images : list of int, "all" or "N chosen"
        Numbers of training images, drawn at random, all where a set has fewer; or
        those that the widget puts first after Segment all, of `FOLDER` that are drawn.
    seeds : list of int
        Draws of the training images, and of all else that is random.
    minutes : float
        Training time each, of the CPU.
    iterations : int
        Iterations evaluated.
    tests : int
        Test images at most, evenly spread over the set; 0 for all.
    sources : dict of str to str
        How the names of a set's images begin that are used; default all. For a set
        of several kinds, such as discs and ovaries.
    merge : dict of str to list of list of int
        Labels of a set that are one class, in the order of the classes from 1 on; what
        is in none of the lists is background.
    bases : dict of str to str
        Base model of a set, such as one that was pretrained without it: a file beside
        the recipe. Default: the bundled one.
    """

    data: list[str]
    methods: list[str]
    images: list[int | str]
    objects: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    minutes: float = 5.0
    iterations: int = 6
    tests: int = 0
    sources: dict[str, str] = field(default_factory=dict)
    merge: dict[str, list[list[int]]] = field(default_factory=dict)
    bases: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """Read a file; what is unknown or missing ends the program by its name."""
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(content) - known):
            sys.exit(f"{path}: unknown {', '.join(unknown)}; known: {sorted(known)}")
        recipe = cls(**content)
        if unknown := sorted(set(recipe.methods) - set(METHODS)):
            sys.exit(
                f"{path}: no method {', '.join(unknown)}; there are {list(METHODS)}"
            )
        for key in ("objects", "classes", "sources", "merge", "bases"):
            if unknown := sorted(set(getattr(recipe, key)) - set(recipe.data)):
                sys.exit(f"{path}: {key} of {', '.join(unknown)}, which is not in data")
        bases = {name: str(path.parent / base) for name, base in recipe.bases.items()}
        if missing := [base for base in bases.values() if not Path(base).is_file()]:
            sys.exit(f"{path}: no file {', '.join(missing)}")
        return replace(recipe, bases=bases)


@dataclass(frozen=True)
class Row:
    """A line of the CSV."""

    data: str
    method: str
    images: str
    seed: int
    base: str
    minutes: float
    objects: bool
    iteration: int
    dice: float
    iou: float
    ap50: float
    tests: int
    seconds: float


def pictures(pairs: list[Pair], merge: list[list[int]] | None = None) -> list[Example]:
    """Read images and labels; ``merge`` as in `Recipe`, for one set."""
    return [
        Example(
            pair.stem, to_rgb8(read_image(pair.image)),
            merged(read_labels(pair.mask), merge),
        )
        for pair in pairs
    ]  # fmt: skip


def merged(labels: np.ndarray, merge: list[list[int]] | None) -> np.ndarray:
    """Labels of one list as one class, counted from 1; ``None`` leaves them."""
    if merge is None:
        return labels
    found = np.zeros_like(labels)
    for label, parts in enumerate(merge, start=1):
        found[np.isin(labels, parts)] = label
    return found


def first_to_correct(pairs: list[Pair], base: str, objects: bool) -> list[Pair]:
    """Images in the order in which the widget proposes them, before any training."""
    segmenter = Segmenter(base)
    sure, looks = [], []
    for picture in pictures(pairs):
        steps = segmenter.segment(picture.image, objects=objects)
        sure.append(confidence([[step.score for step in steps]]) or 0.0)
        looks.append(steps[-1].look)
    order = correction_order(sure, looks)
    return [pairs[i] for i in order]


Figures = tuple[float, float, float]
"""Dice, IoU, AP."""
Task = tuple[str, str, int | str, int]
"""Set, method, number of training images, seed."""


def experiment(recipe: Recipe, task: Task, folder: Path) -> list[Row]:
    """Train one method once, and test all its iterations."""
    data, method, count, seed = task
    base = recipe.bases.get(data, BUNDLED)
    pool, tests = with_tests(folder / data, recipe.sources.get(data, ""))
    objects = data in recipe.objects
    merge = recipe.merge.get(data)
    classes = class_labels(pool, merge) if data in recipe.classes else ()
    if count != "all":
        drawn = shuffled(pool, seed)
        number = int(str(count).removesuffix(CHOSEN))
        if str(count).endswith(CHOSEN):
            drawn = first_to_correct(drawn[:FOLDER], base, objects)
        pool = drawn[:number]
    if recipe.tests:
        tests = evenly(tests, recipe.tests)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as work:
        job = Job(
            pictures(pool, merge), Path(work), base, recipe.minutes, recipe.iterations,
            seed, objects, classes,
        )  # fmt: skip
        predict = METHODS[method](job)
        figures: dict[tuple[str, int], list[Figures]] = {}
        for test in pictures(tests, merge):
            for t, labels in enumerate(predict(test.image)):
                for part, found in judged(labels, test.labels, job).items():
                    figures.setdefault((part, t), []).append(found)
    seconds = time.monotonic() - begun
    return [
        Row(
            data + part, method, str(count), seed, Path(base).stem, recipe.minutes,
            objects, t, *(round(float(v), 5) for v in np.mean(found, axis=0)),
            len(found), round(seconds, 1),
        )
        for (part, t), found in sorted(figures.items())
    ]  # fmt: skip


def class_labels(
    pairs: list[Pair], merge: list[list[int]] | None = None
) -> tuple[int, ...]:
    """The labels of a set's classes; what nobody labelled is none."""
    masks = (merged(read_labels(pair.mask), merge) for pair in pairs)
    found = {int(n) for mask in masks for n in np.unique(mask)}
    return tuple(sorted(found - {0, IGNORE}))


def judged(labels: np.ndarray, truth: np.ndarray, job: Job) -> dict[str, Figures]:
    """Dice, IoU and AP at 0.5; with classes also of each that either of the two has."""
    if not job.classes:
        ap = average_precision(labels, truth, (0.5,))[0] if job.objects else np.nan
        return {"": (dice(labels, truth), iou(labels, truth), ap)}
    labels, truth = (np.where(truth == IGNORE, 0, one) for one in (labels, truth))
    each = class_scores(
        (labels, labels), (truth, truth), list(job.classes),
        lambda ours, true: {"dice": dice(ours, true), "iou": iou(ours, true)},
    )  # fmt: skip
    found = {
        f", class {n}": (one["dice"], one["iou"], np.nan) for n, one in each.items()
    }
    rows = [*found.values()] or [(1.0, 1.0, np.nan)]
    dices, ious, _ = zip(*rows, strict=True)
    return {"": (float(np.mean(dices)), float(np.mean(ious)), np.nan), **found}


def done(path: Path) -> set[tuple[str, ...]]:
    """What a CSV holds: set, method, number of images and seed, as written there."""
    if not path.exists():
        return set()
    with path.open(encoding="utf-8") as stream:
        return {
            (row["data"], row["method"], row["images"], row["seed"])
            for row in csv.DictReader(stream)
        }


def append(path: Path, rows: list[Row]) -> None:
    """Add lines, all of one experiment at once."""
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, [f.name for f in fields(Row)])
        if new:
            writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("data", type=Path, help="the folder of the sets")
    parser.add_argument("--output", type=Path, required=True, help="a CSV file")
    parser.add_argument("--jobs", type=int, default=1, help="experiments at once")
    parser.add_argument("--threads", type=int, default=1, help="of each of them")
    args = parser.parse_args()
    recipe = Recipe.read(args.recipe)
    known = done(args.output)
    todo = [
        (data, method, count, seed)
        for seed in recipe.seeds
        for data in recipe.data
        for count in recipe.images
        for method in recipe.methods
        if (data, method, str(count), str(seed)) not in known
    ]
    with ProcessPoolExecutor(
        args.jobs, get_context("spawn"), torch.set_num_threads, (args.threads,)
    ) as pool:
        running = {
            pool.submit(experiment, recipe, task, args.data): task for task in todo
        }
        for n, future in enumerate(as_completed(running), start=1):
            rows = future.result()
            append(args.output, rows)
            whole = [row for row in rows if row.data == running[future][0]]
            figures = " ".join(f"{row.dice:.3f}" for row in whole)
            print(f"{n}/{len(todo)}", *running[future], figures, flush=True)


if __name__ == "__main__":
    main()
