"""A stack, and how its slices are chosen."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def stack(nuclei) -> np.ndarray:
    """Four slices, one of them empty."""
    image = nuclei[0]
    return np.stack([image[::-1] // 2, image, np.full_like(image, 30), image[:, ::-1]])


@pytest.fixture
def all_slices(widget):
    def choose(text: str = "All") -> None:
        combo = widget.segmenting.slices.combo
        found = [n for n in range(combo.count()) if combo.itemText(n).startswith(text)]
        assert found, [combo.itemText(n) for n in range(combo.count())]
        combo.setCurrentIndex(found[-1])

    return choose
