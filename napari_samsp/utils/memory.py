"""Work within the memory there is: smaller batches, and blocks that are given back."""

from __future__ import annotations

import ctypes
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import psutil
import torch

from napari_samsp.utils.errors import InputError, is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Part = TypeVar("Part")

M_MMAP_THRESHOLD = -3
"""Option of ``mallopt`` in glibc."""
GIVEN_BACK, KEPT = 4 * 2**20, 32 * 2**20
"""Blocks from so many bytes on go back to the system when they are freed: those of a
large model's activations, or as glibc has it after a while with tensors."""


def free_bytes(device: torch.device) -> int:
    """Memory that can be allocated without swapping.

    Parameters
    ----------
    device : torch.device
        For any other than a CUDA device, the computer's own memory counts.

    Returns
    -------
    int
        Memory that is free, in bytes.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


@contextmanager
def freed_memory_given_back(wanted: bool = True) -> Iterator[None]:
    """Let what is freed go back to the system at once, where glibc would keep it.

    It keeps blocks of up to 32 MB, strewn between those in use: a training step of
    ``vit_b`` at 1024 with checkpointing held three times what its tensors need
    (training/benchmarks/training_step.py). Each block then costs the system some time
    when it is taken again. With another C library nothing changes.

    Parameters
    ----------
    wanted : bool
        If False, nothing is changed.
    """
    library = ctypes.CDLL(None) if wanted and sys.platform == "linux" else None
    mallopt = getattr(library, "mallopt", None)
    if mallopt is None:
        yield
        return
    mallopt(M_MMAP_THRESHOLD, GIVEN_BACK)
    try:
        yield
    finally:
        mallopt(M_MMAP_THRESHOLD, KEPT)


def in_batches(
    work: Callable[[slice], Part],
    count: int,
    batch_size: int,
    what: str,
    frugal: Callable[[slice], Part] | None = None,
) -> tuple[list[Part], int]:
    """Work in batches, and halve their size whenever memory is short.

    The user is told with a warning, which napari shows.

    Parameters
    ----------
    work : callable
        Called with a slice of ``range(count)``; does that part.
    count : int
        Number of items.
    batch_size : int
        Items per batch to begin with.
    what : str
        What the items are, for the warning.
    frugal : callable, optional
        Does the same in less memory and more time; tried when a single item is too
        much.

    Returns
    -------
    tuple
        Results of ``work``, in order, and the size of the last batches.

    Raises
    ------
    InputError
        If not even a single item fits.
    """
    done: list[Part] = []
    first = 0
    while first < count:
        failed, tried = False, min(batch_size, count - first)
        try:
            done.append(work(slice(first, first + tried)))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if tried == 1 and frugal is None:
                raise InputError(
                    f"Memory does not suffice for {what}, not even one at a time: "
                    "close other programs, or choose a smaller input size, a smaller "
                    "model or the device cpu."
                ) from error
            failed = True
        if not failed:
            first += tried
            continue
        # Only here, outside of the handler, are the failure's own tensors gone.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if tried > 1:
            batch_size = tried // 2
            how = f"{batch_size} at a time"
        elif frugal is not None:
            work, frugal = frugal, None
            how = "one at a time and in pieces"
        warnings.warn(
            f"Memory was short: {what} go {how}, which is slower.",
            RuntimeWarning,
            stacklevel=2,
        )
    return done, batch_size
