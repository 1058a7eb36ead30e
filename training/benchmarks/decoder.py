"""SAM's mask decoder: ours beside stock segment_anything's, in one run.

    python training/benchmarks/decoder.py [--model vit_b] [--rounds 3] [--threads 1]

Random weights, float32, CPU. First table: one more self-prompting iteration (prompt of
the last logits, decoder, full size) beside stock's image encoder. Second: a hundred
boxes on one embedding; stock at the chunk size that is best for it here, and all in one
call. Third: their masks at the size of a 1024 x 1024 tile. Sides take turns; seconds
are medians, ratios are medians of the rounds' ratios; with one thread they are seconds
of the processor, which other programs disturb less. Peak memory is what a child process
of its own needed beyond its loaded model (Linux).
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

from napari_samsp.sam.architecture import build_sam, from_stock_layout
from napari_samsp.self_prompting.decoding import Decoding
from napari_samsp.self_prompting.full_size import full_size
from napari_samsp.self_prompting.letterbox import logits_to_image
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.self_prompting.prompts import Prompt

if TYPE_CHECKING:
    from collections.abc import Callable

    from segment_anything.modeling import Sam
    from torch import Tensor

BOXES = 100
CHUNKS = (1, 2, 4, 8, 16)
SHAPE = (1024, 1024)


def models(name: str) -> tuple[Sam, SelfPrompting]:
    """Stock's SAM and ours, with the same weights."""
    torch.manual_seed(0)
    stock = sam_model_registry[name]().eval()
    ours = build_sam(name)
    ours.load_state_dict(from_stock_layout(stock.state_dict()))
    return stock, SelfPrompting(ours, "box")


def scene() -> tuple[Tensor, Tensor]:
    """An embedding, and boxes of objects 20 to 140 pixels wide."""
    generator = torch.Generator().manual_seed(1)
    corners = 884 * torch.rand(BOXES, 2, generator=generator)
    sides = 20 + 120 * torch.rand(BOXES, 2, generator=generator)
    embedding = torch.randn(1, 256, 64, 64, generator=generator)
    return embedding, torch.cat([corners, corners + sides], 1)


