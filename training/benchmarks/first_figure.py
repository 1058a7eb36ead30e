"""How soon Fine-tune shows a better figure: five corrections, the widget's defaults.

    python training/benchmarks/first_figure.py DATA [--set isic2017] [--speed auto]

Five images of a set, made 512 x 512, are the corrections. The trainer is started as the
widget starts it; told are the seconds from that moment until it is ready to train, and
until the first epoch whose held-out Dice is above the one before training, when it is
stopped. The processor's seconds are told as well: other programs do not change them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from skimage.transform import resize

# What the scripts of training/ share lies there; it is no package.
sys.path.insert(0, str(Path(__file__).parents[1]))
from real_images import training_pairs

from napari_samsp.data.image_files import read_image, read_labels
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.train.events import EpochEnded, Finished, Started, from_json

IMAGES, SIDE = 5, 512


def corrections(folder: Path, data: Path, seed: int) -> None:
    """Write the set."""
    training_set = TrainingSet(folder)
    pairs = training_pairs(data)
    for n in np.random.default_rng(seed).choice(len(pairs), IMAGES, replace=False):
        image, labels = read_image(pairs[n].image), read_labels(pairs[n].mask)
        image = resize(image, (SIDE, SIDE), preserve_range=True).astype(image.dtype)
        labels = resize(labels, (SIDE, SIDE), order=0, preserve_range=True)
        training_set.add(image, labels.astype(np.int32), name=pairs[n].stem)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--set", default="isic2017")
    parser.add_argument("--model", default="samsp_small")
    parser.add_argument("--speed", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        corrections(Path(work, "set"), args.data / args.set, args.seed)
        command = [
            sys.executable, "-m", "napari_samsp.train", f"{work}/set", "--output",
            f"{work}/run", "--model", args.model, "--threads=-1", "--minutes", "5",
            "--speed", args.speed, "--events",
        ]  # fmt: skip
        begun = time.monotonic()
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            before, better = 1.0, False
            trainer = psutil.Process(process.pid)
            for line in process.stdout:
                event = from_json(line)
                used = sum(trainer.cpu_times()[:2])
                spent = f"{time.monotonic() - begun:5.1f} s (CPU {used:5.1f} s)"
                if isinstance(event, Started):
                    before = event.before.dice[-1]
                    print(f"{spent}: ready, Dice {before:.3f}", flush=True)
                elif isinstance(event, EpochEnded) and not better:
                    better = event.dice[-1] > before
                    print(
                        f"{spent}: epoch {event.epoch}, Dice "
                        f"{event.dice[-1]:.3f}{', better' if better else ''}",
                        flush=True,
                    )
                    if better:
                        process.stdin.write("stop\n")
                        process.stdin.flush()
                elif isinstance(event, Finished):
                    print(f"{spent}: stopped ({event.reason})")


if __name__ == "__main__":
    main()
