"""The planes of a stack through the one driver."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from napari_samsp.data.rgb import Scaling
from napari_samsp.inference import stack as driver
from napari_samsp.inference.planes import SegmentOptions
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.inference.stack import segment_stack


class Slices:
    """Planes of a stack; counts how often each is opened."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.planes = [(n, None, None) for n in range(len(array))]
        self.opened: Counter[int] = Counter()

    def open(self, plane):
        self.opened[plane[0]] += 1
        return self.array[plane[0]]


@pytest.mark.parametrize("kept", [True, False])
def test_limits_of_all_slices_cost_no_second_reading(nuclei, monkeypatch, kept):
    """Unless the slices are too large to be kept meanwhile; the labels are the same."""
    if not kept:
        monkeypatch.setattr(driver, "KEPT_BYTES", 1000)
    image = nuclei[0]
    array = np.stack([image, image // 4, image[::-1] // 2])
    source = Slices(array)
    segmenter = Segmenter(device="cpu")
    options = SegmentOptions(iterations=1, objects=True, tile="off")
    found = list(segment_stack(segmenter, source, options))
    assert source.opened == dict.fromkeys(range(3), 1 if kept else 2)
    scaling = Scaling("limits", *Scaling().limits(array))
    for n, one in enumerate(found):
        assert one.plane == (n, None, None)
        (expected,) = Segmenter(device="cpu", scaling=scaling).segment(
            array[n], 1, True, tile="off"
        )
        assert np.array_equal(one.labels, expected.labels)
