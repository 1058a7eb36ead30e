"""Large images from zarr to zarr: time against area, and peak memory.

    python training/benchmarks/large_images.py [--side 20000] [--tile 1024] [--objects]
    python training/benchmarks/large_images.py --predict --shape 6000 9000 --objects

Segments an image of half the side and one of the full side, four times the pixels, or
one of the shape that is given, each in a process of its own. The image is a mosaic of
generated ones, 16-bit, in chunks of 1024 pixels. CPU s is the processor time of all
threads; peak memory is the whole process's, Python and torch included; MB written is
all that the process wrote to files, before the system's cache (Linux).
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

from napari_samsp import predict
from napari_samsp.inference.segmenter import Segmenter

CHUNK = 1024
IMAGE = "image.ome.zarr"


def make_image(path: Path, shape: tuple[int, int]) -> None:
    """Write a ``(Y, X)`` uint16 image of which no two chunks are equal."""
    rng = np.random.default_rng(0)
    pieces = [generate(seed)[0].mean(-1) for seed in range(12)]
    piece = np.block([
        [np.tile(pieces[4 * row + column], (3, 3))[:256, :256] for column in range(4)]
        for row in range(3)
    ])  # fmt: skip
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    image = group.create_array("0", shape=shape, dtype="uint16", chunks=(CHUNK, CHUNK))
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": [{"name": axis, "type": "space"} for axis in "yx"],
            "datasets": [
                {
                    "path": "0",
                    "coordinateTransformations": [{"type": "scale", "scale": [1, 1]}],
                }
            ],
        }
    ]
    for top in range(0, shape[0], CHUNK):
        for left in range(0, shape[1], CHUNK):
            shift = rng.integers(0, 768, 2)
            whole = np.tile(np.roll(piece, shift, (0, 1)), (2, 1))[:CHUNK, :CHUNK]
            part = whole[: shape[0] - top, : shape[1] - left] * 16 + rng.integers(0, 64)
            image[top : top + CHUNK, left : left + CHUNK] = part.astype(np.uint16)


def segment(folder: Path, args: argparse.Namespace) -> dict[str, float]:
    """Segment ``folder``'s image and say what it took."""
    torch.set_num_threads(args.threads)
    begun, cpu, before = time.perf_counter(), time.process_time(), written()
    said = by_command(folder, args) if args.predict else in_python(folder, args)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
    return {
        **said,
        "seconds": seconds,
        "cpu": cpu,
        "megabytes": int(peak) / 1024,
        "written": (written() - before) / 2**20,
    }


def written() -> int:
    """Bytes that this process has written."""
    return int(Path("/proc/self/io").read_text().split("wchar:")[1].split()[0])


def in_python(folder: Path, args: argparse.Namespace) -> dict[str, float]:
    """From zarr to zarr with `Segmenter.segment_into`."""
    image = zarr.open_array(str(folder / IMAGE / "0"), mode="r")
    out = zarr.create_array(
        str(folder / "labels.zarr"),
        shape=image.shape,
        dtype="int32",
        chunks=(CHUNK, CHUNK),
    )
    said = Segmenter(args.model, device=args.device).segment_into(
        image, out, args.iterations, args.objects, tile=args.tile
    )
    return {"tiles": said.tiles, "labels": said.objects}


def by_command(folder: Path, args: argparse.Namespace) -> dict[str, float]:
    """From OME-Zarr to OME-Zarr with ``python -m napari_samsp.predict``."""
    command = [
        str(folder / IMAGE), "--output", str(folder / "labels"),
        "--iterations", str(args.iterations), "--tile", str(args.tile),
        "--model", args.model, "--device", args.device,
        "--objects" if args.objects else "--no-objects",
    ]  # fmt: skip
    if predict.main(command):
        raise RuntimeError("predict failed")
    return {"tiles": float("nan"), "labels": float("nan")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=20_000)
    parser.add_argument("--height", type=int, help="of both images, to save time")
    parser.add_argument("--shape", type=int, nargs=2, help="of a single image")
    parser.add_argument("--predict", action="store_true", help="use the command")
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
        f"{'CPU s':>8} {'peak MB':>8} {'MB written':>10}"
    )
    took = []
    sides = (args.side // 2, args.side)
    shapes = [(args.height or side, side) for side in sides]
    for shape in [args.shape] if args.shape else shapes:
        with tempfile.TemporaryDirectory() as name:
            make_image(Path(name) / IMAGE, shape)
            command = [sys.executable, __file__, *sys.argv[1:], "--folder", name]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        said = json.loads(done.stdout)
        took.append(said)
        print(
            f"{shape[0]:>6} x {shape[1]:>6} {said['tiles']:>6.0f} "
            f"{said['labels']:>7.0f} {said['seconds']:>8.1f} {said['cpu']:>8.1f} "
            f"{said['megabytes']:>8.0f} {said['written']:>10.0f}",
            flush=True,
        )
    if args.shape:
        return
    ratio, cpu_ratio = (took[1][key] / took[0][key] for key in ("seconds", "cpu"))
    larger = 2 if args.height else 4
    print(
        f"{larger} times the pixels: {ratio:.2f} times the time, "
        f"{cpu_ratio:.2f} times the processor time"
    )


if __name__ == "__main__":
    main()
