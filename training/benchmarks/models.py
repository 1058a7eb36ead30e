"""How long the image encoders of the models take on a CPU.

    python training/benchmarks/models.py [--rounds 3] [--threads 1] [--sizes 1024 512]

Random weights (speed does not depend on them), one image. The models take turns; with
one thread the times are those of the processor, which other programs disturb less. Each
is the least of its rounds.
"""

from __future__ import annotations

import argparse
import time

import torch

from napari_samsp.sam.architecture import ARCHITECTURES, build_sam
from napari_samsp.sam.input_size import with_input_size
from napari_samsp.self_prompting.promptable import PromptableSam

MODELS = ("samsp_small", "vit_t", "vit_b")


def clock() -> float:
    """Seconds."""
    alone = torch.get_num_threads() == 1
    return time.process_time() if alone else time.perf_counter()


def seconds(model: PromptableSam, image: torch.Tensor) -> float:
    """Of one encoding."""
    begun = clock()
    with torch.inference_mode():
        model.encode(image)
    return clock() - begun


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 512])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    built, images = {}, {}
    for name in MODELS:
        own = ARCHITECTURES[name]
        for size in [own.image_size] if own.hybrid else args.sizes:
            sized = with_input_size(own, {}, size)
            built[name, size] = PromptableSam(build_sam(sized))
            images[name, size] = torch.randn(1, 3, size, size)
    best = dict.fromkeys(built, float("inf"))
    for _ in range(args.rounds + 1):  # the first warms up
        for key, model in built.items():
            best[key] = min(best[key], seconds(model, images[key]))
    print(f"{'model':<12} {'input':>6} {'parameters':>11} {'seconds':>8}")
    for (name, size), least in best.items():
        weights = sum(p.numel() for p in built[name, size].parameters())
        print(f"{name:<12} {size:>6} {weights / 1e6:>9.1f} M {least:>8.3f}")


if __name__ == "__main__":
    main()
