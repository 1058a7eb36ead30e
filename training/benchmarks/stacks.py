"""What prompting each slice by the one before is worth, and linking slices after it.

    python training/benchmarks/stacks.py DATA [--sets isic2017 ...] [--stacks 8]

Makes stacks of ten slices from test images with known masks, one stack an image: the
view drifts by 6 % of the image's sides in a random direction, turns a little and zooms
in, from 0.8 to 0.6 of the image. *Noisier*: from slice to slice the contrast falls, to
a fifth in the last one, and noise grows, to a fifth of the image's range. *Single bad
slices*: every third slice is like that last one, and the others are clean. Then
``predict`` without and with ``--follow-slices``, and ``evaluate``, slice by slice, of
iterations 0 and 2.

Of separate objects, whose true numbers are known, also ``--link-slices``, and how well
numbers go on: of an object that is found in two slices with at most one between them,
how often both have one number (*kept*), and of all numbers that are given in several
slices, how many are of one true object only (*pure*). An object is found by the label
that covers most of it, with an IoU of at least a half.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import tifffile
from skimage.transform import AffineTransform, warp

# What the scripts of training/ share lies there; it is no package.
sys.path.insert(0, str(Path(__file__).parents[1]))
from real_images import shuffled, test_pairs

from napari_samsp.data.image_files import read_image, read_labels

SLICES = 10
LEAST_IOU = 0.5
SETS = {"isic2017": False, "gpr_tunnel": False, "dsb2018": True, "nasa_instances": True}
"""Whether each has several objects an image."""
KINDS: dict[str, Callable[[int], float]] = {
    "noisier": lambda n: n / (SLICES - 1),
    "single bad slices": lambda n: float(n % 3 == 2),
}


def make_stack(
    image: np.ndarray, labels: np.ndarray, badness: Callable[[int], float], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Slices of an image and of its labels, ``(Z, Y, X[, C])`` and ``(Z, Y, X)``."""
    rng = np.random.default_rng(seed)
    pixels = np.atleast_3d(image)[..., :3].astype(float)
    span, mean = np.ptp(pixels), pixels.mean()
    sides = np.array(labels.shape[::-1])
    way = rng.uniform(0, 2 * np.pi)
    turn = rng.uniform(-0.2, 0.2)
    slices, truths = [], []
    for n in range(SLICES):
        part, bad = n / (SLICES - 1), badness(n)
        centre = sides / 2 + (part - 0.5) * 0.06 * sides * (np.cos(way), np.sin(way))
        view = (
            AffineTransform(translation=-sides / 2)
            + AffineTransform(scale=0.8 - 0.2 * part, rotation=turn * part)
            + AffineTransform(translation=centre)
        )
        seen = warp(pixels, view, order=1, mode="reflect", preserve_range=True)
        seen = mean + (seen - mean) * (1 - 0.8 * bad)
        seen += rng.normal(0, 0.2 * span * bad, seen.shape)
        slices.append(seen.clip(0, 255).astype(np.uint8).squeeze())
        truth = warp(
            labels.astype(float), view, order=0, mode="reflect", preserve_range=True
        )
        truths.append(truth.round().astype(np.int32))
    return np.stack(slices), np.stack(truths)


def count_links(labels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Links kept, links to keep, pure numbers, numbers in several slices, ``(4,)``."""
    seen: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for z, (found, true) in enumerate(zip(labels, truth, strict=True)):
        for number in np.unique(true[true > 0]):
            inside = true == number
            best = int(np.bincount(found[inside]).argmax())
            both = np.count_nonzero(inside & (found == best))
            union = np.count_nonzero(inside | (found == best))
            if best and both >= LEAST_IOU * union:
                seen[int(number)].append((z, best))
    kept = links = 0
    objects: dict[int, list[int]] = defaultdict(list)
    for number, places in seen.items():
        for (z, one), (later, other) in pairwise(places):
            if later - z <= 2:
                links += 1
                kept += one == other
        for _, label in places:
            objects[label].append(number)
    several = [set(found) for found in objects.values() if len(found) > 1]
    pure = sum(len(found) == 1 for found in several)
    return np.array([kept, links, pure, len(several)])


def run(module: str, *arguments: object) -> None:
    """Call one of our commands."""
    command = [sys.executable, "-m", f"napari_samsp.{module}", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def compare(
    data: Path, name: str, kind: str, count: int, model: list[str], work: Path
) -> None:
    """Print a row for each way and iteration."""
    objects = ["--objects"] if SETS[name] else []
    for place in ("images", "masks"):
        (work / place).mkdir()
    chosen = shuffled(test_pairs(data / name), 0)[:count]
    for seed, pair in enumerate(chosen):
        image, labels = read_image(pair.image), read_labels(pair.mask)
        stack, truth = make_stack(image, labels, KINDS[kind], seed)
        axes = {"axes": "ZYXS" if stack.ndim == 4 else "ZYX"}
        rgb = {"photometric": "rgb"} if stack.ndim == 4 else {}
        target = f"{seed}.tif"
        tifffile.imwrite(work / "images" / target, stack, metadata=axes, **rgb)
        tifffile.imwrite(work / "masks" / target, truth, metadata={"axes": "ZYX"})
    ways = {"alone": [], "after": ["--follow-slices"]}
    if objects:
        ways["linked"] = ["--link-slices"]
    for way, option in ways.items():
        run(
            "predict", work / "images", "--output", work / way, "--all-iterations",
            *objects, *option, *model,
        )  # fmt: skip
    for t in (0, 2):
        cells = [f"{name} | {kind} | {t}"]
        for way in ("alone", "after"):
            report = work / f"{way}{t}.json"
            run(
                "evaluate", work / way, work / "masks", "--iteration", t, "--json",
                report, *objects,
            )  # fmt: skip
            figures = json.loads(report.read_text())
            for key in ("dice", "ap50") if objects else ("dice",):
                cells.append(f"{key} {figures[key]['mean']:.3f}")
        print(f"| {' | '.join(cells)} |", flush=True)
    for way in ways if objects else ():
        counts = sum(
            count_links(tifffile.imread(work / way / mask.name), tifffile.imread(mask))
            for mask in sorted((work / "masks").iterdir())
        )
        kept, links, pure, several = counts.tolist()
        print(
            f"| {name} | {kind} | {way} | numbers kept {kept} of {links} | "
            f"pure {pure} of {several} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--stacks", type=int, default=8, help="of each set (8)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--adapter", type=Path)
    args = parser.parse_args()
    model = ["--adapter", str(args.adapter)] if args.adapter else []
    print("| set | kind | iteration | alone | after the slice before |")
    for name in args.sets:
        for kind in args.kinds:
            with tempfile.TemporaryDirectory() as work:
                compare(args.data, name, kind, args.stacks, model, Path(work))


if __name__ == "__main__":
    main()
