"""What a training step minimises."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch

from napari_samsp.sam.architecture import Architecture, build_sam
from napari_samsp.self_prompting.decoding import Decoding
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.train.config import TrainConfig
from napari_samsp.train.examples.augment import NOT_LABELLED, View
from napari_samsp.train.objective.objective import Objective, teacher_of_objects

SMALL = Architecture(64, 8, 32, 2, 2, (1,), 4, prompt_dim=32, decoder_mlp_dim=64)


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


@pytest.mark.parametrize("objects", [False, True])
def test_the_last_iteration_teaches_the_first(view, objects):
    torch.manual_seed(0)
    model = SelfPrompting(build_sam(SMALL), objects=objects).eval()

    def loss(distill, iterations=2):
        config = TrainConfig(
            distill=distill, iterations=iterations, true_prompts=0, objects=objects
        )
        torch.manual_seed(0)  # of many objects some are drawn
        return float(Objective(model, config)(view).detach())

    taught = loss(1) - loss(0)
    assert taught > 0
    assert loss(2) - loss(0) == pytest.approx(2 * taught, rel=1e-3)
    # One iteration has nothing to teach itself.
    assert loss(1, iterations=1) == loss(0, iterations=1)


@pytest.mark.parametrize("objects", [False, True])
def test_an_image_without_labels_is_taught_by_the_teachers_weights(view, objects):
    torch.manual_seed(0)
    model = SelfPrompting(build_sam(SMALL), objects=objects).eval()
    config = TrainConfig(unlabelled="folder", objects=objects, true_prompts=0)
    entered = []

    @contextmanager
    def other_weights():
        head = model.sam.mask_decoder.output_upscaling[3].bias
        entered.append(torch.is_grad_enabled())
        with torch.no_grad():
            head -= 1
        yield
        with torch.no_grad():
            head += 1

    both = View(*(torch.cat([part, part]) for part in view[:4]))
    both.labels[1] = NOT_LABELLED
    both = both._replace(plain=both.image)

    objective = Objective(model, config, teacher=other_weights)
    # Not while the teacher knows nothing yet.
    assert [len(losses) for _, losses in objective.terms(both)][-1] == 0
    assert not entered
    objective.part_done = 1.0
    *labelled, (weight, losses) = objective.terms(both)
    assert entered == [False]
    assert len(losses) == 1
    assert weight * float(losses.detach()) > 1e-4
    # The labels teach as they do alone.
    alone = objective.terms(view._replace(plain=view.image))
    assert [len(found) for _, found in labelled[:1]] == [len(alone[0][1])]
    assert float(labelled[0][1].detach()) == pytest.approx(float(alone[0][1].detach()))


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
