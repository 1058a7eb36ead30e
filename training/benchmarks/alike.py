"""Find all like this one: of the other objects of an image, how many it finds.

    python training/benchmarks/alike.py DATA [--model FILE] [--only dsb2018 ...]
        [--images 12] [--json FILE]

Of evenly spread training images of each set, one object is left of the true labels,
once that whose area is the median and once one drawn at random, and the rest is looked
for. Recall and precision are over all other objects, at an IoU above 0.5; beside them
those of Segment, which is not told what is wanted: of its objects, the ones that are
mostly the object that was left do not count.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

# What the scripts of training/ share lies there; it is no package.
sys.path.insert(0, str(Path(__file__).parents[1]))
from real_images import evenly, training_pairs

from napari_samsp import Segmenter
from napari_samsp.data.image_files import read_image, read_labels
from napari_samsp.inference.interactive.clicks import Cut

SETS = ("dsb2018", "blood_smear")
ITERATIONS = 3
SAME = 0.5


def count(found: list[Cut], truth: np.ndarray) -> np.ndarray:
    """How many objects of the truth are among those found, of how many, in how many."""
    areas = np.bincount(truth.ravel())
    hit = set()
    for cut in found:
        shared = np.bincount(truth[cut.place.window][cut.mask], minlength=len(areas))
        shared[0] = 0
        best = int(shared.argmax())
        union = areas[best] + cut.mask.sum() - shared[best]
        if shared[best] > SAME * union:
            hit.add(best)
    return np.array([len(hit), np.count_nonzero(areas[1:]), len(found)])


def measure(segmenter: Segmenter, folder: Path, most: int) -> dict[str, float]:
    """The figures of a set."""
    pairs = evenly(training_pairs(folder), most)
    rng = np.random.default_rng(0)
    ours, segments, seconds, clicks = np.zeros(3), np.zeros(3), 0.0, 0
    for pair in pairs:
        pixels, truth = read_image(pair.image), read_labels(pair.mask).astype(np.int64)
        numbers, areas = np.unique(truth[truth > 0], return_counts=True)
        if len(numbers) < 2:
            continue
        labels = segmenter.segment(pixels, ITERATIONS, objects=True)[-1].labels
        said = [Cut.of(labels == number) for number in np.unique(labels[labels > 0])]
        image = segmenter.clicked(pixels, objects=True)
        image.prepare()
        typical = numbers[np.abs(areas - np.median(areas)).argmin()]
        for number in (typical, rng.choice(numbers)):
            mine = truth == number
            rest = np.where(mine, 0, truth)
            start = time.perf_counter()
            found = image.find_alike(Cut.of(mine), ~mine)
            seconds += time.perf_counter() - start
            clicks += 1
            ours += count(found, rest)
            others = [c for c in said if mine[c.place.window][c.mask].mean() < SAME]
            segments += count(others, rest)
    return {
        "recall": round(ours[0] / ours[1], 3),
        "precision": round(ours[0] / max(1, ours[2]), 3),
        "segment_recall": round(segments[0] / segments[1], 3),
        "segment_precision": round(segments[0] / max(1, segments[2]), 3),
        "objects": int(ours[1]),
        "clicks": clicks,
        "seconds_a_click": round(seconds / clicks, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="samsp_small", help="name or checkpoint")
    parser.add_argument("--only", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--images", type=int, default=12, help="of each set, at most")
    parser.add_argument("--json", type=Path, help="append the figures to this file")
    args = parser.parse_args()
    segmenter = Segmenter(args.model, device="cpu")
    for name in args.only:
        row = measure(segmenter, args.data / name, args.images)
        print(name, *(f"{key} {value}" for key, value in row.items()), flush=True)
        if args.json:
            with args.json.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"model": args.model, name: row}) + "\n")


if __name__ == "__main__":
    main()
