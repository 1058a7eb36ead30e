"""What a kept embedding saves: the same image with other settings.

    python training/benchmarks/cache.py [--size 1024] [--threads 1]

`samsp_small` on tiles as large as its input; seconds of the first segmentation and of
those after it. *Next session* is a new model with the files of the first.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from napari_samsp.inference.embedding_cache import EmbeddingCache
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.sample_data import nuclei


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    ((image, _, _),) = nuclei()
    repeats = [-(-args.size // side) for side in image.shape[:2]]
    image = np.tile(image, repeats + [1] * (image.ndim - 2))[: args.size, : args.size]
    Segmenter().segment(image[:300, :200], tile="on")  # what is slow but once
    with tempfile.TemporaryDirectory() as folder:
        cache = EmbeddingCache(Path(folder))
        first = Segmenter(cache=cache)
        later = Segmenter(cache=EmbeddingCache(Path(folder)))
        steps = (
            ("first, 1 iteration", first, {"iterations": 1}),
            ("again", first, {"iterations": 1}),
            ("box instead of box+mask, 2 iterations", first, {"prompt": "box"}),
            ("next session, 1 iteration", later, {"iterations": 1}),
        )
        print(f"samsp_small, {args.size} x {args.size}, {args.threads} thread(s)\n")
        print("| segmentation | s |")
        print("|---|---|")
        for name, segmenter, settings in steps:
            begun = time.perf_counter()
            segmenter.segment(image, tile="on", **{"iterations": 2, **settings})
            print(f"| {name} | {time.perf_counter() - begun:.2f} |")
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
        print(f"\n{size / 2**20:.1f} MB on disk.")


if __name__ == "__main__":
    main()
