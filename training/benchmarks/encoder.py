"""SAM's image encoder: ours beside stock segment_anything's, in one run.

    python training/benchmarks/encoder.py [--model vit_b] [--rounds 3] [--threads 1]

Random weights (speed does not depend on them), one image, CPU. All take turns; seconds
are medians, ratios are medians of the rounds' ratios; with one thread they are seconds
of the processor, which other programs disturb less. Peak memory is what a child
process of its own needed beyond its loaded model (Linux). The last column is the part
of the machine's own best: the encoder's products, counted, by the rate of the largest
of them, measured in every round. Where there is CUDA, also eight images at once in
bfloat16 on it, beside the roofline: the operations that torch counts by the rate of its
largest product.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import torch
from segment_anything import sam_model_registry
from torch.utils.flop_counter import FlopCounterMode

from napari_samsp.sam.architecture import (
    ARCHITECTURES,
    Architecture,
    build_sam,
    from_stock_layout,
)
from napari_samsp.sam.kernels import encoder_cpu as fast_encoder
from napari_samsp.sam.kernels import encoder_cuda as gpu_encoder
from napari_samsp.utils.device import has_bfloat16

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGES_A_SET = 8
GPU_BATCH = 8


def pair(model: str) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Stock's encoder and ours, with the same weights."""
    torch.manual_seed(0)
    stock = sam_model_registry[model]().eval()
    for name, parameter in stock.image_encoder.named_parameters():
        if "rel_pos" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    sam = build_sam(model)
    sam.load_state_dict(from_stock_layout(stock.state_dict()))
    return stock.image_encoder, sam.image_encoder.eval()


def encoders(model: str) -> dict:
    """What embeds an image on a CPU, by its name in the table."""
    stock, ours = pair(model)
    both = {
        "stock": stock,
        "float32": partial(fast_encoder.encode, ours, bfloat16=False),
    }
    if has_bfloat16(torch.device("cpu")):
        both["bfloat16"] = partial(fast_encoder.encode, ours, bfloat16=True)
    return both


def clock() -> float:
    """Seconds."""
    alone = torch.get_num_threads() == 1
    return time.process_time() if alone else time.perf_counter()


def operations(a: Architecture) -> float:
    """Floating-point operations of the encoder's products, without window padding."""
    tokens, width = a.embedding_size**2, a.embed_dim
    everywhere = a.depth * 2 * tokens * width * 12 * width
    seen = [
        tokens if block in a.global_attention else a.window_size**2
        for block in range(a.depth)
    ]
    return everywhere + sum(4 * tokens * keys * width for keys in seen)


def rate(width: int, dtype: torch.dtype) -> float:
    """Operations a second of the MLP's product, the largest there is."""
    layer = torch.nn.Linear(width, 4 * width, dtype=dtype)
    tokens = torch.randn(1024, width, dtype=dtype)
    layer(tokens)
    begun = clock()
    for _ in range(5):
        layer(tokens)
    return 5 * 2 * 1024 * 4 * width**2 / (clock() - begun)


