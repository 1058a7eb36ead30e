"""Several classes from a few images: class tokens, and a U-Net with a softmax.

python training/experiments/classes.py DATA/nasa_superalloy --images 5 --seeds 0 1 2
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
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

# What the scripts of training/ share lies there; it is no package.
sys.path.insert(0, str(Path(__file__).parents[1]))
from unets import DECAY, PATCH, RATE, SIZE, TRUNK_RATE, WARM_UP, ImageNetUnet

from napari_samsp import Segmenter
from napari_samsp.data.image_files import read_image, read_labels
from napari_samsp.data.rgb import to_rgb8
from napari_samsp.data.training_sets.classes import (
    Classes,
    LabelClass,
    default_color,
    write_classes,
)
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.metrics import class_scores, dice
from napari_samsp.self_prompting.letterbox import logits_to_image, to_model_input
from napari_samsp.train.config import TrainConfig
from napari_samsp.train.examples.augment import Augmentation, stack_views
from napari_samsp.train.examples.dataset import best_fields
from napari_samsp.train.examples.example import Example
from napari_samsp.train.examples.symmetry import symmetry_of
from napari_samsp.train.loop import train
from napari_samsp.utils.file_names import by_stem

if TYPE_CHECKING:
    from collections.abc import Callable

    Predictor = Callable[[np.ndarray], list[np.ndarray]]

SUFFIXES = (".png", ".tif", ".jpg")


def read(folder: Path, part: str) -> list[Example]:
    """The images with semantic masks of ``images`` or ``images_test``."""
    images = by_stem(folder / f"images{part}", SUFFIXES)
    masks = by_stem(folder / f"masks{part}", SUFFIXES)
    return [
        Example(name, to_rgb8(read_image(images[name])), read_labels(masks[name]))
        for name in sorted(images.keys() & masks.keys())
    ]


def samsp(
    pictures: list[Example], labels: list[int], args: argparse.Namespace, seed: int
) -> tuple[Predictor, float]:
    """Train with ``--classes`` or, with one label, on that label alone."""
    with tempfile.TemporaryDirectory() as work:
        training_set = TrainingSet(Path(work) / "set")
        for one in pictures:
            mask = np.where(np.isin(one.labels, labels), one.labels, 0)
            training_set.add(one.image, mask, name=one.name)
        named = tuple(LabelClass(n, f"class {n}", default_color(n)) for n in labels)
        write_classes(training_set.folder, Classes("semantic", named))
        config = TrainConfig(
            classes=True, steps=args.steps, seed=seed, threads=1, validation="0"
        )
        begun = time.process_time()
        train(training_set.folder, Path(work) / "run", config)
        seconds = time.process_time() - begun
        segmenter = Segmenter(adapter=Path(work) / "run" / "adapter")

    def predict(image: np.ndarray) -> list[np.ndarray]:
        return [step.labels for step in segmenter.segment(image, iterations=2)]

    return predict, seconds


def unet(
    pictures: list[Example], labels: list[int], seconds: float, seed: int
) -> Predictor:
    """A U-Net whose trunk began with ImageNet's weights, softmax over the classes."""
    torch.manual_seed(seed)
    net = ImageNetUnet(1 + len(labels))
    trunk = {id(p) for p in net.net.encoder.parameters()}
    groups = [
        {
            "params": [p for p in net.parameters() if (id(p) in trunk) == inside],
            "peak": r,
        }
        for inside, r in ((True, TRUNK_RATE), (False, RATE))
    ]
    optimizer = torch.optim.AdamW(groups, RATE, weight_decay=0.01)
    average = AveragedModel(
        net, multi_avg_fn=get_ema_multi_avg_fn(DECAY), use_buffers=True
    )
    field = round(np.median(best_fields(pictures, SIZE, PATCH)))
    augment = Augmentation(SIZE, symmetry=symmetry_of([p.labels for p in pictures]))
    rng = np.random.default_rng(seed)
    begun, part, step = time.process_time(), 0.0, 0
    while part < 1:
        step += 1
        for group in optimizer.param_groups:
            fall = min(1, max(0.02, 2 * (1 - part)))
            group["lr"] = group["peak"] * min(1, step / WARM_UP) * fall
        drawn = [pictures[i] for i in rng.integers(len(pictures), size=4)]
        batch = stack_views([augment(p.image, p.labels, field) for p in drawn])
        optimizer.zero_grad()
        softmax_loss(net(batch.image), batch.labels, batch.valid, labels).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        average.update_parameters(net)
        part = (time.process_time() - begun) / seconds
    judged = average.module.eval()

    def predict(image: np.ndarray) -> list[np.ndarray]:
        shape = image.shape[:2]
        size = -(-max(shape) * SIZE // field // 32) * 32
        tensor, valid = to_model_input(image, size)
        height, width = (-(-int(side) // 32) * 32 for side in valid)
        with torch.inference_mode():
            logits = judged(tensor[None, :, :height, :width])[0]
            logits = F.pad(logits, (0, size - width, 0, size - height))
            full = logits_to_image(logits, size, tuple(valid.tolist()), shape)
        return [np.array([0, *labels])[full.argmax(0).numpy()]]

    return predict


def softmax_loss(
    logits: torch.Tensor, truth: torch.Tensor, valid: torch.Tensor, labels: list[int]
) -> torch.Tensor:
    """Cross-entropy and the mean soft Dice of the classes, padding left out."""
    target = torch.zeros_like(truth)
    for n, label in enumerate(labels, start=1):
        target[truth == label] = n
    inside = torch.zeros_like(truth, dtype=torch.float32)
    for n, (height, width) in enumerate(valid.tolist()):
        inside[n, :height, :width] = 1
    entropy = F.cross_entropy(logits, target, reduction="none")
    entropy = (entropy * inside).sum((1, 2)) / inside.sum((1, 2))
    found = logits.softmax(1)[:, 1:] * inside[:, None]
    true = F.one_hot(target, 1 + len(labels)).permute(0, 3, 1, 2)[:, 1:]
    true = true * inside[:, None]
    overlap = 2 * (found * true).sum((2, 3)) + 1
    total = found.square().sum((2, 3)) + true.sum((2, 3)) + 1
    return (entropy + 1 - (overlap / total).mean(1)).mean()


def judge(
    predict: Predictor, tests: list[Example], labels: list[int]
) -> list[dict[int, float]]:
    """Dice of each class, one dict an iteration: means over the test images."""
    found: list[list[dict[int, float]]] = []
    for one in tests:
        steps = [
            class_scores(
                (step, step), (one.labels, one.labels), labels,
                lambda a, b: {"dice": dice(a, b)},
            )
            for step in predict(one.image)
        ]  # fmt: skip
        found.append([{n: f["dice"] for n, f in step.items()} for step in steps])
    return [
        {
            n: float(np.mean([image[t][n] for image in found if n in image[t]]))
            for n in labels
        }
        for t in range(len(found[0]))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="with images, masks, images_test, ...")
    parser.add_argument("--images", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--one-by-one", action="store_true", help="K runs of a class")
    args = parser.parse_args()
    torch.set_num_threads(1)
    every, tests = read(args.data, ""), read(args.data, "_test")
    labels = sorted({int(n) for one in every for n in np.unique(one.labels)} - {0})
    for seed in args.seeds:
        pick = np.random.default_rng(seed).permutation(len(every))[: args.images]
        pictures = [every[n] for n in sorted(pick)]
        predict, seconds = samsp(pictures, labels, args, seed)
        tell("classes", seed, seconds, judge(predict, tests, labels))
        net = unet(pictures, labels, seconds, seed)
        tell("U-Net, softmax", seed, seconds, judge(net, tests, labels))
        for label in labels if args.one_by_one else []:
            predict, seconds = samsp(pictures, [label], args, seed)
            tell(f"class {label} alone", seed, seconds, judge(predict, tests, [label]))


def tell(
    method: str, seed: int, seconds: float, figures: list[dict[int, float]]
) -> None:
    mean = [round(float(np.mean(list(step.values()))), 3) for step in figures]
    each = [{n: round(v, 3) for n, v in step.items()} for step in figures]
    line = {
        "method": method, "seed": seed, "cpu_seconds": round(seconds),
        "mean_dice": mean, "dice": each,
    }  # fmt: skip
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
