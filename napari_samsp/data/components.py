"""Masks of one value, such as 0 and 255: their connected parts are the objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_samsp.utils.errors import InputError, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

COMPONENTS = ("auto", "yes", "no")


def check_components(choice: str) -> None:
    """Raise `InputError` unless a choice is one of `COMPONENTS`."""
    if choice not in COMPONENTS:
        raise InputError(f"components must be {', '.join(COMPONENTS)}.")


def holds_one_value(planes: Iterable[np.ndarray]) -> bool:
    """Whether a mask tells foreground, but not one object from another.

    Parameters
    ----------
    planes : iterable of numpy.ndarray
        Of integer labels; no more are taken than are needed.

    Returns
    -------
    bool
        False if there is no foreground.
    """
    value = 0
    for plane in planes:
        inside = plane[plane > 0]
        if not inside.size:
            continue
        low, high = int(inside.min()), int(inside.max())
        if low < high or value not in (0, low):
            return False
        value = low
    return value > 0


def connected_parts(labels: np.ndarray) -> np.ndarray:
    """Give every connected part of every label a label of its own.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(Y, X)`` integers, 0 = background. Diagonal neighbours are apart.

    Returns
    -------
    numpy.ndarray
        ``(Y, X)`` int32, numbered from 1.
    """
    from skimage import (
        measure,  # the settings of a run, which napari shows, import this
    )

    found = measure.label(labels, background=0, connectivity=1)
    return np.asarray(found, np.int32)


def parts_note(names: Sequence[str]) -> str:
    """Say in which masks connected parts were taken for the objects.

    Parameters
    ----------
    names : sequence of str
        Of masks; at least one.

    Returns
    -------
    str
        Two sentences for the user.
    """
    return (
        f"One value only is in {some(names)}: connected parts are the objects. With "
        "--components no they are one object."
    )
