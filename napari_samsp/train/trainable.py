"""The three speeds of training: which part of the model learns.

Placement matters more than the kind of adapter (Teuber et al., arXiv 2502.00418), and
what does not learn has to run only once an image.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_samsp.sam.architecture import grid_side
from napari_samsp.sam.networks.small_encoder import HybridEncoder
from napari_samsp.sam.networks.tiny_vit import TinyEncoder
from napari_samsp.train.config import SPEEDS

if TYPE_CHECKING:
    from napari_samsp.sam.architecture import ImageEncoder

LEAST_VIEWS = 400
"""Views that a run should see; fewer hardly move the model."""
VIEWS_AN_IMAGE = 4
"""The same for each image, where there are many."""
NO_LIMIT = 3600.0
"""Seconds that a run without a limit is taken to last."""
EFFICIENCY = 0.68
"""Speed of the encoder relative to its matrix products alone: measured on a CPU by
training/benchmarks/encoder.py."""
CONVOLUTIONS = (8e6, 4e6)
"""Operations per token of the small model's trunk, and of what follows its blocks. They
run at half the speed of matrix products, so this is twice their number."""
TINY_CONVOLUTIONS = (13e6, 1.2e6)
"""The same for ``vit_t``; its first convolutions see 16 times as many cells. Seconds of
a CPU at 1024 pixels, in operations at `EFFICIENCY`."""
TINY_BLOCKS = 1.5
"""Its blocks' seconds by those of their products; they have convolutions, too."""
BACKWARD = 2.3
"""Times the forward pass, as training/benchmarks/training_step.py measured it. Frozen
weights need no gradient, but what was too large to keep is computed again."""


@dataclass(frozen=True)
class Cost:
    """Floating-point operations of the image encoder.

    Attributes
    ----------
    once : float
        For the frozen part of a view, which runs once.
    every : float
        For a view at each of its steps.
    """

    once: float
    every: float


def frozen_blocks(speed: str, encoder: ImageEncoder) -> int | None:
    """How many of the encoder's first blocks do not learn.

    Parameters
    ----------
    speed : str
        A key of `SPEEDS`.
    encoder : ImageEncoder
        The model's image encoder.

    Returns
    -------
    int or None
        None: the whole encoder, its neck included.
    """
    if speed == "decoder":
        return None
    depth = len(encoder.blocks)
    return 0 if speed == "everywhere" else depth - max(1, round(depth / 4))


def cost(speed: str, encoder: ImageEncoder) -> Cost:
    """Count what a view costs, without the decoder, which is small.

    Parameters
    ----------
    speed : str
        A key of `SPEEDS`.
    encoder : ImageEncoder
        The model's image encoder.

    Returns
    -------
    Cost
        Multiplications and additions are counted apart.
    """
    tokens = grid_side(encoder) ** 2
    blocks = _block_costs(encoder)
    count = frozen_blocks(speed, encoder)
    first = len(blocks) if count is None else count
    once, every = sum(blocks[:first]), sum(blocks[first:])
    if isinstance(encoder, HybridEncoder | TinyEncoder):
        tiny = isinstance(encoder, TinyEncoder)
        parts = TINY_CONVOLUTIONS if tiny else CONVOLUTIONS
        before, after = (tokens * part for part in parts)
        if tiny and count == 0:  # it runs at every step, but never learns
            before /= 1 + BACKWARD
        once += (before if count != 0 else 0) + (after if count is None else 0)
        every += (before if count == 0 else 0) + (after if count is not None else 0)
    return Cost(once, (1 + BACKWARD) * every)


def _block_costs(encoder: ImageEncoder) -> list[float]:
    """Operations of each block."""
    sides = [grid_side(encoder)] * len(encoder.blocks)
    factor = 1.0
    if isinstance(encoder, TinyEncoder):
        sides, factor = encoder.sides, TINY_BLOCKS
    costs = []
    for block, side in zip(encoder.blocks, sides, strict=True):
        width = block.attn.proj.out_features
        seen = block.window_size**2 or side**2
        costs.append(factor * side**2 * (24.0 * width**2 + 4.0 * seen * width))
    return costs


def kept_views(encoder: ImageEncoder) -> int:
    """Views of each image that a run with a frozen part draws from.

    Parameters
    ----------
    encoder : ImageEncoder
        The model's image encoder.

    Returns
    -------
    int
        Fewer where each costs seconds.
    """
    return 4 if grid_side(encoder) > 32 else 16


def choose_speed(
    encoder: ImageEncoder, images: int, minutes: float, per_second: float
) -> str:
    """The speed that learns in most of the model and still sees enough views.

    Parameters
    ----------
    encoder : ImageEncoder
        The model's image encoder.
    images : int
        In the training set.
    minutes : float
        Time limit; 0 for none.
    per_second : float
        Floating-point operations, from `operations_per_second`.

    Returns
    -------
    str
        A key of `SPEEDS`.
    """
    views = max(LEAST_VIEWS, VIEWS_AN_IMAGE * images)
    distinct = images * kept_views(encoder)
    seconds = 60 * minutes or NO_LIMIT
    for speed in reversed(SPEEDS):
        one = cost(speed, encoder)
        needed = views * one.every + distinct * one.once
        if needed <= seconds * per_second * EFFICIENCY:
            return speed
    return "decoder"


def operations_per_second(device: torch.device, dtype: torch.dtype) -> float:
    """Measure, in a moment, how fast a device multiplies matrices.

    Parameters
    ----------
    device : torch.device
        Where the run trains.
    dtype : torch.dtype
        What it computes in.

    Returns
    -------
    float
        Floating-point operations per second.
    """
    side = 1024
    a = torch.ones(side, side, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        float((a @ a)[0, 0])  # waits for the device
        best = min(best, time.perf_counter() - begun)
    return 2.0 * side**3 / best
