"""Ending a model's forward pass in the middle."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn


@contextmanager
def interruptible(model: nn.Module, check: Callable[[], None]) -> Iterator[None]:
    """Have a check made whenever a part of a model begins to compute.

    On a CPU an image encoder takes up to half a minute, but none of its parts more
    than about a second.

    Parameters
    ----------
    model : torch.nn.Module
        Left as it was in the end.
    check : callable
        What it raises ends the forward pass.
    """
    hooks = [
        part.register_forward_pre_hook(lambda *_: check()) for part in model.modules()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
