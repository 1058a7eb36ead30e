"""The folders of real images with masks, split by image.

A set is a folder with ``images/`` and ``masks/`` of equal stems. Its test images are in
``images_test/`` and ``masks_test/``, or named by the column ``suggested_split`` of its
``meta.csv``; a set with neither has none, and `with_tests` divides it.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_samsp.data.image_files import read_image, read_labels
from napari_samsp.data.training_sets.training_set import TrainingSet


@dataclass(frozen=True)
class Pair:
    """The files of one image and its labels."""

    image: Path
    mask: Path
    kind: str = ""
    """What ``meta.csv`` calls its modality, where there is such a file."""

    @property
    def stem(self) -> str:
        """The name that both share."""
        return self.image.stem


def training_pairs(folder: Path) -> list[Pair]:
    """The images of a set that may be trained on, by name."""
    return _split(folder, test=False)


def test_pairs(folder: Path) -> list[Pair]:
    """The images of a set that are never trained on, by name."""
    if (folder / "images_test").is_dir():
        return _pairs(folder, "_test")
    return _split(folder, test=True)


def with_tests(folder: Path, begins: str = "") -> tuple[list[Pair], list[Pair]]:
    """The images of a set to learn from, and its test images.

    Where a set names no test images they are those of the last sources by name that
    make up a third of it. Images of one source, such as crops of one photo, stay
    together: their names differ after the last underscore. Where all names begin alike
    each image is its own source.

    Parameters
    ----------
    folder : Path
        The set.
    begins : str
        How the names of the images begin that are taken; default all.
    """
    train, tests = (
        [pair for pair in pairs if pair.stem.startswith(begins)]
        for pairs in (training_pairs(folder), test_pairs(folder))
    )
    if not train:
        sys.exit(f"no image of {folder.name} begins with {begins}")
    if tests:
        return train, tests
    sources = [pair.stem.rpartition("_")[0] for pair in train]
    if len(set(sources)) == 1:
        sources = [pair.stem for pair in train]
    first = sources.index(sources[-(len(train) // 3)])
    return train[:first], train[first:]


def shuffled(pairs: list[Pair], seed: int) -> list[Pair]:
    """The images in an order that the seed draws; the first ones are a user's."""
    return [pairs[n] for n in np.random.default_rng(seed).permutation(len(pairs))]


def evenly(pairs: list[Pair], most: int) -> list[Pair]:
    """At most so many images, evenly spread."""
    places = np.linspace(0, len(pairs) - 1, min(most, len(pairs)), dtype=int)
    return [pairs[n] for n in places]


def write_corrections(pairs: list[Pair], folder: Path) -> None:
    """Make a training set of images and their masks."""
    corrections = TrainingSet(folder)
    for pair in pairs:
        labels = read_labels(pair.mask)
        corrections.add(read_image(pair.image), labels, name=pair.stem)


def _split(folder: Path, test: bool) -> list[Pair]:
    meta: dict[str, dict[str, str]] = {}
    if (folder / "meta.csv").exists():
        with (folder / "meta.csv").open(encoding="utf-8") as stream:
            meta = {row["stem"]: row for row in csv.DictReader(stream)}
    rows = ((pair, meta.get(pair.stem, {})) for pair in _pairs(folder, ""))
    return [
        replace(pair, kind=row.get("modality_heuristic", ""))
        for pair, row in rows
        if (row.get("suggested_split") == "test") == test
    ]


def _pairs(folder: Path, suffix: str) -> list[Pair]:
    masks = {path.stem: path for path in (folder / f"masks{suffix}").iterdir()}
    images = sorted((folder / f"images{suffix}").iterdir())
    return [Pair(path, masks[path.stem]) for path in images]
