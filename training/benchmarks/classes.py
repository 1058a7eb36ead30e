"""What classes cost: a training step and a segmented image with K classes and with one.

    python training/benchmarks/classes.py [--classes 2 4] [--rounds 5] [--images 4]

The bundled model, one thread. A step learns from four views as fine-tuning does: two
iterations, distillation, true boxes, AdamW. An image of 512 x 512 pixels is segmented
in two iterations, seen at once and in tiles, so that all models see the same. Those of
K classes and of one take turns; CPU time, so that other work on the computer counts
little: medians in seconds, and the medians of the rounds' ratios. Prints a Markdown
table.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage

from napari_samsp.inference.sinks import InMemory
from napari_samsp.inference.sliding_window import iterate_picture
from napari_samsp.sam.adapters.adapter import add_lora
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.train.config import TrainConfig
from napari_samsp.train.examples.augment import View
from napari_samsp.train.model import ModelInTraining
from napari_samsp.train.objective.objective import Objective

if TYPE_CHECKING:
    from collections.abc import Callable

SIDE = 512
WORK = ("training step", "image seen at once", "image in tiles")


def work_of(classes: int, images: int) -> dict[str, Callable[[], object]]:
    """What is timed, of a model with so many classes."""
    torch.manual_seed(0)
    loaded = load_sam("samsp_small")
    peft = add_lora(loaded.sam, 4, loaded.name, 0, classes)
    model = ModelInTraining(peft.get_base_model())
    objective = Objective(model, TrainConfig())
    trained = [p for p in peft.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, 0.0)
    views = batch(classes, images, int(loaded.sam.image_encoder.img_size))
    noise = np.random.default_rng(0).random((SIDE, SIDE))
    smooth = ndimage.gaussian_filter(noise, 6)
    gray = (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)
    picture = np.repeat(gray[..., None], 3, 2)

    def step() -> None:
        objective.train()
        optimizer.zero_grad()
        objective(views).backward()
        optimizer.step()

    def segment(tile: str) -> Callable[[], object]:
        return lambda: list(iterate_picture(model.eval(), picture, InMemory(2), tile))

    return dict(zip(WORK, (step, segment("off"), segment("on")), strict=True))


def batch(classes: int, images: int, size: int) -> View:
    """Views of one area each, of which every class has a part."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.zeros(images, size, size, dtype=torch.int64)
    rows = torch.arange(size * 3 // 4) * classes // (size * 3 // 4) + 1
    labels[:, : len(rows), size // 4 : size // 2] = rows[:, None]
    pixels = torch.randn(images, 3, size, size, generator=generator)
    sides = torch.tensor([[size * 3 // 4, size]] * images)
    return View(pixels, labels, sides, torch.arange(images))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--images", type=int, default=4, help="of a step")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    counts = [1, *args.classes]
    every = {count: work_of(count, args.images) for count in counts}
    print(f"torch {torch.__version__}, {args.images} views a step\n")
    heads = [f"{count} classes | of one" for count in args.classes]
    print(f"| | one class | {' | '.join(heads)} |")
    print("|---" * (2 + 2 * len(args.classes)) + "|")
    for name in WORK:
        seconds: dict[int, list[float]] = {count: [] for count in counts}
        for turn in range(args.rounds + 1):
            for count in counts:
                begun = time.process_time()
                every[count][name]()
                if turn:  # the first warms up
                    seconds[count].append(time.process_time() - begun)
        cells = [f"{statistics.median(seconds[1]):.3f}"]
        for count in args.classes:
            pairs = zip(seconds[count], seconds[1], strict=True)
            ratio = statistics.median(several / one for several, one in pairs)
            cells += [f"{statistics.median(seconds[count]):.3f}", f"{ratio:.2f}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
