"""Pretrain ``samsp_small`` from EfficientNet-Lite0's ImageNet weights, promptably.

    python training/pretrain.py DATA --output RUN [--steps 100000] [--resume]

DATA is a folder of training sets (``NAME/images``, ``NAME/masks``), those of
``domains.py``; some images are generated. Every step decodes each image without a
prompt, with a user's prompts and clicks, and again from its own output. RUN gets
``log.jsonl``, ``held_out.jsonl``, ``state.pt`` (all that ``--resume`` needs: a run that
was stopped and resumed gives the weights of one that was not) and
``samsp_small.safetensors``, the average of the weights.

The rate is constant and falls to nothing over the last ``--cooldown`` steps, so that
``--resume --steps N`` can end a run, or go on from a state before its end.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from click_steps import click_loss
from held_out import held_out_figures
from imagenet import imagenet_weights
from mixture import Mixture, collate
from prompted_steps import CLICKS, PROMPTS, step_loss
from safetensors.torch import save_file
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from napari_samsp.sam.architecture import ARCHITECTURES, build_sam, to_stock_layout
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.sam.networks.conv_trunk import build_trunk
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.utils.atomic_files import written_beside

MODEL = "samsp_small"
WARM_UP = 200
"""Steps."""
FROZEN_STAGES = 1
"""The trunk's stem and first stage keep ImageNet's edges: a fifth of a step's time."""
DECAY = 0.05
OBJECTS = 0.45
"""So often the model's own prompts are objects."""


def new_model(start: str | None, clicks: bool = False) -> SelfPrompting:
    """A model to train: from ImageNet's weights, or going on from a checkpoint.

    For clicks alone all that comes before the transformer stays as it is.
    """
    if start:
        sam = load_sam(start).sam
    else:
        sam = build_sam(MODEL)
        torch.nn.init.trunc_normal_(sam.image_encoder.pos_embed, std=0.02)
        # Drawn prompts say nothing yet, and so disturb nothing.
        torch.nn.init.zeros_(sam.prompt_encoder.drawing_downscaling[-1].weight)
        torch.nn.init.zeros_(sam.prompt_encoder.drawing_downscaling[-1].bias)
        sam.image_encoder.trunk = build_trunk(imagenet_weights())
    sam.train().requires_grad_(True)
    trunk = sam.image_encoder.trunk
    trunk.conv_stem.requires_grad_(False)
    for stage in trunk.blocks[:FROZEN_STAGES]:
        stage.requires_grad_(False)
    if clicks:
        encoder = sam.image_encoder
        for part in (trunk, encoder.proj16, encoder.proj32, encoder.pos_embed):
            part.requires_grad_(False)
    return SelfPrompting(sam, "box+mask")


def learning_rate(step: int, steps: int, cooldown: int) -> float:
    """The part of the peak rate: warm-up, constant, linear to zero."""
    return max(0.0, min((step + 1) / WARM_UP, 1.0, (steps - step) / cooldown))


