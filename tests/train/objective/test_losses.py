"""SAM-SP's losses: what is right costs nothing, what is padding does not count."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_samsp.self_prompting.letterbox import valid_cells
from napari_samsp.train.objective.losses import (
    coverage,
    distillation_loss,
    match_objects,
    seam_mask,
    segmentation_loss,
)

seeds = st.integers(0, 2**31)


@given(seeds)
def test_the_truth_costs_nothing_and_its_opposite_most(seed):
    torch.manual_seed(seed)
    target = (torch.rand(2, 16, 16) > 0.5).float()
    weight = torch.ones_like(target)
    right, wrong = 20 * (2 * target - 1), -20 * (2 * target - 1)
    assert segmentation_loss(right, target, weight).max() < 0.01
    assert segmentation_loss(wrong, target, weight).min() > 10


@given(seeds)
def test_padding_does_not_count(seed):
    torch.manual_seed(seed)
    logits, target = torch.randn(1, 16, 16), torch.rand(1, 16, 16)
    weight = valid_cells(torch.tensor([[40, 64]]), 16, 4).float()
    assert weight[0].sum() == 10 * 16
    noisy = torch.where(weight > 0, logits, 9.0)
    for loss in (
        lambda x: segmentation_loss(x, target, weight),
        lambda x: distillation_loss(x, target, weight, 2.0),
    ):
        torch.testing.assert_close(loss(logits), loss(noisy))


@given(seeds, st.floats(0.5, 5))
def test_distillation_is_zero_only_in_agreement_and_spares_the_teacher(seed, heat):
    torch.manual_seed(seed)
    student = torch.randn(3, 8, 8, requires_grad=True)
    teacher = torch.randn(3, 8, 8, requires_grad=True)
    weight = torch.ones(3, 8, 8)
    agreed = distillation_loss(student, student.detach().clone(), weight, heat)
    torch.testing.assert_close(agreed, torch.zeros(3), atol=1e-4, rtol=0)
    loss = distillation_loss(student, teacher, weight, heat)
    assert (loss > 0).all()
    loss.sum().backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_coverage_is_the_part_of_a_cell():
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, :4, :2] = True
    assert coverage(mask, 2)[0].tolist() == [[0.5, 0], [0, 0]]


@pytest.mark.parametrize("size", [16, 64])
def test_a_component_gets_the_object_that_it_overlaps_most(size):
    labels = torch.zeros(2, size, size, dtype=torch.int64)
    unit = size // 16
    labels[0, : 4 * unit, : 8 * unit] = 9
    labels[0, 8 * unit :, 8 * unit :] = 4
    regions = torch.zeros(3, 16, 16, dtype=torch.bool)
    regions[0, 2:16, 2:9] = True  # overlaps 9 by 2 x 6 cells, 4 by 8 x 1
    regions[1, 5:7, 5:7] = True  # overlaps nothing
    regions[2, 0:4, 0:4] = True  # in the second image, which is empty
    index = torch.tensor([0, 0, 1])
    targets, matched = match_objects(regions, index, labels)
    assert matched.tolist() == [9, 0, 0]
    assert torch.equal(targets[0], labels[0] == 9)
    assert not targets[1:].any()


def test_only_seams_between_objects_are_left_open():
    labels = torch.zeros(1, 40, 60, dtype=torch.int64)
    labels[0, 5:30, 5:25] = 3
    labels[0, 5:30, 25:45] = 7
    open_seam = (labels > 0) & ~seam_mask(labels)
    columns = open_seam[0, 5:30].all(0).nonzero()[:, 0].tolist()
    assert columns == [23, 24, 25, 26]
    assert open_seam.sum() == 25 * 4
    alone = torch.where(labels == 3, labels, 0)
    assert torch.equal(seam_mask(alone), alone > 0)
