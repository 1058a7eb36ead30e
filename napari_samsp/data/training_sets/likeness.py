"""Whether the samples of a training set are of one kind, by its notes alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_samsp.data.training_sets.sample import Sample

MUCH = 4
"""Sides that differ by this factor: hardly the same things at one magnification."""
_KINDS = {2: "gray", 3: "in colour"}
_MODES = ("one region", "separate objects")


def difference(sample: Sample, others: list[Sample]) -> str:
    """How a sample differs from all others.

    Parameters
    ----------
    sample : Sample
        One of a set.
    others : list of Sample
        The rest of it.

    Returns
    -------
    str
        Such as "it is in colour, the others are gray"; empty if it is like them, or
        ``samples.jsonl`` does not tell.
    """
    said = []
    objects = sample.info.get("objects")
    known = {other.info.get("objects") for other in others}
    if isinstance(objects, bool) and known == {not objects}:
        said.append(f"it has {_MODES[objects]}, the others {_MODES[not objects]}")
    shape = _shape(sample.info)
    shapes = [found for other in others if (found := _shape(other.info))]
    if shape and shapes:
        axes = {len(found) for found in shapes}
        if len(axes) == 1 and len(shape) not in axes:
            kind = _KINDS[axes.pop()]
            said.append(f"it is {_KINDS[len(shape)]}, the others are {kind}")
        side, sides = max(shape[:2]), [max(found[:2]) for found in shapes]
        if side >= MUCH * max(sides):
            said.append("it is much larger than the others")
        elif MUCH * side <= min(sides):
            said.append("it is much smaller than the others")
    return "; ".join(said)


def _shape(info: dict[str, Any]) -> list[int]:
    shape = info.get("shape")
    if not isinstance(shape, list) or len(shape) not in _KINDS:
        return []
    return shape if all(type(side) is int and side > 0 for side in shape) else []
