"""Kinds of prompts, and numbers of iterations. Needs no torch: checks are fast."""

from __future__ import annotations

from napari_samsp.utils.errors import InputError
from napari_samsp.utils.numbers import is_integer

KINDS = ("box", "mask", "points")
MOST_ITERATIONS = 100
"""Iterations level off after a few; memory and disk grow with their number."""


def check_iterations(count: int) -> None:
    """Raise `InputError` unless there can be so many iterations."""
    if not is_integer(count) or not 1 <= count <= MOST_ITERATIONS:
        raise InputError(
            f"The number of iterations must be from 1 to {MOST_ITERATIONS}, not "
            f"{count!r}."
        )


def parse_kind(kind: str) -> frozenset[str]:
    """Read a prompt kind such as ``"box+mask"``.

    Parameters
    ----------
    kind : str
        Names of `KINDS` joined by ``+``.

    Returns
    -------
    frozenset of str
        The names of its parts.

    Raises
    ------
    InputError
        If a name is unknown, or it is no text.
    """
    if not isinstance(kind, str):
        raise InputError(f"The prompt must be a name such as box+mask, not {kind!r}.")
    names = frozenset(part.strip() for part in kind.split("+"))
    if unknown := names - set(KINDS):
        raise InputError(
            f"Unknown prompt kind {', '.join(map(repr, sorted(unknown)))}: "
            f"use {', '.join(KINDS)}, or a sum such as box+mask."
        )
    return names
