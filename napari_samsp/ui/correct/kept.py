"""What is told about corrections that were kept."""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Image

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.data.training_sets.sample import Sample


def newest_first(samples: Iterable[Sample]) -> list[Sample]:
    """Sort samples by when they were kept; those without a time come last."""

    def seconds(sample: Sample) -> float:
        time = _time(sample)
        return time.timestamp() if time is not None else 0.0

    return sorted(samples, key=seconds, reverse=True)


def origin(sample: Sample) -> str:
    """Where a sample's pixels come from: its file or layer, and its slice.

    Parameters
    ----------
    sample : Sample
        Its info may hold anything.

    Returns
    -------
    str
        Such as ``stack.tif, slice 12``; empty if it is not known.
    """
    file = sample.info.get("file")
    name = PurePath(file).name if isinstance(file, str) else sample.info.get("layer")
    words = [str(name)] if name else []
    plane = sample.info.get("slice")
    if isinstance(plane, list):
        cut = [str(index) for index in plane if index is not None]
        words += [f"slice {', '.join(cut)}"] if cut else []
    return ", ".join(words)


def kept_planes(
    samples: Iterable[Sample], image: Image, regions: bool = False
) -> set[PlaneIndex]:
    """The slices of an image that were kept.

    Parameters
    ----------
    samples : iterable of Sample
        Samples of the correction set.
    image : Image
        The layer.
    regions : bool
        Whether a region of a slice counts, or only the whole.

    Returns
    -------
    set of PlaneIndex
        Of the image.
    """
    source = str(image.source.path or image.name)
    return {
        tuple(sample.info["slice"])
        for sample in samples
        if sample.info.get("source") == source
        and isinstance(sample.info.get("slice"), list)
        and (regions or "region" not in sample.info)
    }


def local_time(sample: Sample) -> str:
    """When a sample was kept, for the list; empty if that is not known."""
    time = _time(sample)
    return f"{time:%b %d %H:%M}" if time is not None else ""


def _time(sample: Sample) -> datetime | None:
    try:
        return datetime.fromisoformat(sample.info["time"]).astimezone()
    except (KeyError, ValueError, TypeError, OverflowError, OSError):
        return None
