"""The folders of real images with masks, split by image.

A set is a folder with ``images/`` and ``masks/`` of equal stems. Its test images are in
``images_test/`` and ``masks_test/``, or named by the column ``suggested_split`` of its
``meta.csv``; a set with neither has none.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path


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
    rows = _meta(folder)
    pairs = (
        replace(p, kind=rows.get(p.stem, {}).get("modality_heuristic", ""))
        for p in _pairs(folder, "")
    )
    return [p for p in pairs if not _is_test(rows, p)]


def test_pairs(folder: Path) -> list[Pair]:
    """The images of a set that are never trained on, by name."""
    if (folder / "images_test").is_dir():
        return _pairs(folder, "_test")
    rows = _meta(folder)
    return [p for p in _pairs(folder, "") if _is_test(rows, p)]


def _pairs(folder: Path, suffix: str) -> list[Pair]:
    masks = {path.stem: path for path in (folder / f"masks{suffix}").iterdir()}
    images = sorted((folder / f"images{suffix}").iterdir())
    return [Pair(path, masks[path.stem]) for path in images]


def _meta(folder: Path) -> dict[str, dict[str, str]]:
    meta = folder / "meta.csv"
    if not meta.exists():
        return {}
    with meta.open(encoding="utf-8") as stream:
        return {row["stem"]: row for row in csv.DictReader(stream)}


def _is_test(rows: dict[str, dict[str, str]], pair: Pair) -> bool:
    return rows.get(pair.stem, {}).get("suggested_split") == "test"
