"""The speed that is chosen where none is asked for."""

from __future__ import annotations

import pytest
import torch

from napari_samsp.sam.architecture import ARCHITECTURES, build_sam
from napari_samsp.train.config import SPEEDS
from napari_samsp.train.trainable import choose_speed, cost, operations_per_second

LAPTOP, GPU = 2e11, 5e13


def encoder(name):
    with torch.device("meta"):
        return build_sam(ARCHITECTURES[name]).image_encoder


@pytest.mark.parametrize(
    ("model", "images", "minutes", "per_second", "chosen"),
    [
        ("samsp_small", 5, 5, LAPTOP, "everywhere"),
        ("vit_t", 5, 5, LAPTOP, "decoder"),
        ("vit_t", 5, 15, LAPTOP, "last-blocks"),
        ("vit_t", 5, 60, LAPTOP, "everywhere"),
        ("vit_b", 5, 5, LAPTOP, "decoder"),
        ("vit_b", 5, 60, LAPTOP, "last-blocks"),
        ("vit_b", 5, 600, LAPTOP, "everywhere"),
        ("vit_b", 200, 60, LAPTOP, "decoder"),
        ("vit_b", 5, 5, GPU, "everywhere"),
        ("vit_h", 5, 0, GPU, "everywhere"),
        ("vit_h", 5, 0, LAPTOP, "decoder"),
    ],
)
def test_more_of_the_model_learns_where_there_is_time(
    model, images, minutes, per_second, chosen
):
    assert choose_speed(encoder(model), images, minutes, per_second) == chosen


def test_counted_operations_are_those_of_perf_tables():
    """vit_b at 1024: 942 G without window padding, the patch embedding and the neck
    apart (its convolutions are 1 %)."""
    costs = {speed: cost(speed, encoder("vit_b")) for speed in SPEEDS}
    assert costs["decoder"].once == pytest.approx(942e9, rel=0.03)
    assert costs["decoder"].every == costs["everywhere"].once == 0
    assert costs["last-blocks"].every < costs["everywhere"].every / 3


def test_a_vit_t_costs_a_seventh_of_a_vit_b():
    """As measured at 1024 pixels by training/benchmarks/models.py."""
    once = {name: cost("decoder", encoder(name)).once for name in ("vit_t", "vit_b")}
    assert 5 < once["vit_b"] / once["vit_t"] < 9


def test_a_device_is_measured():
    assert operations_per_second(torch.device("cpu"), torch.float32) > 1e8