def stock_masks(sam: Sam, embedding: Tensor, boxes: Tensor, chunk: int) -> Tensor:
    """Low-res logits as stock's predictor decodes them, ``chunk`` boxes a call."""
    out = []
    for some in boxes.split(chunk):
        sparse, dense = sam.prompt_encoder(points=None, boxes=some, masks=None)
        logits, _ = sam.mask_decoder(
            image_embeddings=embedding,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        out.append(logits[:, 0])
    return torch.cat(out)


def our_masks(model: SelfPrompting, embedding: Tensor, boxes: Tensor) -> Tensor:
    """Low-res logits."""
    index = torch.zeros(len(boxes), dtype=torch.int64)
    return model.decode(embedding, index, Prompt(boxes=boxes)).logits


def another_iteration(kind: str, model: SelfPrompting, embedding: Tensor) -> None:
    """From logits to the next logits and their full size."""
    model.kind = kind
    before = torch.full((1, 256, 256), -5.0)
    before[0, 60:190, 40:200] = 5.0
    index = torch.zeros(1, dtype=torch.int64)
    previous = Decoding(before, torch.ones(1), index)
    prompt, index, regions = model.next_prompt(previous, torch.tensor([SHAPE]))
    now = model.decode(embedding, index, prompt, regions)
    full_size(now.logits, SHAPE[0], SHAPE, SHAPE)


def take_turns(ways: dict[str, Callable], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in every round."""
    alone = torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            begun = clock()
            way()
            seconds[name].append(clock() - begun)
    return seconds


def ratio(seconds: dict[str, list[float]], ours: str, theirs: str) -> float:
    """The median of the rounds' ratios."""
    pairs = zip(seconds[ours], seconds[theirs], strict=True)
    return statistics.median(a / b for a, b in pairs)


def peak_megabytes(args: argparse.Namespace, which: str) -> float:
    """What the boxes need beyond the model, in a process of its own."""
    command = [sys.executable, __file__, "--model", args.model, "--peak-of", which]
    done = subprocess.run(
        [*command, "--threads", str(args.threads)],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def print_peak(way: Callable) -> None:
    """For the parent process."""
    before = psutil.Process().memory_info().rss
    Path("/proc/self/clear_refs").write_text("5")
    way()
    peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
    print(int(peak) / 1024 - before / 2**20)


def objects_like(logits: Tensor, boxes: Tensor) -> Tensor:
    """Maps that are positive in their boxes only, as those of a trained model."""
    cells = torch.arange(logits.shape[-1]) * 4.0
    inside = [
        (cells >= boxes[:, axis, None]) & (cells < boxes[:, axis + 2, None])
        for axis in (1, 0)
    ]
    both = inside[0][:, :, None] & inside[1][:, None, :]
    return torch.where(both, logits.abs() + 1, -logits.abs() - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="vit_b", choices=("vit_b", "vit_l", "vit_h"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    stock, ours = models(args.model)
    embedding, boxes = scene()
    with torch.inference_mode():
        if args.peak_of == "ours":
            return print_peak(partial(our_masks, ours, embedding, boxes))
        if args.peak_of:
            chunk = int(args.peak_of)
            return print_peak(partial(stock_masks, stock, embedding, boxes, chunk))
        print(f"{args.model}, 1024 x 1024, float32, {args.threads} thread(s)\n")
        compare_iteration(args, stock, ours, embedding)
        said = compare_boxes(args, stock, ours, (embedding, boxes))
        compare_full_size(args, said, boxes)
    return None


def compare_boxes(
    args: argparse.Namespace, stock: Sam, ours: SelfPrompting, scene: tuple
) -> Tensor:
    """Print the second table; give the masks."""
    embedding, boxes = scene
    few = boxes[: max(CHUNKS)]
    tried = take_turns(
        {str(c): partial(stock_masks, stock, embedding, few, c) for c in CHUNKS}, 1
    )
    best = min(tried, key=lambda chunk: min(tried[chunk]))
    at_best, at_once = f"stock, {best} a call", f"stock, {BOXES} a call"
    ways = {
        at_best: partial(stock_masks, stock, embedding, boxes, int(best)),
        at_once: partial(stock_masks, stock, embedding, boxes, BOXES),
        "ours": partial(our_masks, ours, embedding, boxes),
    }
    seconds = take_turns(ways, args.rounds)
    theirs, said = ways[at_best](), ways["ours"]()
    error = float((said - theirs).abs().max() / theirs.std())
    differ = int(((said > 0) != (theirs > 0)).sum())
    print(f"\n| {BOXES} boxes | s | ours to it | peak MB |")
    print("|---|---|---|---|")
    for name, which in ((at_best, best), (at_once, str(BOXES)), ("ours", "ours")):
        print(
            f"| {name} | {statistics.median(seconds[name]):.2f} "
            f"| {ratio(seconds, 'ours', name):.2f} ",
            end="",
            flush=True,
        )
        print(f"| {peak_megabytes(args, which):.0f} |", flush=True)
    print(
        f"\nLargest error {error:.1e} of the logits' spread; "
        f"{differ} of {said.numel()} pixels differ."
    )
    return said


def compare_iteration(
    args: argparse.Namespace, stock: Sam, ours: SelfPrompting, embedding: Tensor
) -> None:
    """Print the first table."""
    images = torch.randn(1, 3, *SHAPE)
    kinds = ("box", "box+mask")
    seconds = take_turns(
        {"stock's encoder": partial(stock.image_encoder, images)}
        | {kind: partial(another_iteration, kind, ours, embedding) for kind in kinds},
        args.rounds,
    )
    print("| one more iteration | s | of stock's encoder |")
    print("|---|---|---|")
    for name, values in seconds.items():
        part = ratio(seconds, name, "stock's encoder")
        print(f"| {name} | {statistics.median(values):.3f} | {100 * part:.2f} % |")


def compare_full_size(args: argparse.Namespace, said: Tensor, boxes: Tensor) -> None:
    """Print the third table."""
    maps = objects_like(said, boxes)

    def whole_tile() -> Tensor:
        best = torch.full(SHAPE, -32.0)
        for some in maps.split(4):
            values = logits_to_image(some, SHAPE[0], SHAPE, SHAPE).amax(0)
            best = torch.maximum(best, values)
        return best

    in_boxes = partial(full_size, maps, SHAPE[0], SHAPE, SHAPE)
    seconds = take_turns({"whole tile": whole_tile, "box": in_boxes}, args.rounds)
    part = ratio(seconds, "box", "whole tile")
    differ = int(((whole_tile() > 0) != (in_boxes()[1] > 0)).sum())
    print(f"\n| {BOXES} masks at full size | s |")
    print("|---|---|")
    for name, values in seconds.items():
        print(f"| each on its {name} | {statistics.median(values):.3f} |")
    print(f"\nBoxes take {part:.2f} of the time; {differ} pixels differ.", flush=True)


if __name__ == "__main__":
    main()
