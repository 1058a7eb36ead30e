"""How large an image may claim to be, before anything is allocated for it."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LIMIT_VARIABLE = "NAPARI_SAMSP_MAX_PIXELS"
DEFAULT_LIMIT = 1_000_000_000
"""Pixels: a little more than 30,000 x 30,000, or a gigabyte at one byte each."""
MOST_CHANNELS = 4
"""A last axis of up to so many values holds the colours of a pixel."""


def pixel_limit() -> int:
    """The most pixels that a file may hold.

    Returns
    -------
    int
        ``$NAPARI_SAMSP_MAX_PIXELS`` if set, else `DEFAULT_LIMIT`.

    Raises
    ------
    InputError
        If the variable is no positive number.
    """
    text = os.environ.get(LIMIT_VARIABLE, "")
    if not text:
        return DEFAULT_LIMIT
    if not text.isdecimal() or int(text) == 0:
        raise InputError(f"${LIMIT_VARIABLE} must be a number of pixels, not {text!r}.")
    return int(text)


def check_size(path: Path, shape: Sequence[int]) -> None:
    """Refuse an image whose header claims too many pixels, however small its file is.

    Parameters
    ----------
    path : Path
        The file, for the message.
    shape : sequence of int
        What its header says.

    Raises
    ------
    InputError
        If that is more than `pixel_limit`.
    """
    sides = [int(side) for side in shape]
    if len(sides) > 2 and sides[-1] <= MOST_CHANNELS:
        sides = sides[:-1]
    pixels = math.prod(sides)
    if pixels > pixel_limit():
        size = " x ".join(map(str, sides))
        raise InputError(
            f"{path} says that it holds {size} pixels, more than the limit of "
            f"{pixel_limit():,}; if you trust it, set the environment variable "
            f"{LIMIT_VARIABLE} to a larger number."
        )
