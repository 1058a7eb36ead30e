"""Pretrain ``samsp_tiny``: a small SAM, promptable, that has read its own prompts.

    python training/pretrain.py DATA --output RUN [--minutes 90] [--resume]

DATA is a folder of training sets (``NAME/images``, ``NAME/masks``). Some images are
generated (`synthetic.py`). Every step decodes each image without a prompt, with true
prompts of random objects (jittered boxes, points, degraded masks), and again from its
own output, so that the decoder learns from true prompts before it trusts its own.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from real_images import training_pairs
from safetensors.torch import save_file
from skimage import measure
from synthetic import generate
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from napari_samsp.core.checkpoints import load_sam
from napari_samsp.core.closer_look import field_for, typical_width
from napari_samsp.core.image_files import read_image, read_labels
from napari_samsp.core.images import to_rgb8
from napari_samsp.core.letterbox import valid_cells
from napari_samsp.core.prompts import Prompt, boxes_of, deepest_points
from napari_samsp.core.sam import ARCHITECTURES, build_sam, to_stock_layout
from napari_samsp.core.self_prompting import SelfPrompting
from napari_samsp.train.augment import Augmentation, View, stack_views
from napari_samsp.train.losses import (
    coverage,
    decoding_loss,
    match_objects,
    separated,
)
from napari_samsp.train.objective import jitter
from napari_samsp.train.symmetry import symmetry_of

# Sets and their share of the real images; chase_db1's licence is not verified. What
# fine-tuning does on a domain that the model never saw is measured from a model that
# was pretrained with that set left out (--leave-out).
SETS = {
    "dsb2018": 0.5,
    "isic2017": 0.2,
    "gpr_tunnel": 0.06,
    "nasa_ebc": 0.08,
    "nasa_instances": 0.16,
    "nasa_superalloy": 0.08,
    "pyimsegm_bio": 0.12,
}
PROMPTS = {"box": 0.45, "box+mask": 0.25, "points": 0.15, "mask": 0.15}
GENERATED = 0.3
CLOSEST = {"dsb2018": 110}
"""Crops of any magnification go down to this side in pixels. The regions of other sets
need what surrounds them; there it is half the image."""
AS_IN_USE = 0.5
"""So many crops of the sets of `CLOSEST` are as near as the closer look goes."""
OBJECTS_PER_IMAGE = 2
SELF_PROMPTED_OBJECTS = 24
PROMPT_ERRORS = 20.0
"""Logits."""
BLOBS = 8
"""Errors of prompts are blobs, so many along a side."""


class Mixture(Dataset):
    """Real and generated images, drawn by seed."""

    def __init__(self, data: Path, sets: dict[str, float], seed: int, size: int):
        self.seed = seed
        self.every_way = Augmentation(size)
        self.pairs: list[list[tuple[np.ndarray, np.ndarray]]] = []
        self.shares: list[np.ndarray] = []
        self.augmentations: list[Augmentation] = []
        self.closest = [CLOSEST.get(name) for name in sets]
        self.weights = np.array(list(sets.values()))
        self.weights /= self.weights.sum()
        for name in sets:
            pairs = training_pairs(data / name)
            self.pairs.append(
                [
                    (to_rgb8(read_image(pair.image)), read_labels(pair.mask))
                    for pair in pairs
                ]
            )
            self.shares.append(shares([pair.kind for pair in pairs]))
            symmetry = symmetry_of([labels for _, labels in self.pairs[-1]])
            self.augmentations.append(Augmentation(size, symmetry=symmetry))

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, index: int) -> tuple[View, bool]:
        rng = np.random.default_rng((self.seed, index))
        torch.manual_seed(int(rng.integers(2**62)))
        clear = True
        if rng.random() < GENERATED:
            image, labels, clear = generate(int(rng.integers(2**31)))
            augment = self.every_way
        else:
            n = rng.choice(len(self.pairs), p=self.weights)
            augment = self.augmentations[n]
            image, labels = self.pairs[n][
                rng.choice(len(self.pairs[n]), p=self.shares[n])
            ]
            sides = crop_sides(rng, labels, self.closest[n])
            image, labels = crop(rng, image, labels, sides)
            if rng.random() < 0.1:
                image = 255 - image
            if rng.random() < 0.3:
                # Dim objects beside bright ones, and the other way.
                curve = 255 * (np.arange(256) / 255) ** (2 ** rng.uniform(-1, 1))
                image = curve.astype(np.uint8)[image]
        view = augment(image, labels)
        # Objects are what is connected: a class map's regions get labels of their own.
        apart = measure.label(view.labels.numpy(), background=0, connectivity=1)
        return View(view.image, torch.from_numpy(apart), view.valid), clear


def shares(kinds: list[str]) -> np.ndarray:
    """How often each image is drawn: every kind as often as any other.

    Drawn by their numbers, or by the roots of them, a rare kind (11 brightfield images
    of 359) was never learnt.
    """
    count = Counter(kinds)
    rarity = np.array([1 / count[kind] for kind in kinds])
    return rarity / rarity.sum()


def field_in_use(labels: np.ndarray) -> int:
    """Side in pixels of the square that the closer look shows the model at once."""
    model = ARCHITECTURES["samsp_tiny"]
    width = typical_width(labels) or np.inf
    return field_for(width, labels.shape, model.image_size, model.patch_size)


def crop_sides(
    rng: np.random.Generator, labels: np.ndarray, closest: float | None
) -> np.ndarray:
    """Height and width of a crop: near the field in use, or of any magnification.

    Drawn from all magnifications down to ``closest`` pixels alone, most crops show
    nuclei smaller than they are in use, and the smallest never as near. Other sets
    are mostly seen whole in use; drawn nearer, they were found worse.
    """
    whole = np.array(labels.shape)
    if closest is not None and rng.random() < AS_IN_USE:
        side = round(field_in_use(labels) * 1.4 ** rng.uniform(-1, 1))
        return np.minimum(whole, side)
    smallest = 0.5 if closest is None else min(1, closest / whole.min())
    return (whole * smallest ** rng.random()).astype(int)


def crop(
    rng: np.random.Generator, image: np.ndarray, labels: np.ndarray, sides: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Crop anywhere, half of the time so that the crop holds some foreground.

    Of sparse objects most crops would hold none.
    """
    first, last = np.zeros(2, int), np.array(labels.shape) - sides
    foreground = np.flatnonzero(labels) if rng.random() < 0.5 else ()
    if len(foreground):
        inside = np.array(np.unravel_index(rng.choice(foreground), labels.shape))
        first, last = np.maximum(inside - sides + 1, 0), np.minimum(inside, last)
    top, left = rng.integers(first, last + 1)
    window = slice(top, top + sides[0]), slice(left, left + sides[1])
    return image[window], labels[window]


