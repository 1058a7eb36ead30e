"""An object has one class, whichever its slices have."""

from __future__ import annotations

import numpy as np

from napari_samsp.data.tables.object_table import CLASS, PixelSize, measure_planes
from napari_samsp.data.training_sets.class_election import ClassElection

SLICES = np.zeros((3, 4, 7), np.int32)
SLICES[0, :, :2], SLICES[1, :, :3], SLICES[2, :1, :6] = 9, 9, 9
SLICES[:, 3, 6] = 200_000
NAMES = [{9: "leaf"}, {9: "spot", 200_000: "spot"}, {9: "leaf"}]


def test_most_pixels_decide_by_number_as_by_name():
    election, numbers = ClassElection[int](), {"leaf": 4, "spot": 6}
    for plane, names in zip(SLICES, NAMES, strict=True):
        told = {label: numbers[name] for label, name in names.items()} | {0: 4}
        found = dict(election.count(plane, told))
    assert found == {9: 4, 200_000: 6}  # 8 + 6 pixels against 12
    table = measure_planes(SLICES, None, PixelSize((1.0,) * 3), True, {}, NAMES)
    named = dict(zip(table["label"].tolist(), table[CLASS].tolist(), strict=True))
    assert {label: numbers[name] for label, name in named.items()} == found


def test_the_slices_so_far_decide_and_the_first_of_equals():
    election = ClassElection[str]()
    assert election.count(SLICES[0], {9: "leaf"}) == {9: "leaf"}
    assert election.count(SLICES[1], {9: "spot"}) == {9: "spot"}
    assert election.count(SLICES[1, 1:2, :3], {9: "leaf"}) == {9: "spot"}  # 11 of 23
    assert election.count(SLICES[2, :, :1], {9: "leaf", 200_000: ""}) == {9: "leaf"}
