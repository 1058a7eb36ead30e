"""Ending a model's forward pass in the middle."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torch import nn


class StoppedError(Exception):
    """Raised by a check to stop a job; caught by the code that passed the check on."""


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
        Called without arguments. An exception raised by it aborts the forward pass.
    """
    with called_before(model.modules(), check):
        yield


@contextmanager
def called_before(
    modules: Iterable[nn.Module], call: Callable[[], None]
) -> Iterator[None]:
    """Have something called whenever one of some modules begins to compute.

    Only where it does so in this thread: another may use the same model at the same
    time, with calls of its own.

    Parameters
    ----------
    modules : iterable of torch.nn.Module
        Left as they were in the end.
    call : callable
        Called without arguments. An exception raised by it aborts the forward pass.
    """
    mine = threading.get_ident()

    def here(*_: object) -> None:
        if threading.get_ident() == mine:
            call()

    hooks = [module.register_forward_pre_hook(here) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