def collate(items: list[tuple[View, bool]]) -> tuple[View, torch.Tensor]:
    """A batch of views, and for each whether its foreground needs no prompt."""
    views, clear = zip(*items, strict=True)
    return stack_views(list(views)), torch.tensor(clear)


def true_prompts(
    labels: torch.Tensor, valid: torch.Tensor, kind: str, model: SelfPrompting
) -> tuple[Prompt, torch.Tensor, torch.Tensor]:
    """Prompts of random true objects, with the errors that a user or a model makes.

    Returns the prompts of N objects, their ``(N, S, S)`` bool targets and image index.
    A fifth of them asks for everything at once, as self-prompting without objects does.
    """
    targets, index = [], []
    for b, image in enumerate(labels):
        present = image.unique()
        present = present[present > 0]
        if not len(present):
            continue
        for _ in range(OBJECTS_PER_IMAGE):
            label = present[torch.randint(len(present), ())]
            everything = torch.rand(()) < 0.2
            targets.append(image > 0 if everything else image == label)
            index.append(b)
    if not targets:
        empty = torch.zeros(0, *labels.shape[1:], dtype=torch.bool)
        return Prompt(), empty, torch.zeros(0, dtype=torch.int64)
    masks, image_index = torch.stack(targets), torch.tensor(index)
    size, stride = model.mask_size, model.stride
    low = coverage(masks, size)
    names = kind.split("+")
    boxes = points = dense = None
    if "box" in names:
        true = boxes_of(masks, 1, valid[image_index])
        boxes = jitter(true, torch.randn_like(true), labels.shape[-1])
    if "points" in names:
        noise = torch.rand(low.shape) * (low > 0.5)
        y_x = noise.flatten(1).argmax(1)
        anywhere = torch.stack([y_x % size, y_x // size], -1)[:, None] + 0.5
        deepest = deepest_points(low > 0.5, stride)
        use_deepest = torch.rand(len(low), 1, 1) < 0.5
        points = torch.where(use_deepest, deepest, anywhere * stride)
    if "mask" in names:
        dense = _degraded(low)
    return Prompt(boxes, points, dense), masks, image_index


def _degraded(low: torch.Tensor) -> torch.Tensor:
    """Low-res logits such as an unsure model gives: shifted border, noise, softness."""
    n, size, _ = low.shape
    blurred = F.avg_pool2d(low[:, None], 3, 1, 1)
    field = F.interpolate(
        torch.randn(n, 1, size // 8, size // 8), (size, size), mode="bilinear"
    )
    shift = 0.25 * torch.randn(n, 1, 1, 1) + 0.3 * field
    return (blurred - 0.5 + shift) * (4 + 12 * torch.rand(n, 1, 1, 1))


def prompt_errors(count: int, size: int) -> torch.Tensor:
    """What is added to outputs before they become prompts, so that some are wrong.

    Returns ``(count, size, size)`` logits: blobs and a shift, of a random strength up
    to `PROMPT_ERRORS`; half of the outputs are spared.
    """
    blobs = torch.randn(count, 1, BLOBS, BLOBS)
    blobs = F.interpolate(blobs, (size, size), mode="bicubic")[:, 0]
    shift = torch.randn(count, 1, 1) / 2
    strength = (2 * torch.rand(count, 1, 1) - 1).clamp(min=0)
    return PROMPT_ERRORS * strength * (blobs + shift)


def step_loss(
    model: SelfPrompting,
    batch: View,
    clear: torch.Tensor,
    kind: str,
    objects: bool,
    iterations: int,
) -> dict[str, torch.Tensor]:
    """The losses of one batch: no prompt, true prompt, and each one's own prompts."""
    size, stride = model.mask_size, model.stride
    with torch.set_grad_enabled(model.sam.image_encoder.pos_embed.requires_grad):
        embeddings = model.encode(batch.image)
    weight = valid_cells(batch.valid, size, stride).float()
    whole = coverage(batch.labels > 0, size)
    apart = coverage(separated(batch.labels), size)
    every = torch.arange(len(whole))

    def judged(decoding, target, index, counts=None):
        loss, iou = decoding_loss(decoding, target, weight[index], score_weight=1)
        counts = torch.ones_like(loss) if counts is None else counts.float()
        total = counts.sum().clamp(min=1)
        return (loss * counts).sum() / total, 1 - (iou * counts).sum() / total

    losses: dict[str, torch.Tensor] = {}
    first = model.decode(embeddings, every)
    losses["none"], losses["none_error"] = judged(first, apart, every, clear)

    prompt, masks, index = true_prompts(batch.labels, batch.valid, kind, model)
    if len(index):
        target = coverage(masks, size)
        decoded = model.decode(embeddings, index, prompt)
        losses["true"], losses["true_error"] = judged(decoded, target, index)

    model.objects = objects
    # Objects are cut by a guess: their prompts err by themselves.
    errors = torch.zeros_like(first.logits)
    if not objects:
        errors = prompt_errors(len(whole), size)
    last = first
    for t in range(1, iterations):
        wrong = replace(last, logits=last.logits + errors[last.image_index])
        prompt, index, regions = model.next_prompt(wrong, batch.valid)
        if objects:
            pick = torch.randperm(len(index))[:SELF_PROMPTED_OBJECTS]
            prompt, index, regions = prompt.select(pick), index[pick], regions[pick]
            target = coverage(match_objects(regions, index, batch.labels)[0], size)
        else:
            target = whole
        if not len(index):
            break
        last = model.decode(embeddings, index, prompt, regions)
        counts = None if objects else clear
        losses[f"own{t}"], losses[f"own{t}_error"] = judged(last, target, index, counts)
    return losses


def learning_rate(progress: float, step: int, peak: float) -> float:
    """Warm-up over 150 steps, then linear to zero (arXiv 2502.15938)."""
    return peak * min((step + 1) / 150, max(1 - progress, 0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument(
        "--minutes", type=float, default=90, help="training time in all"
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="0 leaves it to torch")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--iterations", type=int, default=2, help="the prompt-free one included"
    )
    parser.add_argument(
        "--decoder-only", action="store_true", help="keep the image encoder as it is"
    )
    parser.add_argument(
        "--average", type=float, default=0.999, help="decay of the weights' average"
    )
    parser.add_argument("--leave-out", nargs="*", default=[], help="sets not to use")
    parser.add_argument("--start", help="a model or checkpoint to go on from")
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.set_float32_matmul_precision("medium")
    torch.manual_seed(args.seed)
    args.output.mkdir(parents=True, exist_ok=True)
    state_file = args.output / "state.pt"

    sam = load_sam(args.start).sam if args.start else build_sam("samsp_tiny")
    sam.train().requires_grad_(True)
    for name, parameter in sam.named_parameters():
        if name.endswith("pos_embed") and not args.start:
            torch.nn.init.trunc_normal_(parameter, std=0.02)
    sam.image_encoder.requires_grad_(not args.decoder_only)
    model = SelfPrompting(sam, "box+mask")
    average = AveragedModel(
        sam, multi_avg_fn=get_ema_multi_avg_fn(args.average), use_buffers=True
    )
    trained = [p for p in sam.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, args.rate, weight_decay=0.05)
    step, spent = 0, 0.0
    if args.resume and state_file.exists():
        state = torch.load(state_file, weights_only=True)
        sam.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["seconds"]

    sets = {n: w for n, w in SETS.items() if n not in args.leave_out}
    data = Mixture(args.data, sets, args.seed, ARCHITECTURES["samsp_tiny"].image_size)
    order = range(step * args.batch, 10**8)
    loader = DataLoader(
        data,
        args.batch,
        sampler=order,
        num_workers=args.workers,
        collate_fn=collate,
        prefetch_factor=4 if args.workers else None,
    )
    rng = np.random.default_rng((args.seed, step))
    seen: dict[str, list[float]] = {}
    begun, saved = time.monotonic() - spent, time.monotonic()
    for batch, clear in loader:
        progress = (time.monotonic() - begun) / (60 * args.minutes)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(progress, step, args.rate)
        kind = rng.choice(list(PROMPTS), p=list(PROMPTS.values()))
        objects = rng.random() < 0.5
        losses = step_loss(model, batch, clear, kind, objects, args.iterations)
        total = sum(v for k, v in losses.items() if not k.endswith("_error"))
        optimizer.zero_grad()
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, 1.0)
        if math.isfinite(norm):
            optimizer.step()
            average.update_parameters(sam)
        step += 1
        for key, value in losses.items():
            seen.setdefault(key, []).append(float(value.detach()))
        done = progress >= 1
        if done or step % 20 == 0:
            line = {"step": step, "minutes": (time.monotonic() - begun) / 60}
            line |= {k: float(np.mean(v)) for k, v in seen.items()}
            with (args.output / "log.jsonl").open("a") as stream:
                stream.write(
                    json.dumps({k: round(v, 4) for k, v in line.items()}) + "\n"
                )
            seen = {}
        if done or time.monotonic() - saved > 240:
            saved = time.monotonic()
            torch.save(
                {
                    "model": sam.state_dict(),
                    "average": average.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step,
                    "seconds": time.monotonic() - begun,
                },
                state_file.with_suffix(".part"),
            )
            state_file.with_suffix(".part").replace(state_file)
            weights = to_stock_layout(average.module.state_dict())
            save_file(
                {k: v.half().contiguous() for k, v in weights.items()},
                args.output / "samsp_tiny.safetensors",
            )
        if done:
            break


if __name__ == "__main__":
    main()
