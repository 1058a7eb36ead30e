"""Small objects in a large image, and how many of them are found.

    python training/benchmarks/mosaics.py DATA [--fields 8 20 45] [--draws 2] [--side 6]
        [--gap 0]

Lays fields of nuclei (dsb2018, dark ones of 360 x 360) side by side at random, turned
by random quarters, and segments the whole. AP is that at IoU 0.5 with separate objects:
alone is the mean over the mosaic's fields, each segmented by itself; mosaic is of the
whole. The estimate's share is that of its processor time in all of it. Without a gap,
nuclei that the edges of fields cut touch those of the next field; a gap has the
background of its field.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from skimage import io
from skimage.util import img_as_ubyte

from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.metrics import average_precision

SIDE = 360
DARK = 60
"""Mean intensity; brighter fields are no fluorescence."""


class Field(NamedTuple):
    """A field of nuclei and its labels, both ``(Y, X)``."""

    image: np.ndarray
    labels: np.ndarray


def read_fields(data: Path, split: str) -> list[Field]:
    """Dark fields of dsb2018 in the order of its list; of one split, or of all."""
    folder, found = data / "dsb2018", []
    for row in csv.DictReader((folder / "meta.csv").open()):
        if split not in ("all", row["suggested_split"]):
            continue
        image, labels = (
            io.imread(next((folder / name).glob(f"{row['stem']}.*")))
            for name in ("images", "masks")
        )
        if image.ndim == 3:
            image = img_as_ubyte(image[..., :3]).mean(-1)
        if image.shape == (SIDE, SIDE) and image.mean() < DARK:
            found.append(Field(image.astype(np.uint8), labels.astype(np.int32)))
    return found


def lay_out(
    fields: list[Field], side: int, seed: int, gap: int
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """A mosaic of ``side`` by ``side`` fields, its labels, and which fields it has."""
    rng = np.random.default_rng(seed)
    pitch = SIDE + gap
    image = np.zeros((pitch * side,) * 2, np.uint8)
    labels = np.zeros(image.shape, np.int32)
    drawn, count = [], 0
    for top in range(0, pitch * side, pitch):
        for left in range(0, pitch * side, pitch):
            drawn.append(int(rng.integers(len(fields))))
            turns, field = int(rng.integers(4)), fields[drawn[-1]]
            around = (slice(top, top + pitch), slice(left, left + pitch))
            image[around] = np.percentile(field.image, 10)
            here = (slice(top, top + SIDE), slice(left, left + SIDE))
            image[here] = np.rot90(field.image, turns)
            part = np.rot90(field.labels, turns)
            labels[here] = np.where(part > 0, part + count, 0)
            count += int(part.max())
    return image, labels, drawn


def ap50(segmenter: Segmenter, field: Field, iterations: int) -> float:
    """AP at IoU 0.5 of the last iteration."""
    *_, last = segmenter.segment(field.image, iterations, objects=True)
    return average_precision(last.labels, field.labels, (0.5,))[0]


def seconds_of_estimate(segmenter: Segmenter, image: np.ndarray) -> float:
    """Processor time of finding the field of view."""
    from napari_samsp.data.rgb import as_lazy_rgb
    from napari_samsp.inference.scale.field_of_view import field_of_view
    from napari_samsp.inference.tile_encoder import TileEncoder
    from napari_samsp.self_prompting.model import SelfPrompting

    picture = as_lazy_rgb(image, None, segmenter.scaling)[:, :]
    model = SelfPrompting(segmenter.sam, segmenter.kind, objects=True)
    begun = time.process_time()
    field_of_view(model, TileEncoder(model, picture), "auto")
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder that holds dsb2018")
    parser.add_argument("--fields", type=int, nargs="+", default=[8, 20, 45])
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--side", type=int, default=6, help="fields along a side")
    parser.add_argument(
        "--gap", type=int, default=0, help="pixels of background between fields"
    )
    parser.add_argument("--split", default="all", help="train, test or all")
    parser.add_argument("--iterations", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    fields = read_fields(args.data, args.split)
    segmenter = Segmenter(device="cpu")
    alone: dict[int, float] = {}
    print(f"{'fields':>6} {'draw':>4} {'nuclei':>6} {'found':>6} {'alone':>6} "
          f"{'mosaic':>6} {'size':>6} {'true':>6} {'share':>6}")  # fmt: skip
    for count in args.fields:
        for draw in range(args.draws):
            image, labels, drawn = lay_out(fields[:count], args.side, draw, args.gap)
            for n in set(drawn) - alone.keys():
                alone[n] = ap50(segmenter, fields[n], args.iterations)
            expected = float(np.mean([alone[n] for n in drawn]))
            begun = time.process_time()
            *_, last = segmenter.segment(image, args.iterations, objects=True)
            took = time.process_time() - begun
            (ap,) = average_precision(last.labels, labels, (0.5,))
            areas = np.unique(labels[labels > 0], return_counts=True)[1]
            true = float(np.median(np.sqrt(4 / np.pi * areas)))
            size = last.scale.object_size or 0.0
            share = seconds_of_estimate(segmenter, image) / took
            print(f"{count:>6} {draw:>4} {labels.max():>6} {last.labels.max():>6} "
                  f"{expected:>6.3f} {ap:>6.3f} {size:>6.1f} {true:>6.1f} "
                  f"{share:>6.1%}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
