"""What a training step minimises."""

from __future__ import annotations

import pytest
import torch

from napari_samsp.core.sam import Architecture, build_sam
from napari_samsp.core.self_prompting import Decoding, SelfPrompting
from napari_samsp.train.augment import View
from napari_samsp.train.config import TrainConfig
from napari_samsp.train.objective import (
    Objective,
    smooth_noise,
    teacher_of_objects,
)

SMALL = Architecture(64, 8, 32, 2, 2, (1,), 4, prompt_dim=32, decoder_mlp_dim=64)


def test_the_errors_of_an_image_depend_on_its_own_seed():
    seeds = torch.arange(400)
    errors = smooth_noise(seeds, 32)
    assert torch.equal(errors[[7, 3]], smooth_noise(seeds[[7, 3]], 32))
    none = (errors == 0).flatten(1).all(1)
    assert 0.4 < none.float().mean() < 0.6
    # Blobs, not noise of single cells: neighbours are alike.
    told_wrongly = errors[~none]
    steps = told_wrongly.diff(dim=-1).square().mean()
    assert steps < 0.2 * told_wrongly.var()


@pytest.fixture
def view():
    generator = torch.Generator().manual_seed(0)
    labels = torch.zeros(1, 64, 64, dtype=torch.int64)
    labels[0, 8:40, 16:30] = 1
    return View(
        torch.randn(1, 3, 64, 64, generator=generator),
        labels,
        torch.tensor([[64, 48]]),
        torch.zeros(1, dtype=torch.int64),
    )


def loss_of(view, seed, objects=False, **settings):
    torch.manual_seed(0)
    model = SelfPrompting(build_sam(SMALL), objects=objects).eval()
    view = view._replace(seed=torch.tensor([seed]))
    return float(Objective(model, TrainConfig(**settings))(view).detach())


def test_prompts_with_errors_are_no_teacher(view):
    errors = smooth_noise(torch.arange(50), 16)
    wrong = (errors != 0).flatten(1).any(1)
    spoilt, clean = int(wrong.nonzero()[0]), int((~wrong).nonzero()[0])
    plain, taught = {"distill": 0.0, "true_prompts": 0.0}, {"true_prompts": 0.0}
    # An image that is spared learns as the paper says, self-distillation included.
    assert loss_of(view, clean, **plain) == loss_of(
        view, clean, prompt_errors=0.0, **plain
    )
    assert loss_of(view, clean, **taught) > loss_of(view, clean, **plain)
    # The other one's second iteration answers another prompt, and teaches nothing.
    assert loss_of(view, spoilt, **plain) != loss_of(
        view, spoilt, prompt_errors=0.0, **plain
    )
    assert loss_of(view, spoilt, **taught) == loss_of(view, spoilt, **plain)


def test_objects_that_were_not_drawn_are_not_taught_to_be_background():
    squares = torch.zeros(2, 16, 16, dtype=torch.bool)
    squares[0, 2:6, 2:6] = squares[1, 8:14, 9:13] = True
    student = torch.where(squares.any(0), 4.0, -4.0).expand(2, 16, 16)
    drawn = Decoding(
        torch.where(squares[:1], 7.0, -9.0),
        torch.ones(1),
        torch.tensor([1]),
        regions=squares[:1],
    )
    teacher, heard = teacher_of_objects(student, drawn)
    assert not heard[0].any()
    assert torch.equal(heard[1], ~squares[1])
    assert torch.equal(teacher[1] > 0, squares[0])
    both = Decoding(
        torch.where(squares, 7.0, -9.0),
        torch.ones(2),
        torch.tensor([1, 1]),
        regions=squares,
    )
    teacher, heard = teacher_of_objects(student, both)
    assert heard[1].all()
    assert torch.equal(teacher[1] > 0, squares.any(0))


def test_prompts_of_objects_err_by_themselves(view):
    errors = smooth_noise(torch.arange(50), 16)
    spoilt = int((errors != 0).flatten(1).any(1).nonzero()[0])
    assert loss_of(view, spoilt, objects=True) == loss_of(
        view, spoilt, objects=True, prompt_errors=0.0
    )
