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
from napari_samsp.inference.interactive.correct_next import confidence, correction_order
from napari_samsp.metrics import average_precision, dice, iou
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
    methods : list of str
        Keys of ``methods.METHODS``.
    images : list of int, "all" or "N chosen"
        Numbers of training images, drawn at random; or those that the widget puts
        first after Segment all, of `FOLDER` that are drawn.
    seeds : list of int
        Draws of the training images, and of all else that is random.
    minutes : float
        Training time each, of the CPU.
    iterations : int
        Iterations evaluated.
    tests : int
        Test images at most, evenly spread over the set; 0 for all.
    bases : dict of str to str
        Base model of a set, such as one that was pretrained without it: a file beside
        the recipe. Default: the bundled one.
    """

    data: list[str]
    methods: list[str]
    images: list[int | str]
    objects: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    minutes: float = 5.0
    iterations: int = 6
    tests: int = 0
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
        if unknown := sorted(set(recipe.bases) - set(recipe.data)):
            sys.exit(f"{path}: a base for {', '.join(unknown)}, which it does not use")
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


def pictures(pairs: list[Pair]) -> list[Example]:
    """Read images and labels."""
    return [
        Example(pair.stem, to_rgb8(read_image(pair.image)), read_labels(pair.mask))
        for pair in pairs
    ]


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


Task = tuple[str, str, int | str, int]
"""Set, method, number of training images, seed."""


def experiment(recipe: Recipe, task: Task, folder: Path) -> list[Row]:
    """Train one method once, and test all its iterations."""
    data, method, count, seed = task
    base = recipe.bases.get(data, BUNDLED)
    pool, tests = with_tests(folder / data)
    objects = data in recipe.objects
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
            pictures(pool), Path(work), base, recipe.minutes, recipe.iterations,
            seed, objects,
        )  # fmt: skip
        predict = METHODS[method](job)
        figures = [
            [
                (
                    dice(labels, test.labels),
                    iou(labels, test.labels),
                    average_precision(labels, test.labels, (0.5,))[0]
                    if objects
                    else np.nan,
                )
                for labels in predict(test.image)
            ]
            for test in pictures(tests)
        ]
    seconds = time.monotonic() - begun
    return [
        Row(
            data, method, str(count), seed, Path(base).stem, recipe.minutes, objects, t,
            *(round(float(v), 5) for v in mean), len(tests), round(seconds, 1),
        )
        for t, mean in enumerate(np.mean(figures, axis=0))
    ]  # fmt: skip


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
            figures = " ".join(f"{row.dice:.3f}" for row in rows)
            print(f"{n}/{len(todo)}", *running[future], figures, flush=True)


if __name__ == "__main__":
    main()
