"""The folders of real images with masks, split by image.

A set is a folder with ``images/`` and ``masks/`` of equal stems. Its test images are in
``images_test/`` and ``masks_test/``, or named by the column ``suggested_split`` of its
``meta.csv``; a set with neither has none.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """The files of one image and its labels."""

    image: Path
    mask: Path

    @property
    def stem(self) -> str:
        """The name that both share."""
        return self.image.stem


def training_pairs(folder: Path) -> list[Pair]:
    """The images of a set that may be trained on, by name."""
    test = _named_tests(folder)
    return [p for p in _pairs(folder, "") if p.stem not in test]


def test_pairs(folder: Path) -> list[Pair]:
    """The images of a set that are never trained on, by name."""
    if (folder / "images_test").is_dir():
        return _pairs(folder, "_test")
    test = _named_tests(folder)
    return [p for p in _pairs(folder, "") if p.stem in test]


def _pairs(folder: Path, suffix: str) -> list[Pair]:
    masks = {path.stem: path for path in (folder / f"masks{suffix}").iterdir()}
    images = sorted((folder / f"images{suffix}").iterdir())
    return [Pair(path, masks[path.stem]) for path in images]


def _named_tests(folder: Path) -> set[str]:
    meta = folder / "meta.csv"
    if not meta.exists():
        return set()
    with meta.open(encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        return {row["stem"] for row in rows if row["suggested_split"] == "test"}
