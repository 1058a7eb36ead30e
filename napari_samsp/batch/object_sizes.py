"""How large the objects of files were taken to be: for the manifest, and in words."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_samsp.inference.scale.object_scale import ObjectScale


def as_columns(scales: Sequence[ObjectScale]) -> dict[str, Any]:
    """Entries of a file's line in the manifest.

    Parameters
    ----------
    scales : sequence of ObjectScale
        One for each of the file's planes.

    Returns
    -------
    dict
        ``object_size``, the median over the planes in pixels, None where it is not
        known, and ``object_size_certain``.
    """
    sizes = [one.object_size for one in scales if one.object_size is not None]
    return {
        "object_size": round(median(sizes), 1) if sizes else None,
        "object_size_certain": all(one.certain for one in scales),
    }


def in_words(scales: Sequence[ObjectScale]) -> str:
    """Say which sizes were found in many planes.

    Parameters
    ----------
    scales : sequence of ObjectScale
        One for each plane of all files.

    Returns
    -------
    str
        One or two sentences; empty if there is nothing to say.
    """
    sizes = [one.object_size for one in scales if one.object_size is not None]
    doubtful = sum(not one.certain for one in scales)
    words = []
    if sizes:
        low, middle, high = min(sizes), median(sizes), max(sizes)
        span = f" ({low:.0f} to {high:.0f})" if round(low) < round(high) else ""
        words.append(f"Objects are about {middle:.0f} pixels wide{span}.")
    if doubtful:
        part = "This" if len(scales) == 1 else f"For {doubtful} of {len(scales)} this"
        words.append(
            f"{part} is uncertain: if objects are missed, give --object-size."
            if sizes
            else "No object was found: if there are any, give --object-size."
        )
    return " ".join(words)