def peak_megabytes(model: str, which: str, threads: int) -> float:
    """What encoding needs beyond the model, measured in a process of its own."""
    command = [sys.executable, __file__, "--model", model, "--threads", str(threads)]
    done = subprocess.run(
        [*command, "--peak-of", which], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def counted_operations(model: str) -> int:
    """Operations of stock's encoder for an image, as torch counts them."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        encoder = sam_model_registry[model]().image_encoder
        encoder(torch.empty(1, 3, 1024, 1024))
    return int(counter.get_total_flops())


def gpu_seconds(work: Callable[[], object], repeats: int) -> float:
    """The median of calls that wait for the device, the first two apart."""
    seconds = []
    for _ in range(repeats + 2):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        work()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds[2:])


def measure_gpu(model: str, repeats: int = 10) -> None:
    """Print a table of the encoder on a GPU, a batch of images in bfloat16."""
    device = torch.device("cuda")
    stock, ours = (encoder.to(device) for encoder in pair(model))
    images = torch.randn(GPU_BATCH, 3, 1024, 1024, device=device)
    a, b = torch.randn(2, 8192, 8192, device=device, dtype=torch.bfloat16)
    rate = 2 * 8192**3 / gpu_seconds(lambda: a @ b, repeats)
    best = GPU_BATCH * counted_operations(model) / rate
    ways = {
        "stock": lambda: stock(images),
        **{
            name: partial(gpu_encoder.run, ours, images, way(device))
            for name, way in gpu_encoder.WAYS.items()
        },
        "chosen": lambda: gpu_encoder.encode(ours, images),
    }
    with torch.inference_mode():
        exact = stock(images[:1])
    print(
        f"\n{model}, {GPU_BATCH} images of 1024 x 1024, bfloat16, "
        f"{torch.cuda.get_device_name()}; roofline {best:.4f} s: "
        f"{best * rate / 1e12:.1f} T operations at {rate / 1e12:.0f} T a second\n"
    )
    print("| encoder | s | times as fast | times the roofline | peak MB | error |")
    print("|---|---|---|---|---|---|")
    seconds: dict[str, float] = {}
    for name, work in ways.items():
        try:
            with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
                seconds[name] = gpu_seconds(work, repeats)
                peak = torch.cuda.max_memory_allocated() - before
                error = torch.linalg.norm(work()[:1].float() - exact)
        except RuntimeError as problem:
            print(f"| {name} | {str(problem).splitlines()[0]} | | | | |")
            continue
        print(
            f"| {name} | {seconds[name]:.4f} "
            f"| {seconds.get('stock', 0.0) / seconds[name]:.2f} "
            f"| {seconds[name] / best:.2f} | {peak / 2**20:.0f} "
            f"| {float(error / torch.linalg.norm(exact)):.1e} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="vit_b", choices=("vit_b", "vit_l", "vit_h"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    ways = encoders(args.model)
    images = torch.randn(1, 3, 1024, 1024)
    architecture = ARCHITECTURES[args.model]
    with torch.inference_mode():
        if args.peak_of:
            chosen = ways[args.peak_of]
            before = psutil.Process().memory_info().rss
            # Linux's own high-water mark: getrusage's outlives the parent's exec.
            Path("/proc/self/clear_refs").write_text("5")
            chosen(images)
            peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
            print(int(peak) / 1024 - before / 2**20)
            return
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        of_best: dict[str, list[float]] = {name: [] for name in ways}
        said = {}
        for _ in range(args.rounds):
            for name, encoder in ways.items():
                dtype = torch.bfloat16 if name == "bfloat16" else torch.float32
                best = operations(architecture) / rate(architecture.embed_dim, dtype)
                begun = clock()
                said[name] = encoder(images)
                seconds[name].append(clock() - begun)
                of_best[name].append(best / seconds[name][-1])
    peaks = {name: peak_megabytes(args.model, name, args.threads) for name in ways}
    print(
        f"{args.model}, 1024 x 1024, {args.threads} thread(s), {args.rounds} rounds\n"
    )
    print(
        "| encoder | s | times as fast | peak MB | of stock's | error | of the best |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, values in seconds.items():
        ratios = [a / b for a, b in zip(seconds["stock"], values, strict=True)]
        error = torch.linalg.norm(said[name] - said["stock"])
        print(
            f"| {name} | {statistics.median(values):.2f} "
            f"| {statistics.median(ratios):.2f} "
            f"| {peaks[name]:.0f} | {peaks[name] / peaks['stock']:.2f} "
            f"| {float(error / torch.linalg.norm(said['stock'])):.1e} "
            f"| {statistics.median(of_best[name]):.2f} |"
        )
    if torch.cuda.is_available():
        measure_gpu(args.model)


if __name__ == "__main__":
    main()
