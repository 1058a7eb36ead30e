"""What a method is given, and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_samsp.data.components import connected_parts

if TYPE_CHECKING:
    from napari_samsp.train.examples.example import Example

Predictor = Callable[[np.ndarray], list[np.ndarray]]
"""From a ``(Y, X, 3)`` uint8 image to ``(Y, X)`` int32 labels: one, or one an
iteration."""


@dataclass(frozen=True)
class Job:
    """What a method is given.

    Attributes
    ----------
    pictures : list of Example
        To learn from.
    work : Path
        An empty folder of its own.
    base : str
        The base model, for those that have one.
    minutes : float
        Training time, of the CPU: a busy computer does not change a table.
    iterations : int
        Iterations wanted from those that iterate.
    seed : int
        Of everything random.
    objects : bool
        Instances are wanted.
    classes : tuple of int
        The labels of areas that are told apart; none: all labels are one foreground.
    """

    pictures: list[Example]
    work: Path
    base: str
    minutes: float
    iterations: int
    seed: int
    objects: bool
    classes: tuple[int, ...] = ()


def labels_of(foreground: np.ndarray, objects: bool) -> np.ndarray:
    """Int32 labels of a ``(Y, X)`` bool foreground; as objects, its components."""
    if objects:
        return connected_parts(foreground)
    return foreground.astype(np.int32)
