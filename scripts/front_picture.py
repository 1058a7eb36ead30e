"""The picture on the front page: images that nobody corrected, before and after.

    pip install nilearn
    python scripts/front_picture.py DATA --output docs/images

It is written twice, for pages with a light and with a dark ground: ``front.png`` and
``front_dark.png``. Five images of a set, drawn by a seed, are learnt for 60 steps. Of
the test images the one with the median gain in Dice is shown: no lucky one. Each panel
is napari's canvas. DATA holds the sets ``isic2017``, ``pfc_neurons`` and ``dsb2018``,
all CC0. The stack is the MNI152 brain that nilearn carries, a mean of 152 MRI scans.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import napari
import nibabel
import nilearn.datasets
import numpy as np
from skimage.filters import gaussian
from skimage.measure import marching_cubes

# What the scripts of training/ share lies there; it is no package.
sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from real_images import evenly, shuffled, with_tests, write_corrections

from napari_samsp import Segmenter
from napari_samsp.data.image_files import read_image, read_labels
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.metrics import average_precision, dice
from napari_samsp.train.config import TrainConfig
from napari_samsp.train.loop import train

CORRECTIONS, STEPS, SEED = 5, 60, 0
TESTS = 24
ITERATIONS = 3
CONTOUR = 2
FILLED = 0.02
"""The share of white matter from which on a slice of the stack counts."""
ANGLES = (90, 0, 0)
"""The stack is seen from above; napari's Euler angles, in degrees."""
GROUNDS = {"front": "black", "front_dark": "white"}
"""The files, and the colour of their words; the ground is the page's."""


class Row(NamedTuple):
    """An image, two label images of it, and what is written above the three.

    Labels of three axes are those of the whole stack, shown in 3D.
    """

    image: np.ndarray
    labels: tuple[np.ndarray, np.ndarray]
    captions: tuple[str, str, str]


def learnt(folder: Path, what: str, work: Path) -> Row:
    """A test image before and after corrections of five others."""
    pool, tests = with_tests(folder)
    corrections = work / folder.name
    write_corrections(shuffled(pool, SEED)[:CORRECTIONS], corrections)
    before, after = Segmenter(), Segmenter(adapter=fine_tuned(corrections))
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


def fine_tuned(corrections: Path) -> Path:
    """An adapter of a set of corrections."""
    config = TrainConfig(steps=STEPS, seed=SEED, validation="0", speed="everywhere")
    run = corrections.with_name(f"{corrections.name}_run")
    train(corrections, run, config)
    return run / "adapter"


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


def stack(work: Path) -> Row:
    """Every slice of a stack, of which five were learnt."""
    volume, matter = _mni("t1"), _mni("wm") > 127
    filled = np.flatnonzero(matter.mean((1, 2)) > FILLED)
    rng = np.random.default_rng(SEED)
    learnt_from = rng.choice(filled, CORRECTIONS, replace=False)
    corrections = TrainingSet(work / "stack")
    for z in learnt_from:
        corrections.add(volume[z], matter[z].astype(np.uint8), name=f"slice {z}")
    adapter = fine_tuned(work / "stack")
    before, after = (
        np.stack([last(segmenter, one) for one in volume])
        for segmenter in (Segmenter(), Segmenter(adapter=adapter))
    )
    others = np.setdiff1d(filled, learnt_from)
    low, high = (
        np.mean([dice(said[z], matter[z]) for z in others]) for said in (before, after)
    )
    middle = int(others[len(others) // 2])
    return Row(
        volume[middle],
        (before[middle], after),
        (
            f"a stack of {len(volume)} slices, MRI",
            f"as it comes, no prompt: Dice {low:.2f}",
            f"after five of its slices: Dice {high:.2f}",
        ),
    )


def _mni(what: str) -> np.ndarray:
    """A map of the MNI152 brain, ``(Z, Y, X)`` uint8, the nose at the top."""
    folder = Path(nilearn.datasets.__file__).parent / "data"
    file = folder / f"mni_icbm152_{what}_tal_nlin_sym_09a_converted.nii.gz"
    values = np.asarray(nibabel.load(file).dataobj)
    return np.ascontiguousarray(values.transpose(2, 1, 0)[:, ::-1])


def last(segmenter: Segmenter, image: np.ndarray) -> np.ndarray:
    """The labels of the last iteration; of a blank slice, none."""
    if not np.ptp(image):
        return np.zeros(image.shape[:2], np.uint8)
    return segmenter.segment(image, ITERATIONS)[-1].labels


def panel(
    viewer: napari.Viewer, image: np.ndarray, labels: np.ndarray | None
) -> np.ndarray:
    """What napari's canvas shows of an image and its labels, ``(Y, X, 4)`` uint8."""
    viewer.layers.clear()
    if labels is not None and labels.ndim == 3:
        return _panel_3d(viewer, labels)
    viewer.dims.ndisplay = 2
    viewer.add_image(image, rgb=image.ndim == 3)
    if labels is not None:
        one = {1: "cyan", None: "transparent"} if labels.max() == 1 else None
        viewer.add_labels(labels, opacity=0.35, colormap=one)
        lines = viewer.add_labels(labels, opacity=1, colormap=one)
        lines.contour = CONTOUR
    viewer.reset_view()
    return viewer.export_figure(flash=False)


def _panel_3d(viewer: napari.Viewer, labels: np.ndarray) -> np.ndarray:
    points, faces, *_ = marching_cubes(gaussian(labels > 0), 0.5)
    viewer.add_surface((points, faces), colormap="cyan", shading="smooth")
    viewer.dims.ndisplay = 3
    viewer.camera.angles = ANGLES
    viewer.reset_view(reset_camera_angle=False)
    canvas = viewer.screenshot(flash=False)
    drawn = canvas[..., :3].any(-1)
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    return canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def draw(
    rows: list[Row], panels: list[list[np.ndarray]], path: Path, words: str
) -> None:
    """Write the picture; its ground is transparent, its words are of this colour."""
    fig, axes = plt.subplots(
        len(rows), 3, figsize=(12, 3 * len(rows)), layout="constrained"
    )
    for row, cells, line in zip(rows, panels, axes, strict=True):
        for axis, cell, caption in zip(line, cells, row.captions, strict=True):
            axis.imshow(cell)
            axis.set_axis_off()
            axis.set_title(caption, fontsize=13, color=words)
    fig.savefig(path, dpi=80, transparent=True)
    plt.close(fig)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder of the sets")
    parser.add_argument("--output", type=Path, required=True, help="a folder")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        rows = [
            learnt(args.data / "isic2017", "a skin lesion", Path(work)),
            learnt(args.data / "pfc_neurons", "a neuron, brightfield", Path(work)),
            stack(Path(work)),
            objects(args.data / "dsb2018"),
        ]
    viewer = napari.Viewer(show=True)
    panels = [
        [panel(viewer, row.image, labels) for labels in (None, *row.labels)]
        for row in rows
    ]
    viewer.close()
    for name, words in GROUNDS.items():
        draw(rows, panels, args.output / f"{name}.png", words)


if __name__ == "__main__":
    main()
