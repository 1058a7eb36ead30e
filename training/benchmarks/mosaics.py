"""Small objects in a large image, and how many of them are found.

    python training/benchmarks/mosaics.py DATA [--fields 8 20 45] [--draws 2] [--side 6]
        [--gap 0]

Lays fields of nuclei (dsb2018, dark ones of 360 x 360) side by side at random, turned
by random quarters, and segments the whole. AP is that at IoU 0.5 with separate objects:
alone is the mean over the mosaic's fields, each segmented by itself; pooled that of all
their nuclei together; mosaic is of the whole.

Nuclei that the edges of fields cut, four in ten, meet the halves of others on a seam,
where nobody could tell them apart. Inside are those that no edge cuts, alone and in the
mosaic: the cut ones count neither as missed nor as found, and what lies mostly on them,
or in a gap, is not wrong. A gap has the background of its field. The estimate's share
is that of its processor time in all of it.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from skimage import io
from skimage.util import img_as_ubyte

from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.metrics import average_precision

if TYPE_CHECKING:
    from collections.abc import Sequence

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
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]]]:
    """A mosaic of ``side`` by ``side`` fields, its labels, and its fields and turns."""
    rng = np.random.default_rng(seed)
    pitch = SIDE + gap
    image = np.zeros((pitch * side,) * 2, np.uint8)
    drawn = []
    for rows, columns in places(side, gap):
        number, turns = int(rng.integers(len(fields))), int(rng.integers(4))
        drawn.append((number, turns))
        field = fields[number].image
        around = tuple(slice(at.start, at.start + pitch) for at in (rows, columns))
        image[around] = np.percentile(field, 10)
        image[rows, columns] = np.rot90(field, turns)
    return image, side_by_side([one.labels for one in fields], drawn, side, gap), drawn


def places(side: int, gap: int) -> list[tuple[slice, slice]]:
    """Where the fields of a mosaic are, row by row."""
    spans = [slice(at, at + SIDE) for at in range(0, (SIDE + gap) * side, SIDE + gap)]
    return [(rows, columns) for rows in spans for columns in spans]


def side_by_side(
    parts: Sequence[np.ndarray] | dict[int, np.ndarray],
    drawn: list[tuple[int, int]],
    side: int,
    gap: int,
) -> np.ndarray:
    """Labels of fields laid out as they were drawn, each object with its own number."""
    labels = np.zeros(((SIDE + gap) * side,) * 2, np.int32)
    count = 0
    for here, (number, turns) in zip(places(side, gap), drawn, strict=True):
        part = np.rot90(parts[number], turns)
        labels[here] = np.where(part > 0, part + count, 0)
        count += int(part.max())
    return labels


def inside_ap50(
    prediction: np.ndarray, labels: np.ndarray, side: int, gap: int
) -> float:
    """AP at IoU 0.5 of the nuclei that the edges of fields do not cut."""
    seam = np.ones(labels.shape, bool)
    for rows, columns in places(side, gap):
        seam[rows.start + 1 : rows.stop - 1, columns.start + 1 : columns.stop - 1] = 0
    nothing = np.isin(labels, np.unique(labels[seam & (labels > 0)]))
    for here in places(side, gap):
        seam[here] = False
    nothing |= seam  # the gaps
    areas, covered = (
        np.bincount(pixels, minlength=prediction.max() + 1)
        for pixels in (prediction.ravel(), prediction[nothing])
    )
    left = np.where((2 * covered > areas)[prediction], 0, prediction)
    return ap50(left, np.where(nothing, 0, labels))


def ap50(prediction: np.ndarray, labels: np.ndarray) -> float:
    """AP at IoU 0.5."""
    return average_precision(prediction, labels, (0.5,))[0]


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
    alone: dict[int, np.ndarray] = {}
    print(f"{'fields':>6} {'draw':>4} {'nuclei':>6} {'found':>6} {'alone':>6} "
          f"{'pooled':>6} {'mosaic':>6} {'inside, alone':>13} {'mosaic':>6} "
          f"{'size':>6} {'true':>6} {'share':>6}")  # fmt: skip
    for count in args.fields:
        for draw in range(args.draws):
            image, labels, drawn = lay_out(fields[:count], args.side, draw, args.gap)
            for n in {number for number, _ in drawn} - alone.keys():
                *_, said = segmenter.segment(
                    fields[n].image, args.iterations, objects=True
                )
                alone[n] = said.labels
            pooled = side_by_side(alone, drawn, args.side, args.gap)
            begun = time.process_time()
            *_, last = segmenter.segment(image, args.iterations, objects=True)
            took = time.process_time() - begun
            expected = np.mean([ap50(alone[n], fields[n].labels) for n, _ in drawn])
            apart, whole = (
                (ap50(found, labels), inside_ap50(found, labels, args.side, args.gap))
                for found in (pooled, last.labels)
            )
            areas = np.unique(labels[labels > 0], return_counts=True)[1]
            true = float(np.median(np.sqrt(4 / np.pi * areas)))
            size = last.scale.object_size or 0.0
            share = seconds_of_estimate(segmenter, image) / took
            print(f"{count:>6} {draw:>4} {labels.max():>6} {last.labels.max():>6} "
                  f"{expected:>6.3f} {apart[0]:>6.3f} {whole[0]:>6.3f} "
                  f"{apart[1]:>13.3f} {whole[1]:>6.3f} {size:>6.1f} {true:>6.1f} "
                  f"{share:>6.1%}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
