"""How good a base model is before any training: its unseen domains, nuclei, prompts.

    python training/benchmarks/base_model.py DATA [--model FILE] [--only isic2017 ...]

Of each set, on all of its test images, or on all images where none was ever trained
on: Dice at every iteration, with objects AP at 0.5; IoU with one true box an object;
and the clicks to an IoU of 0.85 and 0.90 (NoC, at most 20; the first at the deepest
pixel of the object, each next at the deepest pixel of the largest error). An image of
many objects is prompted in views as near as inference takes, of at most `OBJECTS`
objects an image.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from skimage import measure

# What the scripts of training/ share lies there; it is no package.
sys.path.insert(0, str(Path(__file__).parents[1]))
from held_out import next_clicks
from real_images import Pair, test_pairs, training_pairs

from napari_samsp import Segmenter
from napari_samsp.data.image_files import read_image, read_labels
from napari_samsp.data.rgb import to_rgb8
from napari_samsp.data.tiling import Tile
from napari_samsp.inference.scale.object_scale import field_for, mean_object_width
from napari_samsp.metrics import average_precision, dice
from napari_samsp.self_prompting.letterbox import logits_to_image, to_model_input
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.self_prompting.prompts import Prompt

SETS = {
    "isic2017": False,
    "potholes": False,
    "pfc_neurons": False,
    "gpr_tunnel": False,
    "dsb2018": True,
    "sediment_grains": True,
}
"""And whether their objects are wanted apart."""
OBJECTS = 12
MOST_CLICKS = 20
LEVELS = (0.85, 0.90)


def pairs_of(folder: Path) -> list[Pair]:
    """The images of a set that the model never saw."""
    return test_pairs(folder) or training_pairs(folder)


def without_prompt(
    segmenter: Segmenter, image: np.ndarray, labels: np.ndarray, objects: bool
) -> dict[str, float]:
    """Dice, and with objects AP at 0.5, of three iterations."""
    row = {}
    for step in segmenter.segment(image, 3, objects):
        row[f"dice{step.iteration}"] = dice(step.labels, labels)
        if objects:
            row[f"ap{step.iteration}"] = average_precision(step.labels, labels, (0.5,))[
                0
            ]
    return row


def views(labels: np.ndarray, model: SelfPrompting, objects: bool) -> list[tuple]:
    """Tiles to prompt in, each with the ``(Y, X)`` bool masks of its objects."""
    whole = Tile(0, labels.shape[0], 0, labels.shape[1])
    if not objects:
        return [(whole, [labels > 0])] if labels.any() else []
    encoder = model.sam.image_encoder
    side = field_for(
        mean_object_width(labels), labels.shape, encoder.img_size,
        encoder.img_size // encoder.pos_embed.shape[1],
    )  # fmt: skip
    found = []
    regions = measure.regionprops(measure.label(labels, connectivity=1))
    for region in regions[:: max(1, -(-len(regions) // OBJECTS))]:
        corner = [
            int(np.clip(centre - side / 2, 0, max(0, length - side)))
            for centre, length in zip(region.centroid, labels.shape, strict=True)
        ]
        top, left = corner
        tile = Tile(
            top, min(top + side, labels.shape[0]), left,
            min(left + side, labels.shape[1]),
        )  # fmt: skip
        mask = np.zeros(labels.shape, bool)
        mask[region.slice] = region.image
        found.append((tile, [mask[tile.window]]))
    return found


@torch.inference_mode()
def prompted(model: SelfPrompting, image: np.ndarray, tile: Tile, mask: np.ndarray):
    """IoU with the true box, and the IoU after each click."""
    size = int(model.sam.image_encoder.img_size)
    tensor, valid = to_model_input(image, size, tile)
    embedding = model.encode(tensor[None])
    scale = valid.numpy() / np.array(mask.shape)
    index = torch.zeros(1, dtype=torch.int64)

    def iou_of(prompt: Prompt) -> tuple[float, np.ndarray, torch.Tensor]:
        logits = model.decode(embedding, index, prompt).logits
        full = logits_to_image(logits, size, tuple(valid.tolist()), mask.shape)
        said = full[0].numpy() > 0
        return float((said & mask).sum() / (said | mask).sum()), said, logits

    rows, cols = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    y, x = ((span[0], span[-1] + 1) for span in (rows, cols))
    corners = [x[0] * scale[1], y[0] * scale[0], x[1] * scale[1], y[1] * scale[0]]
    boxed, _, _ = iou_of(Prompt(torch.tensor([corners], dtype=torch.float32)))
    said, clicked = np.zeros_like(mask), []
    prompt = Prompt(points=torch.zeros(1, 0, 2), point_labels=torch.zeros(1, 0))
    truth = torch.from_numpy(mask)[None]
    for _ in range(MOST_CLICKS):
        place, label = next_clicks(torch.from_numpy(said)[None], truth, 1)
        place = place * torch.tensor(scale[::-1].copy(), dtype=torch.float32)
        prompt = Prompt(
            points=torch.cat([prompt.points, place[:, None]], 1),
            point_labels=torch.cat([prompt.point_labels, label[:, None]], 1),
            masks=prompt.masks,
        )
        iou, said, logits = iou_of(prompt)
        prompt = Prompt(None, prompt.points, logits[:, None], prompt.point_labels)
        clicked.append(iou)
        if iou >= max(LEVELS):
            break
    return boxed, clicked


def with_prompts(
    model: SelfPrompting, image: np.ndarray, labels: np.ndarray, objects: bool
) -> dict[str, list[float]]:
    """Of each object: IoU with its box and after 1, 3, 5 clicks, and NoC."""
    row: dict[str, list[float]] = {}
    for tile, masks in views(labels, model, objects):
        for mask in masks:
            boxed, clicked = prompted(model, image, tile, mask)
            row.setdefault("box", []).append(boxed)
            for n in (1, 3, 5):
                row.setdefault(f"click{n}", []).append(clicked[:n][-1])
            for level in LEVELS:
                enough = [n for n, iou in enumerate(clicked, 1) if iou >= level]
                row.setdefault(f"noc{round(100 * level)}", []).append(
                    enough[0] if enough else MOST_CLICKS
                )
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="samsp_small", help="name or checkpoint")
    parser.add_argument("--only", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--json", type=Path, help="append the figures to this file")
    args = parser.parse_args()
    segmenter = Segmenter(args.model, device="cpu")
    model = SelfPrompting(segmenter.sam).eval()
    for name in args.only:
        begun = time.monotonic()
        objects = SETS[name]
        kinds: dict[str, list[dict[str, float]]] = {}
        objectwise: dict[str, list[float]] = {}
        for pair in pairs_of(args.data / name):
            image, labels = to_rgb8(read_image(pair.image)), read_labels(pair.mask)
            row = without_prompt(segmenter, image, labels, objects)
            kinds.setdefault(pair.kind or "all", []).append(row)
            for key, values in with_prompts(model, image, labels, objects).items():
                objectwise.setdefault(key, []).extend(values)
        if len(kinds) > 1:
            kinds["all"] = [row for rows in kinds.values() for row in rows]
        figures = {
            kind: {
                key: round(float(np.mean([r[key] for r in rows])), 3) for key in rows[0]
            }
            | {"n": len(rows)}
            for kind, rows in kinds.items()
        }
        figures["prompts"] = {
            key: round(float(np.mean(values)), 3) for key, values in objectwise.items()
        } | {"n": len(objectwise["box"])}
        for kind, row in figures.items():
            print(name, kind, *(f"{k} {v}" for k, v in row.items()), flush=True)
        print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)
        if args.json:
            with args.json.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"model": args.model, name: figures}) + "\n")


if __name__ == "__main__":
    main()
