"""How good the bundled model is on real images, by the project's own commands.

    python training/benchmarks/quality.py DATA [--only nuclei|lesions] [--seed 0]
        [--model FILE]

*nuclei*: ``predict`` without an adapter on the test split of dsb2018, beside Otsu's
threshold (the smaller side is foreground) on the same images: Dice without objects, AP
at 0.5 with them (of Otsu's threshold the connected components).
*lesions*: five training images of isic2017 as corrections, ``train --minutes 5``, then
``predict`` on its 66 test images, before and after. DATA holds both sets. What few
corrections do is told by a model that never saw their kind: ``--model``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from skimage import measure
from skimage.color import rgb2gray
from skimage.filters import threshold_otsu

# What the scripts of training/ share lies there; it is no package.
sys.path.insert(0, str(Path(__file__).parents[1]))
from real_images import test_pairs

from napari_samsp.data.image_files import read_image, read_labels, write_labels
from napari_samsp.metrics import average_precision, dice


def run(module: str, *arguments: object) -> None:
    """Call one of our commands."""
    command = [sys.executable, "-m", f"napari_samsp.{module}", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def score(predictions: Path, masks: Path) -> dict:
    """What ``evaluate`` says."""
    report = predictions.with_suffix(".json")
    run("evaluate", predictions, masks, "--json", report)
    return json.loads(report.read_text())


def otsu(images: Path, output: Path) -> None:
    """Otsu's threshold, the smaller side as foreground, as label files."""
    output.mkdir()
    for path in images.iterdir():
        image = read_image(path)
        gray = rgb2gray(image) if image.ndim == 3 else image
        bright = gray > threshold_otsu(gray)
        foreground = bright if bright.mean() <= 0.5 else ~bright
        write_labels(output / f"{path.stem}.tif", foreground.astype(np.int32))


def nuclei(data: Path, work: Path, model: str) -> None:
    """The test split of dsb2018, without any training."""
    for kind in ("images", "masks"):
        (work / kind).mkdir()
    groups: dict[str, list[str]] = {}
    for pair in test_pairs(data / "dsb2018"):
        groups.setdefault(pair.kind, []).append(pair.stem)
        shutil.copy(pair.image, work / "images")
        shutil.copy(pair.mask, work / "masks")
    otsu(work / "images", work / "otsu")
    run(
        "predict", work / "images", "--output", work / "samsp", "--all-iterations",
        "--iterations", 3, "--model", model,
    )  # fmt: skip
    for method in ("otsu", "samsp"):
        report = score(work / method, work / "masks")
        each = {name: figures["dice"] for name, figures in report["images"].items()}
        parts = ", ".join(
            f"{group} {np.mean([each[stem] for stem in stems]):.3f} (n={len(stems)})"
            for group, stems in groups.items()
        )
        print(f"dsb2018 test, {method}: Dice {report['dice']['mean']:.3f}; {parts}")
    run(
        "predict", work / "images", "--output", work / "apart", "--all-iterations",
        "--iterations", 3, "--model", model, "--objects",
    )  # fmt: skip
    masks = {path.stem: read_labels(path) for path in (work / "masks").iterdir()}
    for t in range(3):
        whole, apart = (
            {stem: read_labels(work / kind / f"{stem}.iter{t}.tif") for stem in masks}
            for kind in ("samsp", "apart")
        )
        foreground = np.mean([dice(whole[stem], masks[stem]) for stem in masks])
        print(
            f"dsb2018 test, samsp iteration {t}: Dice {foreground:.3f}, "
            f"objects {mean_ap(apart, masks):.3f}"
        )
    components = {
        stem: measure.label(read_labels(work / "otsu" / f"{stem}.tif"))
        for stem in masks
    }
    print(f"dsb2018 test, otsu's components: {mean_ap(components, masks):.3f}")


def mean_ap(found: dict[str, np.ndarray], masks: dict[str, np.ndarray]) -> float:
    """AP at an IoU of 0.5, the mean over images."""
    values = [average_precision(found[stem], masks[stem], (0.5,)) for stem in masks]
    return float(np.mean(values))


def lesions(data: Path, work: Path, seed: int, model: str) -> None:
    """Five corrections of isic2017, five minutes, then its test images."""
    folder = data / "isic2017"
    stems = sorted(path.stem for path in (folder / "images").iterdir())
    chosen = np.random.default_rng(seed).choice(stems, 5, replace=False)
    for kind in ("images", "masks"):
        (work / "set" / kind).mkdir(parents=True)
        for stem in chosen:
            shutil.copy(folder / kind / f"{stem}.png", work / "set" / kind)
    tests = folder / "images_test"
    otsu(tests, work / "otsu")
    run(
        "predict", tests, "--output", work / "before", "--iterations", 2,
        "--model", model,
    )  # fmt: skip
    run(
        "train", work / "set", "--output", work / "run", "--minutes", 5, "--seed", seed,
        "--model", model,
    )  # fmt: skip
    run(
        "predict", tests, "--output", work / "after", "--iterations", 2,
        "--adapter", work / "run" / "adapter", "--model", model,
    )  # fmt: skip
    for method in ("otsu", "before", "after"):
        report = score(work / method, folder / "masks_test")
        print(
            f"isic2017 test (seed {seed}), {method}: Dice {report['dice']['mean']:.3f} "
            f"+- {report['dice']['std']:.3f} (n={report['dice']['n']})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", choices=("nuclei", "lesions"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="samsp_small", help="name or checkpoint")
    args = parser.parse_args()
    if args.only != "lesions":
        with tempfile.TemporaryDirectory() as work:
            nuclei(args.data, Path(work), args.model)
    if args.only != "nuclei":
        with tempfile.TemporaryDirectory() as work:
            lesions(args.data, Path(work), args.seed, args.model)


if __name__ == "__main__":
    main()