def main() -> None:
    """Train until the last step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=100_000, help="in all")
    parser.add_argument("--cooldown", type=int, default=5_000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--trunk-rate", type=float, default=2e-4)
    parser.add_argument("--average", type=float, default=0.999, help="decay")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="0 leaves it to torch")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=100)
    parser.add_argument("--measure-every", type=int, default=1_000)
    parser.add_argument("--start", help="weights to go on from with a new run")
    parser.add_argument(
        "--clicks",
        action="store_true",
        help="teach clicks alone; all else stays as in --start",
    )
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.set_float32_matmul_precision("medium")
    torch.manual_seed(args.seed)
    args.output.mkdir(parents=True, exist_ok=True)
    state_file = args.output / "state.pt"

    if args.clicks and not args.start:
        parser.error("--clicks needs --start")
    model = new_model(args.start, args.clicks)
    before = new_model(args.start).eval() if args.clicks else None
    average = AveragedModel(
        model.sam, multi_avg_fn=get_ema_multi_avg_fn(args.average), use_buffers=True
    )
    optimizer = torch.optim.AdamW(groups(model, args), args.rate)
    step = 0
    if args.resume and state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.sam.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]

    data = Mixture(args.data, ARCHITECTURES[MODEL], args.seed)
    loader = DataLoader(
        data,
        args.batch,
        sampler=range(step * args.batch, args.steps * args.batch),
        num_workers=args.workers,
        collate_fn=collate,
        prefetch_factor=4 if args.workers else None,
    )
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    seen: dict[str, list[float]] = {}
    begun = time.monotonic()
    for batch in loader:
        for group in optimizer.param_groups:
            part = learning_rate(step, args.steps, args.cooldown)
            group["lr"] = group["peak"] * part
        rng = np.random.default_rng((args.seed, step))
        torch.manual_seed(int(rng.integers(2**62)))
        objects = bool(rng.random() < OBJECTS)
        if before is not None:
            losses = click_loss(model, before, batch, objects)
        else:
            kind = str(rng.choice(list(PROMPTS), p=list(PROMPTS.values())))
            clicks = int((rng.random() < np.array(CLICKS)).cumprod().sum())
            losses = step_loss(model, batch, kind, objects, clicks)
        total = sum(v for k, v in losses.items() if not k.endswith("_error"))
        optimizer.zero_grad()
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, 1.0)
        if math.isfinite(norm):
            optimizer.step()
            average.update_parameters(model.sam)
        step += 1
        for key, value in losses.items():
            seen.setdefault(key, []).append(float(value.detach()))
        if step % 20 == 0:
            seconds = (time.monotonic() - begun) / 20
            means = {k: float(np.mean(v)) for k, v in seen.items()}
            log(args.output / "log.jsonl", step=step, seconds=seconds, **means)
            seen, begun = {}, time.monotonic()
        if step % args.save_every == 0 or step == args.steps:
            save(args.output, model, average, optimizer, step)
        if step % args.measure_every == 0 or step == args.steps:
            judged = SelfPrompting(average.module, "box+mask").eval()
            figures = held_out_figures(judged, args.data)
            means = mean_over_sets(figures)
            log(args.output / "held_out.jsonl", step=step, **means, sets=figures)
            average.module.train()
            begun = time.monotonic()


def groups(model: SelfPrompting, args: argparse.Namespace) -> list[dict[str, Any]]:
    """What is trained, at the trunk's rate and at the others'."""
    trunk = {id(p) for p in model.sam.image_encoder.trunk.parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    inside = [p for p in trained if id(p) in trunk]
    outside = [p for p in trained if id(p) not in trunk]
    return [
        {"params": inside, "peak": args.trunk_rate, "weight_decay": 0.0},
        {"params": outside, "peak": args.rate, "weight_decay": DECAY},
    ]


def mean_over_sets(figures: dict[str, dict[str, float]]) -> dict[str, float]:
    """Each figure's mean over the sets that have it."""
    keys = sorted({key for row in figures.values() for key in row})
    return {k: float(np.mean([r[k] for r in figures.values() if k in r])) for k in keys}


def log(path: Path, **line: Any) -> None:
    """Append a line; numbers to four places."""
    text = json.dumps(line, default=float)
    rounded = json.loads(text, parse_float=lambda digits: round(float(digits), 4))
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(rounded) + "\n")


def save(
    folder: Path,
    model: SelfPrompting,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
    step: int,
) -> None:
    """Write the state and the weights; a kill leaves the ones before."""
    state = {
        "model": model.sam.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
    }
    with written_beside(folder / "state.pt") as fresh:
        torch.save(state, fresh)
    weights = to_stock_layout(average.module.state_dict())
    with written_beside(folder / f"{MODEL}.safetensors") as fresh:
        save_file({k: v.half().contiguous() for k, v in weights.items()}, fresh)


if __name__ == "__main__":
    main()
