"""Numbers from callers, checked."""

from __future__ import annotations

from numbers import Integral


def is_integer(value: object) -> bool:
    """Whether a value is an integer of Python or numpy; bools are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)
