"""What clicks cost: to make an object, to mend an image, and in milliseconds.

    python training/benchmarks/clicks.py DATA [--model FILE] [--adapter FOLDER]
        [--corrections 5] [--only isic2017 ...] [--images 20] [--json FILE]

With ``--corrections`` an adapter first learns from so many images of each set, drawn by
``--seed``. Of the test images of each set:

NoC@85, NoC@90
    Clicks until an object (or the one region) has this IoU, at most 20: the first at
    its deepest pixel, each next at the deepest pixel of the largest error. Of an image
    at most `OBJECTS` objects. As in the widget, each click is shown the mask so far.

interactions
    Until every object of an image has an IoU of 0.75, once from what Segment gives and
    once from nothing, by a user who takes whichever tool fits (Split and Merge are two
    clicks); of an object at most 20.

ms
    A click in core, of which the image is encoded: median and 95th percentile.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage

# What the scripts of training/ share lies there; it is no package.
sys.path.insert(0, str(Path(__file__).parents[1]))
from held_out import next_clicks
from real_images import (
    Pair,
    evenly,
    shuffled,
    test_pairs,
    training_pairs,
    with_tests,
    write_corrections,
)

from napari_samsp import Segmenter
from napari_samsp.data.image_files import read_image, read_labels
from napari_samsp.data.tiling import Tile
from napari_samsp.inference.interactive.clicks import Clicks, Cut
from napari_samsp.metrics import iou
from napari_samsp.train.config import TrainConfig
from napari_samsp.train.loop import train
from napari_samsp.ui.correct.clicks import edits as click_edits
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_samsp.inference.interactive.clicks import ClickedImage
    from napari_samsp.ui.correct.clicks.edits import Edit, Place

SETS = {"isic2017": False, "potholes": False, "sediment_grains": True, "dsb2018": True}
"""And whether their objects are wanted apart."""
OBJECTS = 12
MOST_CLICKS = 20
LEVELS = (0.85, 0.90)
GOOD = 0.75
ITERATIONS = 3
HARDLY = 0.2
"""A label that covers less of an object is no start for it."""


def clicks_needed(
    image: ClickedImage, truth: np.ndarray, seconds: list[float]
) -> list[int]:
    """Clicks to each of `LEVELS` for one ``(Y, X)`` bool mask."""
    whole = Tile(0, truth.shape[0], 0, truth.shape[1])
    points: tuple[tuple[float, float], ...] = ()
    inside: tuple[bool, ...] = ()
    found, needed = Cut.of(np.zeros_like(truth)), [MOST_CLICKS] * len(LEVELS)
    for n in range(1, MOST_CLICKS + 1):
        place, belongs = next_click(found.within(whole), truth)
        points, inside = (*points, place), (*inside, belongs)
        start = time.perf_counter()
        found = image.segment(Clicks(points, inside, mask=found or None), ITERATIONS)
        seconds.append(time.perf_counter() - start)
        reached = iou(found.within(whole), truth)
        needed = [
            min(known, n) if reached >= level else known
            for level, known in zip(LEVELS, needed, strict=True)
        ]
        if reached >= max(LEVELS):
            break
    return needed


def next_click(said: np.ndarray, truth: np.ndarray) -> tuple[Place, bool]:
    """The deepest pixel of the largest error, and whether it is in the truth."""
    masks = (torch.from_numpy(mask)[None] for mask in (said, truth))
    place, label = next_clicks(*masks, 1)
    column, row = place[0].int().tolist()
    return (row, column), bool(label[0])


class User:
    """Mends labels until they are good enough, and counts the clicks.

    Parameters
    ----------
    image : ClickedImage
        What is labelled.
    truth : numpy.ndarray
        ``(Y, X)`` labels.
    start : numpy.ndarray
        ``(Y, X)`` labels to start from.
    objects : bool
        Whether objects have labels of their own.
    """

    def __init__(
        self, image: ClickedImage, truth: np.ndarray, start: np.ndarray, objects: bool
    ) -> None:
        self.truth, self.labels, self.objects = truth, start.copy(), objects
        self.clicks = 0
        self._told: click_edits.Told | None = None
        self._plane = click_edits.Plane(
            self.labels,
            opened=lambda: image,
            open_beside=lambda _: image,  # there is no other slice
            unused=lambda: int(self.labels.max()) + 1,
            objects=objects,
            iterations=ITERATIONS,
        )

    def mend(self) -> int:
        """Go through all objects, and erase what is none; the clicks it took."""
        if not self.objects:
            self._mend(self.truth > 0, self._mend_region)
            return self.clicks
        numbers, areas = np.unique(self.truth[self.truth > 0], return_counts=True)
        for number in numbers[np.argsort(-areas)]:
            self._mend(self.truth == number, self._mend_object)
        for label in np.unique(self.labels[self.labels > 0]):
            mask = self.labels == label
            if np.count_nonzero(self.truth[mask]) < mask.sum() / 2:
                self._do(1, click_edits.erase, self._deep(mask))
        return self.clicks

    def _mend(self, truth: np.ndarray, step: Callable[[np.ndarray], bool]) -> None:
        before = self.clicks
        while self.clicks - before < MOST_CLICKS and iou(self._of(truth), truth) < GOOD:
            if not step(truth):
                # The model will not have it otherwise: someone paints.
                self.clicks = before + MOST_CLICKS

    def _mend_object(self, truth: np.ndarray) -> bool:
        label = self._label(truth)
        mine = self.labels == label
        if not label or (mine & truth).sum() < HARDLY * truth.sum():
            free = truth & (self.labels == 0)
            place = self._deep(free if free.any() else truth)
            added = self._do(1, click_edits.add, Clicks((place,), (True,)))
            return added or self._fix(truth, self._of(truth))
        for number in np.unique(self.truth[mine & ~truth & (self.truth > 0)]):
            other = (self.truth == number) & mine
            if other.sum() > np.count_nonzero(self.truth == number) / 2:
                places = self._deep(mine & truth), self._deep(other)
                return self._do(2, click_edits.split, *places)
        for number in np.unique(self.labels[truth & ~mine & (self.labels > 0)]):
            other = self.labels == number
            shared = (other & truth).sum()
            if shared > other.sum() / 2 and shared > HARDLY * truth.sum():
                places = self._deep(mine & truth), self._deep(other & truth)
                return self._do(2, click_edits.merge, *places)
        return self._fix(truth, mine)

    def _mend_region(self, truth: np.ndarray) -> bool:
        said = self.labels > 0
        place, belongs = next_click(said, truth)
        parts, _ = ndimage.label(said)
        if belongs:
            errors, _ = ndimage.label(truth & ~said)
            error = errors == errors[place]
            if (ndimage.binary_dilation(error) & said).any():
                return self._fix(truth, said)
            return self._do(1, click_edits.add, Clicks((place,), (True,)))
        part = parts == parts[place]
        if (part & truth).sum() < HARDLY * part.sum():
            return self._do(1, click_edits.erase, place)
        return self._fix(truth, said)

    def _fix(self, truth: np.ndarray, said: np.ndarray) -> bool:
        place, belongs = next_click(said, truth)
        return self._do(1, click_edits.fix, place, belongs, self._told)

    def _do(self, clicks: int, tool: Callable[..., Edit], *arguments: object) -> bool:
        self.clicks += clicks
        try:
            edit = tool(self._plane, *arguments)
        except InputError:
            return False
        self.labels[edit.rows, edit.columns] = edit.after
        self._told = edit.told
        return True

    def _of(self, truth: np.ndarray) -> np.ndarray:
        if not self.objects:
            return self.labels > 0
        label = self._label(truth)
        return (self.labels == label) if label else np.zeros_like(truth)

    def _label(self, truth: np.ndarray) -> int:
        counts = np.bincount(self.labels[truth])
        counts[0] = 0
        return int(counts.argmax())

    def _deep(self, mask: np.ndarray) -> Place:
        return next_click(np.zeros_like(mask), mask)[0]


def measure(
    segmenter: Segmenter, pairs: list[Pair], objects: bool, most: int
) -> dict[str, float]:
    """The figures of a set's images, of which so many are evenly drawn."""
    pairs = evenly(pairs, most)
    noc: list[list[int]] = []
    seconds: list[float] = []
    mended: list[int] = []
    made: list[int] = []
    for pair in pairs:
        pixels, truth = read_image(pair.image), read_labels(pair.mask)
        free = segmenter.segment(pixels, ITERATIONS, objects)[-1].labels
        image = segmenter.clicked(pixels, objects)
        image.prepare()
        masks = [truth > 0]
        if objects:
            numbers = np.unique(truth[truth > 0])
            numbers = numbers[:: max(1, -(-len(numbers) // OBJECTS))]
            masks = [truth == number for number in numbers]
        for mask in masks:
            if mask.any():
                noc.append(clicks_needed(image, mask, seconds))
        mended.append(User(image, truth, free, objects).mend())
        made.append(User(image, truth, np.zeros_like(free), objects).mend())
    low, high = np.percentile(seconds, (50, 95))
    return {
        **{
            f"noc{round(100 * level)}": round(float(np.mean([n[k] for n in noc])), 2)
            for k, level in enumerate(LEVELS)
        },
        "masks": len(noc),
        "from_segment": round(float(np.mean(mended)), 2),
        "from_nothing": round(float(np.mean(made)), 2),
        "images": len(pairs),
        "ms": round(1000 * float(low), 1),
        "ms95": round(1000 * float(high), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="samsp_small", help="name or checkpoint")
    parser.add_argument("--adapter", type=Path, help="an adapter's folder")
    parser.add_argument("--only", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--images", type=int, default=20, help="of each set, at most")
    parser.add_argument("--json", type=Path, help="append the figures to this file")
    parser.add_argument("--corrections", type=int, default=0, metavar="N")
    parser.add_argument("--steps", type=int, default=60, help="to learn them")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for name in args.only:
        begun = time.monotonic()
        folder, objects = args.data / name, SETS[name]
        pairs, adapter = test_pairs(folder) or training_pairs(folder), args.adapter
        with tempfile.TemporaryDirectory() as work:
            if args.corrections:
                pool, pairs = with_tests(folder)
                config = TrainConfig(
                    model=args.model, adapter=adapter and str(adapter), objects=objects,
                    steps=args.steps, seed=args.seed, validation="0",
                    speed="everywhere", threads=torch.get_num_threads(), device="cpu",
                )  # fmt: skip
                learnt, run = Path(work) / "set", Path(work) / "run"
                some = shuffled(pool, args.seed)[: args.corrections]
                write_corrections(some, learnt)
                train(learnt, run, config)
                adapter = run / "adapter"
            segmenter = Segmenter(args.model, adapter, device="cpu")
            row = measure(segmenter, pairs, objects, args.images)
        took = time.monotonic() - begun
        print(
            name, *(f"{k} {v}" for k, v in row.items()), f"({took:.0f} s)", flush=True
        )
        if args.json:
            about = {
                "model": args.model,
                "adapter": str(args.adapter or ""),
                "corrections": args.corrections,
                "seed": args.seed,
            }
            with args.json.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({**about, name: row}) + "\n")


if __name__ == "__main__":
    main()
