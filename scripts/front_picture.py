"""The picture on the front page: images that nobody corrected, before and after.

    python scripts/front_picture.py DATA --output docs/images/front.png

Five images of a set, drawn by a seed, are learnt for 60 steps. Of the test images the
one with the median gain in Dice is shown: no lucky one. Each panel is napari's canvas.
DATA holds the sets ``isic2017``, ``pfc_neurons`` and ``dsb2018``, all CC0.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import napari

# What the scripts of training/ share lies there; it is no package.
sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from real_images import evenly, shuffled, with_tests, write_corrections

from napari_samsp import Segmenter
from napari_samsp.data.image_files import read_image, read_labels
from napari_samsp.metrics import average_precision, dice
from napari_samsp.train.config import TrainConfig
from napari_samsp.train.loop import train

if TYPE_CHECKING:
    import numpy as np

CORRECTIONS, STEPS, SEED = 5, 60, 0
TESTS = 24
ITERATIONS = 3
CONTOUR = 2


class Row(NamedTuple):
    """An image, two label images of it, and what is written above the three."""

    image: np.ndarray
    labels: tuple[np.ndarray, np.ndarray]
    captions: tuple[str, str, str]


def learnt(folder: Path, what: str, work: Path) -> Row:
    """A test image before and after corrections of five others."""
    pool, tests = with_tests(folder)
    corrections = work / folder.name
    write_corrections(shuffled(pool, SEED)[:CORRECTIONS], corrections)
    config = TrainConfig(steps=STEPS, seed=SEED, validation="0", speed="everywhere")
    run = work / f"{folder.name}_run"
    train(corrections, run, config)
    before, after = Segmenter(), Segmenter(adapter=run / "adapter")
    found = []
    for pair in evenly(tests, TESTS):
        image, truth = read_image(pair.image), read_labels(pair.mask)
        said = [last(segmenter, image) for segmenter in (before, after)]
        found.append((image, said, [dice(labels, truth) for labels in said]))
    found.sort(key=lambda one: one[2][1] - one[2][0])
    image, said, (low, high) = found[len(found) // 2]
    return Row(
        image,
        (said[0], said[1]),
        (
            f"{what}, not corrected",
            f"as it comes, no prompt: Dice {low:.2f}",
            f"after five others: Dice {high:.2f}",
        ),
    )


def objects(folder: Path) -> Row:
    """A test image of many objects, round 0 and round 1."""
    found = []
    for pair in evenly(with_tests(folder)[1], TESTS):
        image, truth = read_image(pair.image), read_labels(pair.mask)
        first, second, *_ = Segmenter().segment(image, ITERATIONS, objects=True)
        figures = [
            average_precision(one.labels, truth, (0.5,))[0] for one in (first, second)
        ]
        found.append((image, (first.labels, second.labels), figures))
    found.sort(key=lambda one: one[2][1] - one[2][0])
    image, said, (low, high) = found[len(found) // 2]
    return Row(
        image,
        said,
        (
            "nuclei, not corrected",
            f"round 0: AP {low:.2f}",
            f"round 1, prompted by round 0: AP {high:.2f}",
        ),
    )


def last(segmenter: Segmenter, image: np.ndarray) -> np.ndarray:
    """The labels of the last iteration."""
    return segmenter.segment(image, ITERATIONS)[-1].labels


def panel(
    viewer: napari.Viewer, image: np.ndarray, labels: np.ndarray | None
) -> np.ndarray:
    """What napari's canvas shows of an image and its labels, ``(Y, X, 4)`` uint8."""
    viewer.layers.clear()
    viewer.add_image(image, rgb=image.ndim == 3)
    if labels is not None:
        one = {1: "cyan", None: "transparent"} if labels.max() == 1 else None
        viewer.add_labels(labels, opacity=0.35, colormap=one)
        lines = viewer.add_labels(labels, opacity=1, colormap=one)
        lines.contour = CONTOUR
    viewer.reset_view()
    return viewer.export_figure(flash=False)


def draw(rows: list[Row], panels: list[list[np.ndarray]], path: Path) -> None:
    """Write the picture."""
    fig, axes = plt.subplots(
        len(rows), 3, figsize=(12, 3 * len(rows)), layout="constrained"
    )
    for row, cells, line in zip(rows, panels, axes, strict=True):
        for axis, cell, caption in zip(line, cells, row.captions, strict=True):
            axis.imshow(cell)
            axis.set_axis_off()
            axis.set_title(caption, fontsize=13)
    fig.savefig(path, dpi=80)
    plt.close(fig)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder of the sets")
    parser.add_argument("--output", type=Path, required=True, help="a PNG file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        rows = [
            learnt(args.data / "isic2017", "a skin lesion", Path(work)),
            learnt(args.data / "pfc_neurons", "a neuron, brightfield", Path(work)),
            objects(args.data / "dsb2018"),
        ]
    viewer = napari.Viewer(show=True)
    panels = [
        [panel(viewer, row.image, labels) for labels in (None, *row.labels)]
        for row in rows
    ]
    viewer.close()
    draw(rows, panels, args.output)


if __name__ == "__main__":
    main()
