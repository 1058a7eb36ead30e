"""SAM's image encoder: ours beside stock segment_anything's, in one run.

    python training/benchmarks/encoder.py [--model vit_b] [--rounds 3] [--threads 1]

Random weights (speed does not depend on them), one image, float32, CPU. The two take
turns; seconds are medians, the ratio is the median of the rounds' ratios. Peak memory
is what a child process of its own needed beyond its loaded model (Linux).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil
import torch
from segment_anything import sam_model_registry

from napari_samsp.core import fast_encoder
from napari_samsp.core.sam import build_sam, from_stock_layout


def encoders(model: str) -> dict:
    """Stock's encoder and ours, with the same weights."""
    torch.manual_seed(0)
    stock = sam_model_registry[model]().eval()
    for name, parameter in stock.image_encoder.named_parameters():
        if "rel_pos" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    sam = build_sam(model)
    sam.load_state_dict(from_stock_layout(stock.state_dict()))
    ours = sam.image_encoder
    return {
        "stock": stock.image_encoder,
        "ours": lambda images: fast_encoder.encode(ours, images),
    }


def peak_megabytes(model: str, which: str, threads: int) -> float:
    """What encoding needs beyond the model, measured in a process of its own."""
    command = [sys.executable, __file__, "--model", model, "--threads", str(threads)]
    done = subprocess.run(
        [*command, "--peak-of", which], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="vit_b", choices=("vit_b", "vit_l", "vit_h"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peak-of", choices=("stock", "ours"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    both = encoders(args.model)
    images = torch.randn(1, 3, 1024, 1024)
    with torch.inference_mode():
        if args.peak_of:
            chosen = both[args.peak_of]
            before = psutil.Process().memory_info().rss
            # Linux's own high-water mark: getrusage's outlives the parent's exec.
            Path("/proc/self/clear_refs").write_text("5")
            chosen(images)
            peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
            print(int(peak) / 1024 - before / 2**20)
            return
        seconds: dict[str, list[float]] = {name: [] for name in both}
        said = {}
        for _ in range(args.rounds):
            for name, encoder in both.items():
                begun = time.perf_counter()
                said[name] = encoder(images)
                seconds[name].append(time.perf_counter() - begun)
    error = float((said["ours"] - said["stock"]).abs().max())
    ratios = [a / b for a, b in zip(seconds["stock"], seconds["ours"], strict=True)]
    peaks = {name: peak_megabytes(args.model, name, args.threads) for name in both}
    print(f"{args.model}, 1024 x 1024, float32, {args.threads} thread(s)")
    for name, values in seconds.items():
        print(
            f"{name:6} {statistics.median(values):6.2f} s   peak {peaks[name]:6.0f} MB"
        )
    print(
        f"ours is {statistics.median(ratios):.2f} times as fast, in "
        f"{peaks['ours'] / peaks['stock']:.2f} of the memory; largest error {error:.1e}"
    )


if __name__ == "__main__":
    main()
