"""One training step: ours beside stock segment_anything's modules, in one run.

    python training/benchmarks/training_step.py [--model vit_b] [--size 1024]
        [--rounds 3] [--threads 1] [--memory-only | --time-only]

Random weights, one image, CPU: LoRA of rank 4 on query and value of every block, prompt
encoder and mask decoder in full, two iterations with distillation, AdamW. Stock has
LoRA on its fused ``qkv`` (as SAMed has). All take turns; seconds are medians, ratios
are medians of the rounds' ratios. Peak memory is what a step in a process of its own
needed beyond its loaded model (Linux). Steps with a frozen part are later ones on an
image that was seen: the first computes what is kept. Prints a Markdown table, and how
far the gradients in float32 are from stock's, relative to their norm.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import torch
from segment_anything.modeling import MaskDecoder
from segment_anything.modeling.image_encoder import Attention
from torch import Tensor, nn

from napari_samsp.sam.adapters.adapter import add_lora
from napari_samsp.sam.architecture import ARCHITECTURES, build_sam
from napari_samsp.sam.kernels.attention import fast_products
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.train.config import TrainConfig
from napari_samsp.train.examples.augment import View
from napari_samsp.train.model import ModelInTraining
from napari_samsp.train.objective.objective import Objective
from napari_samsp.train.trainable import frozen_blocks
from napari_samsp.utils.device import has_bfloat16
from napari_samsp.utils.memory import freed_memory_given_back

if TYPE_CHECKING:
    from collections.abc import Callable

    from segment_anything.modeling import Sam

RANK = 4
VARIANTS = {
    "stock": {},
    "float32": {"products": False},
    "float32, oneDNN where exact": {},
    "the same, checkpointing": {"checkpointing": True},
    "bfloat16": {"bfloat16": True},
    "last-blocks": {"speed": "last-blocks"},
    "decoder": {"speed": "decoder"},
}


class FusedLora(nn.Module):
    """LoRA on the query and value of a fused projection."""

    def __init__(self, qkv: nn.Linear) -> None:
        super().__init__()
        dim = qkv.in_features
        self.qkv = qkv
        self.a = nn.ModuleList(nn.Linear(dim, RANK, bias=False) for _ in "qv")
        self.b = nn.ModuleList(nn.Linear(RANK, dim, bias=False) for _ in "qv")

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        q = q + self.b[0](self.a[0](x))
        v = v + self.b[1](self.a[1](x))
        return torch.cat([q, k, v], -1)


def build(model: str, size: int, speed: str) -> Sam:
    """A SAM with LoRA that does something, the same at every call."""
    torch.manual_seed(0)
    sam = build_sam(replace(ARCHITECTURES[model], image_size=size))
    for name, parameter in sam.image_encoder.named_parameters():
        if "rel_pos" in name:
            nn.init.normal_(parameter, std=0.1)
    peft = add_lora(sam, RANK, model, frozen_blocks(speed, sam.image_encoder))
    for name, parameter in peft.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.02)
    return peft.get_base_model()


def as_stock(sam: Sam) -> Sam:
    """Put stock's attention and decoder in place of ours, with the same weights."""
    for block in sam.image_encoder.blocks:
        ours = block.attn
        side = block.window_size or sam.image_encoder.pos_embed.shape[1]
        stock = Attention(
            ours.proj.in_features, ours.num_heads, True, True, True, (side, side)
        ).requires_grad_(False)
        parts = [getattr(ours, f"{n}_proj") for n in "qkv"]
        for which in ("weight", "bias"):
            fused = torch.cat([getattr(p, which).detach() for p in parts])
            getattr(stock.qkv, which).copy_(fused)
        stock.rel_pos_h, stock.rel_pos_w = ours.rel_pos_h, ours.rel_pos_w
        stock.proj = ours.proj
        stock.qkv = FusedLora(stock.qkv)
        for n, part in enumerate((parts[0], parts[2])):
            stock.qkv.a[n].weight = part.lora_A["default"].weight
            stock.qkv.b[n].weight = part.lora_B["default"].weight
        block.attn = stock
    decoder = sam.mask_decoder
    getattr(decoder, "modules_to_save", {"default": decoder})[
        "default"
    ].__class__ = MaskDecoder
    return sam


