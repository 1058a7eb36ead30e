"""Pretrain ``samsp_small`` from EfficientNet-Lite0's ImageNet weights, promptably.

    python training/pretrain.py DATA --output RUN [--steps 100000] [--resume]

DATA is a folder of training sets (``NAME/images``, ``NAME/masks``), those of
``domains.py``; some images are generated. Every step decodes each image without a
prompt, with a user's prompts and clicks, and again from its own output. RUN gets
``log.jsonl``, ``held_out.jsonl``, ``state.pt`` (all that ``--resume`` needs: a run that
was stopped and resumed gives the weights of one that was not) and
``samsp_small.safetensors``, the average of the weights.

``--clicks`` goes on from a model (``--start``) and teaches it clicks alone.

The rate is constant and falls to nothing over the last ``--cooldown`` steps, so that
``--resume --steps N`` can end a run, or go on from a state before its end.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from click_steps import click_loss
from held_out import held_out_figures
from imagenet import imagenet_weights
from mixture import Mixture, Sample, collate
from prompted_steps import CLICKS, PROMPTS, step_loss
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader

from napari_samsp.sam.architecture import ARCHITECTURES, build_sam, to_stock_layout
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.sam.networks.conv_trunk import build_trunk
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.train.budget import learning_rate
from napari_samsp.train.ema import EMA
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

    Where clicks alone are taught, what comes before the transformer stays as it is.
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


def main() -> None:
    """Train until the last step."""
    args = arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.set_float32_matmul_precision("medium")
    torch.manual_seed(args.seed)
    args.output.mkdir(parents=True, exist_ok=True)
    run = Run.begin(args)
    seen: dict[str, list[float]] = {}
    begun = time.monotonic()
    for batch in batches(args, run.step):
        for key, value in run.learn(batch, args).items():
            seen.setdefault(key, []).append(value)
        last = run.step == args.steps
        if run.step % 20 == 0:
            seconds = (time.monotonic() - begun) / 20
            means = {k: float(np.mean(v)) for k, v in seen.items()}
            log(args.output / "log.jsonl", step=run.step, seconds=seconds, **means)
            seen, begun = {}, time.monotonic()
        if run.step % args.save_every == 0 or last:
            run.save(args.output)
        if run.step % args.measure_every == 0 or last:
            figures = run.figures(args.data)
            means = mean_over_sets(figures)
            log(args.output / "held_out.jsonl", step=run.step, **means, sets=figures)
            begun = time.monotonic()


def arguments() -> argparse.Namespace:
    """What the command was given."""
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
        help="teach clicks alone: without them the model is to stay as --start",
    )
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    if args.clicks and not args.start:
        parser.error("--clicks needs --start, the model that learns them")
    return args


def batches(args: argparse.Namespace, step: int) -> DataLoader:
    """What is left of the run's images after a step."""
    return DataLoader(
        Mixture(args.data, ARCHITECTURES[MODEL], args.seed),
        args.batch,
        sampler=range(step * args.batch, args.steps * args.batch),
        num_workers=args.workers,
        collate_fn=collate,
        prefetch_factor=4 if args.workers else None,
    )


@dataclass
class Run:
    """A model, the mean of its weights, and how far they are."""

    model: SelfPrompting
    average: EMA
    optimizer: torch.optim.Optimizer
    learning: list[torch.nn.Parameter]
    before: SelfPrompting | None = None
    """Where clicks alone are taught: the model as it was."""
    step: int = 0

    @classmethod
    def begin(cls, args: argparse.Namespace) -> Run:
        """A new run, or one that goes on from its state."""
        model = new_model(args.start, args.clicks)
        before = new_model(args.start).eval() if args.clicks else None
        optimizer = torch.optim.AdamW(groups(model, args), args.rate)
        learning = [p for group in optimizer.param_groups for p in group["params"]]
        average = EMA(model.sam, args.average, buffers=True)
        run = cls(model, average, optimizer, learning, before)
        state_file = args.output / "state.pt"
        if args.resume and state_file.exists():
            state = torch.load(state_file, weights_only=True)
            model.sam.load_state_dict(state["model"])
            average.restore(**state["average"])
            optimizer.load_state_dict(state["optimizer"])
            run.step = state["step"]
        return run

    def learn(self, batch: Sample, args: argparse.Namespace) -> dict[str, float]:
        """One step; its losses."""
        rng = np.random.default_rng((args.seed, self.step))
        torch.manual_seed(int(rng.integers(2**62)))
        left = (args.steps - self.step) / args.cooldown
        self.step += 1
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(group["peak"], self.step, WARM_UP, left)
        self.optimizer.zero_grad()
        losses = self.losses(batch, rng)
        sum(v for k, v in losses.items() if not k.endswith("_error")).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.learning, 1.0)
        if math.isfinite(norm):
            self.optimizer.step()
            self.average.update()
        return {key: float(value.detach()) for key, value in losses.items()}

    def losses(self, batch: Sample, rng: np.random.Generator) -> dict[str, Tensor]:
        """What a step asks, by name."""
        if self.before is not None:
            objects = bool(rng.random() < OBJECTS)
            return click_loss(self.model, self.before, batch, objects)
        kind = str(rng.choice(list(PROMPTS), p=list(PROMPTS.values())))
        clicks = int((rng.random() < np.array(CLICKS)).cumprod().sum())
        objects = bool(rng.random() < OBJECTS)
        return step_loss(self.model, batch, kind, objects, clicks)

    def figures(self, data: Path) -> dict[str, dict[str, float]]:
        """How good the mean of the weights is on held-out images, by set."""
        with self.average.in_place():
            judged = SelfPrompting(self.model.sam, "box+mask").eval()
            figures = held_out_figures(judged, data)
        self.model.train()
        return figures

    def save(self, folder: Path) -> None:
        """Write the state and the weights; a kill leaves the ones before."""
        state = {
            "model": self.model.sam.state_dict(),
            "average": self.average.state(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }
        with written_beside(folder / "state.pt") as fresh:
            torch.save(state, fresh)
        with self.average.in_place():
            weights = to_stock_layout(self.model.sam.state_dict())
            halves = {k: v.half().contiguous() for k, v in weights.items()}
        with written_beside(folder / f"{MODEL}.safetensors") as fresh:
            save_file(halves, fresh)


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


if __name__ == "__main__":
    main()
