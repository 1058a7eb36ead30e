"""Large images from zarr to zarr: time against area, and peak memory.

    python training/benchmarks/large_images.py [--side 20000] [--tile 1024] [--objects]

Segments an image of half the side and one of the full side, four times the pixels, each
in a process of its own. The image is a mosaic of generated ones, 16-bit, in chunks of
1024 pixels. CPU s is the processor time of all threads; peak memory is the whole
process's, Python and torch included (Linux).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import zarr

sys.path.insert(0, str(Path(__file__).parents[1]))
from synthetic import generate

from napari_samsp.inference.segmenter import Segmenter

CHUNK = 1024


def make_image(path: Path, shape: tuple[int, int]) -> None:
    """Write a ``(Y, X)`` uint16 image of which no two chunks are equal."""
    rng = np.random.default_rng(0)
    pieces = [generate(seed)[0].mean(-1) for seed in range(12)]
    piece = np.block([
        [np.tile(pieces[4 * row + column], (3, 3))[:256, :256] for column in range(4)]
        for row in range(3)
    ])  # fmt: skip
    image = zarr.create_array(
        str(path), shape=shape, dtype="uint16", chunks=(CHUNK, CHUNK)
    )
    for top in range(0, shape[0], CHUNK):
        for left in range(0, shape[1], CHUNK):
            shift = rng.integers(0, 768, 2)
            whole = np.tile(np.roll(piece, shift, (0, 1)), (2, 1))[:CHUNK, :CHUNK]
            part = whole[: shape[0] - top, : shape[1] - left] * 16 + rng.integers(0, 64)
            image[top : top + CHUNK, left : left + CHUNK] = part.astype(np.uint16)


def segment(folder: Path, args: argparse.Namespace) -> dict[str, float]:
    """Segment ``folder``'s image and say what it took."""
    torch.set_num_threads(args.threads)
    image = zarr.open_array(str(folder / "image.zarr"), mode="r")
    out = zarr.create_array(
        str(folder / "labels.zarr"),
        shape=image.shape,
        dtype="int32",
        chunks=(CHUNK, CHUNK),
        overwrite=True,
    )
    segmenter = Segmenter(args.model, device=args.device)
    begun, cpu = time.perf_counter(), time.process_time()
    said = segmenter.segment_into(
        image, out, args.iterations, args.objects, tile=args.tile
    )
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
    return {
        "seconds": seconds,
        "cpu": cpu,
        "tiles": said.tiles,
        "labels": said.objects,
        "megabytes": int(peak) / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=20_000)
    parser.add_argument("--height", type=int, help="of both images, to save time")
    parser.add_argument("--tile", type=int, default=1024)
    parser.add_argument("--objects", action="store_true")
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--model", default="samsp_small")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.folder:
        print(json.dumps(segment(args.folder, args)))
        return
    print(
        f"{args.model}, {args.device}, {args.threads} threads, tiles of {args.tile}, "
        f"{args.iterations} iterations, objects {'on' if args.objects else 'off'}"
    )
    print(
        f"{'pixels':>15} {'tiles':>6} {'labels':>7} {'seconds':>8} "
        f"{'CPU s':>8} {'peak MB':>8}"
    )
    took = []
    for side in (args.side // 2, args.side):
        height = args.height or side
        with tempfile.TemporaryDirectory() as name:
            make_image(Path(name) / "image.zarr", (height, side))
            command = [sys.executable, __file__, *sys.argv[1:], "--folder", name]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        said = json.loads(done.stdout)
        took.append(said)
        print(
            f"{height:>6} x {side:>6} {said['tiles']:>6} {said['labels']:>7} "
            f"{said['seconds']:>8.1f} {said['cpu']:>8.1f} {said['megabytes']:>8.0f}",
            flush=True,
        )
    ratio, cpu_ratio = (took[1][key] / took[0][key] for key in ("seconds", "cpu"))
    larger = 2 if args.height else 4
    print(
        f"{larger} times the pixels: {ratio:.2f} times the time, "
        f"{cpu_ratio:.2f} times the processor time"
    )


if __name__ == "__main__":
    main()
