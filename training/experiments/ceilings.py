"""Where objects are lost: what AP would be if a part of the method made no mistake.

    python training/experiments/ceilings.py DATA [--set dsb2018] [--model samsp_small]

Crops of the test images, as near as their true objects want it, AP at 0.5 on each: of
the guess which parts get a prompt, of iteration 1, of iteration 1 if those parts were
the true objects, and of the true objects on the low-res grid.
"""

from __future__ import annotations

import argparse
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from skimage import measure

# What the scripts of training/ share lies there; it is no package.
sys.path.insert(0, str(Path(__file__).parents[1]))
from real_images import test_pairs

from napari_samsp.data.image_files import read_image, read_labels
from napari_samsp.data.rgb import to_rgb8
from napari_samsp.inference.scale.object_scale import field_for, mean_object_width
from napari_samsp.metrics import average_precision
from napari_samsp.sam.architecture import patch_size
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.self_prompting.letterbox import to_model_input
from napari_samsp.self_prompting.model import SelfPrompting

CROPS = 3
"""Of an image that is not seen whole."""
COLUMNS = ("parts", "iteration 1", "iteration 1 of true parts", "grid")


def crops(image: np.ndarray, labels: np.ndarray, model: SelfPrompting) -> list[tuple]:
    """Views of an image as near as its true objects want it, with their labels."""
    encoder = model.sam.image_encoder
    patch = patch_size(encoder)
    side = field_for(mean_object_width(labels), labels.shape, encoder.img_size, patch)
    sides = np.minimum(labels.shape, side)
    rng = np.random.default_rng(0)
    found = []
    for _ in range(CROPS if side < max(labels.shape) else 1):
        top, left = rng.integers(0, np.array(labels.shape) - sides + 1)
        window = slice(top, top + sides[0]), slice(left, left + sides[1])
        true = measure.label(labels[window], background=0, connectivity=1)
        if true.any():
            found.append((image[window], true))
    return found


@torch.inference_mode()
def ceilings(image: np.ndarray, true: np.ndarray, model: SelfPrompting) -> list[float]:
    """AP at 0.5 of `COLUMNS`."""
    tensor, valid = to_model_input(image, model.sam.image_encoder.img_size)
    size, stride = model.mask_size, model.stride
    # Where each low-res cell is in the crop, and each pixel of the crop on the grid.
    cells = [
        ((np.arange(int(v) // stride) + 0.5) * stride * side / int(v)).astype(int)
        for v, side in zip(valid, true.shape, strict=True)
    ]
    pixels = [
        np.minimum((np.arange(side) + 0.5) * len(c) / side, len(c) - 1).astype(int)
        for c, side in zip(cells, true.shape, strict=True)
    ]
    grid = np.zeros((size, size), np.int64)
    grid[: len(cells[0]), : len(cells[1])] = true[np.ix_(*cells)]

    embedding = model.encode(tensor[None])
    first = model.decode_unprompted(embedding)

    def prompted(parts: torch.Tensor) -> torch.Tensor:
        prompt, index, regions = model.prompts_of(parts, first.logits, valid[None])
        if not len(index):
            return torch.zeros_like(parts)
        last = model.decode(embedding, index, prompt, regions)
        return last.distinct().instances(1)

    parts, true_parts = model.parts(first, valid[None]), torch.from_numpy(grid)[None]
    maps = (parts, prompted(parts), prompted(true_parts), true_parts)
    return [
        average_precision(found[0].numpy()[np.ix_(*pixels)], true, (0.5,))[0]
        for found in maps
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--set", default="dsb2018")
    parser.add_argument("--model", default="samsp_small", help="name or checkpoint")
    args = parser.parse_args()
    model = SelfPrompting(load_sam(args.model).sam, objects=True).eval()
    figures: dict[str, list[list[float]]] = {}
    for pair in test_pairs(args.data / args.set):
        image, labels = to_rgb8(read_image(pair.image)), read_labels(pair.mask)
        for crop, true in crops(image, labels, model):
            row = ceilings(crop, true, model)
            figures.setdefault(pair.kind or args.set, []).append(row)
    if len(figures) > 1:
        figures["all"] = list(chain.from_iterable(figures.values()))
    for kind, rows in figures.items():
        said = ", ".join(
            f"{column} {value:.3f}"
            for column, value in zip(COLUMNS, np.mean(rows, axis=0), strict=True)
        )
        print(f"{kind} (n={len(rows)}): {said}")


if __name__ == "__main__":
    main()