def stepper(
    variant: str, model: str, size: int
) -> tuple[Callable[[], None], Callable[[], Tensor]]:
    """A function that takes a step, and one that gives LoRA's last gradient."""
    about = VARIANTS[variant]
    speed = about.get("speed", "everywhere")
    sam = build(model, size, speed)
    if variant == "stock":
        learner = SelfPrompting(as_stock(sam))
    else:
        learner = ModelInTraining(
            sam,
            frozen_blocks=frozen_blocks(speed, sam.image_encoder),
            checkpointing=about.get("checkpointing", False),
        )
    objective = Objective(learner, TrainConfig(true_prompts=0))
    generator = torch.Generator().manual_seed(1)
    labels = torch.zeros(1, size, size, dtype=torch.int64)
    labels[0, size // 8 : size // 2, size // 4 : size // 2] = 1
    images = torch.randn(1, 3, size, size, generator=generator)
    rows = size * 3 // 4  # a landscape image
    images[:, :, rows:] = 0
    views = View(images, labels, torch.tensor([[rows, size]]), torch.tensor([0]))
    trained = [p for p in sam.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, 0.0)

    def step() -> None:
        objective.train()
        with torch.autocast("cpu", torch.bfloat16, about.get("bfloat16", False)):
            loss = objective(views)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def step_with_products() -> None:
        frugal = about.get("checkpointing", False)
        with fast_products(), freed_memory_given_back(frugal):
            step()

    def gradient() -> Tensor:
        lora = {id(p): p for n, p in sam.named_parameters() if "lora_" in n}
        if variant == "stock":
            lora = {
                id(p): p
                for block in sam.image_encoder.blocks
                for part in (0, 1)
                for p in (
                    block.attn.qkv.a[part].weight,
                    block.attn.qkv.b[part].weight,
                )
            }
        return torch.cat([p.grad.flatten() for p in lora.values()])

    plain = variant == "stock" or not about.get("products", True)
    return (step if plain else step_with_products), gradient


def peak_megabytes(variant: str, args: argparse.Namespace) -> float:
    """What a step needs beyond the model, measured in a process of its own."""
    command = [
        sys.executable, __file__, "--model", args.model, "--size", str(args.size),
        "--threads", str(args.threads), "--peak-of", variant,
    ]  # fmt: skip
    # What the allocator keeps for threads would count as needed.
    environment = os.environ | {"MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment
    )
    return float(done.stdout)


def print_peak(variant: str, model: str, size: int) -> None:
    step, _ = stepper(variant, model, size)
    if "speed" in VARIANTS[variant]:
        step()
    before = psutil.Process().memory_info().rss
    # Linux's own high-water mark: getrusage's outlives the parent's exec.
    Path("/proc/self/clear_refs").write_text("5")
    step()
    peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
    print(int(peak) / 1024 - before / 2**20)


def batched_decoding(model: str, size: int, images: int = 4, rounds: int = 9) -> float:
    """The time of decoding images together, forward and backward, of one by one."""
    sam = build_sam(replace(ARCHITECTURES[model], image_size=size))
    learner = SelfPrompting(sam)
    side = size // ARCHITECTURES[model].patch_size
    embeddings = torch.randn(images, ARCHITECTURES[model].prompt_dim, side, side)

    def seconds(some: int) -> float:
        begun = time.process_time()
        for part in embeddings.split(some):
            learner.decode(part, torch.arange(len(part))).logits.sum().backward()
        return time.process_time() - begun

    seconds(1)
    return statistics.median(seconds(images) / seconds(1) for _ in range(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="vit_b", choices=list(ARCHITECTURES))
    parser.add_argument("--size", type=int, default=1024, help="of the input")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--memory-only", action="store_true")
    only.add_argument("--time-only", action="store_true")
    parser.add_argument("--peak-of", choices=list(VARIANTS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.peak_of:
        print_peak(args.peak_of, args.model, args.size)
        return
    names = [
        n for n in VARIANTS if n != "bfloat16" or has_bfloat16(torch.device("cpu"))
    ]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    error = None
    if not args.memory_only:
        steppers = {name: stepper(name, args.model, args.size) for name in names}
        for name in ("last-blocks", "decoder"):
            steppers[name][0]()
        for _ in range(args.rounds):
            for name, (step, _) in steppers.items():
                begun = time.perf_counter()
                step()
                seconds[name].append(time.perf_counter() - begun)
        stock, ours = (steppers[n][1]() for n in ("stock", "float32"))
        error = float((stock - ours).norm() / stock.norm())
        del steppers
    peaks = {}
    if not args.time_only:
        peaks = {name: peak_megabytes(name, args) for name in names}
    print(
        f"{args.model}, {args.size} x {args.size}, {args.threads} thread(s), "
        f"{args.rounds} round(s), torch {torch.__version__}\n"
    )
    print("| step | seconds | of stock | peak MB | of stock |")
    print("|---|---|---|---|---|")
    for name in names:
        cells = ["", "", "", ""]
        if seconds[name]:
            ratios = [
                a / b for a, b in zip(seconds[name], seconds["stock"], strict=True)
            ]
            cells[:2] = (
                f"{statistics.median(seconds[name]):.2f}",
                f"{statistics.median(ratios):.3f}",
            )
        if peaks:
            cells[2:] = (f"{peaks[name]:.0f}", f"{peaks[name] / peaks['stock']:.3f}")
        print(f"| {name} | {' | '.join(cells)} |")
    if not args.memory_only:
        ratio = batched_decoding(args.model, args.size)
        print(f"\nDecoding 4 images together takes {ratio:.2f} of one by one.")
    if error is not None:
        print(f"\nLoRA's gradients in float32 differ from stock's by {error:.1e}.")


if __name__ == "__main__":
    main()
