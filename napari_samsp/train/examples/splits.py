"""Which images train, and which validate: always whole images."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import TYPE_CHECKING

from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.train.config import LEAST_TO_CROSS_VALIDATE, LEAST_TO_HOLD_OUT
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from napari_samsp.data.training_sets.sample import Sample

HELD_OUT_FRACTION = 0.2
MOST_FOLDS = 5


def split(
    samples: list[Sample], validation: str | None, seed: int
) -> tuple[list[Sample], list[Sample]]:
    """Split the images into training and held-out ones; an image is never cut.

    Parameters
    ----------
    samples : list of Sample
        Of the training set.
    validation : str or None
        A training set's folder, a fraction such as ``"0.2"``, or None for the default:
        none, or a fifth of `LEAST_TO_HOLD_OUT` images or more.
    seed : int
        Seed of the draw of held-out images.

    Returns
    -------
    tuple of list
        Training and held-out samples; the second may be empty.

    Raises
    ------
    InputError
        If the fraction leaves nothing to train on, or the folder is no training set.
    """
    if validation is not None and not _is_number(validation):
        return samples, TrainingSet(Path(validation)).check()
    if validation is None:
        enough = len(samples) >= LEAST_TO_HOLD_OUT
        count = round(HELD_OUT_FRACTION * len(samples)) if enough else 0
    else:
        fraction = float(validation)
        if not 0 <= fraction < 1:
            raise InputError("The validation fraction must be from 0 to below 1.")
        count = round(fraction * len(samples))
        if fraction > 0:
            count = max(1, count)
    if count >= len(samples):
        raise InputError(
            f"Holding out {count} of {len(samples)} images leaves none to train on."
        )
    order = sorted(samples, key=lambda sample: sample.name)
    groups = _by_source(order)
    keys = list(groups)
    random.Random(seed).shuffle(keys)
    held_out: list[Sample] = []
    for key in keys:
        if len(held_out) + len(groups[key]) <= count:
            held_out += groups[key]
    if count and not held_out:
        held_out = order[::-1][:count]
    names = {sample.name for sample in held_out}
    return [s for s in order if s.name not in names], held_out


def folds(samples: list[Sample]) -> list[list[int]]:
    """Divide a few samples into folds for cross-validation.

    Parameters
    ----------
    samples : list of Sample
        Those that train, in order.

    Returns
    -------
    list of list of int
        Positions in ``samples``, every one in one fold, at most `MOST_FOLDS` folds of
        almost equal size. Samples of one stack or file share a fold, unless all are of
        one: then neighbouring slices do. Empty for fewer than
        `LEAST_TO_CROSS_VALIDATE`.
    """
    if len(samples) < LEAST_TO_CROSS_VALIDATE:
        return []
    groups = _by_source(samples)
    position = {sample.name: n for n, sample in enumerate(samples)}
    if len(groups) == 1:
        count = min(MOST_FOLDS, len(samples))
        edges = [n * len(samples) // count for n in range(count + 1)]
        return [list(range(first, last)) for first, last in itertools.pairwise(edges)]
    found: list[list[int]] = [[] for _ in range(min(MOST_FOLDS, len(groups)))]
    for group in sorted(groups.values(), key=len, reverse=True):
        min(found, key=len).extend(position[sample.name] for sample in group)
    return [sorted(fold) for fold in found]


def _by_source(samples: list[Sample]) -> dict[str, list[Sample]]:
    """Samples by the stack or file that they came from.

    Adjacent slices are too much alike: one must not validate what was learnt from the
    other.
    """
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        source = str(sample.info.get("source") or sample.name)
        groups.setdefault(source, []).append(sample)
    return groups


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
