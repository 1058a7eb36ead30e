"""How many threads torch computes with."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKENS_A_THREAD = 1024
"""A thread is worth its start for so many image tokens. With `samsp_small`'s 1,024 a
click's three decodings took 25 ms in one thread, and in two 30 ms and more of the
processor; with the 4,096 of `vit_t` 172 ms and 150."""


@contextmanager
def few_threads(tokens: int) -> Iterator[None]:
    """Decode a single prompt in no more threads than help.

    Parameters
    ----------
    tokens : int
        Number of cells of the image's embedding.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, tokens // TOKENS_A_THREAD)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
