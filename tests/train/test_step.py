"""Where memory is short, a step goes in parts, and its gradients stay the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator

from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.sam.architecture import Architecture, build_sam
from napari_samsp.train.config import TrainConfig
from napari_samsp.train.distributed import Processes
from napari_samsp.train.ema import EMA
from napari_samsp.train.events import EpochEnded, Noted, from_json, to_json
from napari_samsp.train.examples.augment import View
from napari_samsp.train.loop import train
from napari_samsp.train.model import ModelInTraining
from napari_samsp.train.objective.objective import Objective
from napari_samsp.train.objective.small_parts import SmallParts
from napari_samsp.train.step import Step
from napari_samsp.utils.errors import InputError

SMALL = Architecture(64, 8, 32, 2, 2, (1,), 4, prompt_dim=32, decoder_mlp_dim=64)


@pytest.fixture
def views() -> View:
    """Five images with zero to four objects, landscape and portrait."""
    labels = torch.zeros(5, 64, 64, dtype=torch.int64)
    for n in range(5):
        for k in range(n):
            labels[n, 4 + 12 * k : 12 + 12 * k, 6 : 20 + 4 * k] = k + 1
    torch.manual_seed(1)
    image = labels[:, None].clamp(max=1) * 2.0 + torch.randn(5, 3, 64, 64)
    valid = torch.tensor([[64, 40], [40, 64], [64, 64], [50, 64], [64, 64]])
    return View(image, labels, valid, torch.arange(5))


def objective(objects: bool, **settings) -> Objective:
    torch.manual_seed(0)
    model = ModelInTraining(build_sam(SMALL), "box+mask", objects)
    config = TrainConfig(objects=objects, iterations=3, **settings)
    return Objective(model, config).train()


def step_of(objective: Objective, tell=lambda _: None) -> Step:
    learning = list(objective.parameters())
    optimizer = torch.optim.SGD([{"params": learning, "peak": 0.1}])
    return Step(
        objective, learning, optimizer, EMA(objective.model),
        Processes(Accelerator(cpu=True)),
        SmallParts(objective, objective.model, tell),
    )  # fmt: skip


def gradients(objective: Objective) -> dict[str, torch.Tensor]:
    return {
        name: parameter.grad.clone()
        for name, parameter in objective.named_parameters()
        if parameter.grad is not None
    }


class Limited:
    """A device that has memory for a batch of so many images only."""

    def __init__(self, model: ModelInTraining, most: int, backward: bool) -> None:
        self.most, self.met, self._backward = most, [], backward
        model.sam.image_encoder.patch_embed.register_forward_hook(self._after)

    def _after(self, _module, _args, output):
        count = len(output)
        self.met.append(count)
        if not self._backward:
            self._check(count)
        elif output.requires_grad:
            output.register_hook(lambda _grad: self._check(count))

    def _check(self, count):
        if count > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")


def test_images_without_labels_go_in_parts_too(views):
    views = views._replace(plain=views.image.flip(0))
    views.labels[3:] = -1

    def taught(**limits):
        ours = objective(False, unlabelled="folder")
        ours.part_done = 1.0
        if limits:
            Limited(ours.model, **limits)
        loss = step_of(ours).backward(views)
        return float(loss), gradients(ours)

    (whole, expected), (parts, found) = taught(), taught(most=2, backward=False)
    assert parts == pytest.approx(whole, rel=1e-4)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("objects", [False, True])
def test_parts_have_the_gradients_of_the_whole(views, objects, backward):
    whole = objective(objects)
    whole.objects_per_step = 10_000
    expected_loss = whole(views)
    expected_loss.backward()
    expected = gradients(whole)
    parts, said, asked = objective(objects), [], []
    parts.objects_per_step = 10_000
    parts.total = lambda counts: asked.append(counts) or counts
    limited = Limited(parts.model, 2, backward)
    step = step_of(parts, said.append)
    loss = step.backward(views)
    torch.testing.assert_close(loss, expected_loss.detach(), atol=1e-5, rtol=1e-5)
    got = gradients(parts)
    assert got.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(got[name], gradient, atol=1e-5, rtol=1e-3)
    assert said == [
        "Memory was short: each step now takes 2 images at a time. That is slower."
    ]
    assert len(asked) == 1  # other processes wait for it once
    # It is remembered: the next step does not fail first.
    limited.met.clear()
    step.backward(views)
    assert max(limited.met) == 2
    assert len(said) == 1


def test_a_step_warms_up_clips_moves_the_weights_and_their_mean(views):
    ours = objective(False)
    step = step_of(ours)
    before = [p.detach().clone() for p in step.learning]
    loss = step(views, number=2, spent=0.0)
    assert loss == pytest.approx(float(objective(False)(views).detach()), rel=1e-5)
    (group,) = step.optimizer.param_groups
    assert group["lr"] == pytest.approx(0.1 * 2 / 10)  # the second of ten
    moved = [
        (old - new).detach() for old, new in zip(before, step.learning, strict=True)
    ]
    norm = torch.stack([m.norm() for m in moved]).norm()
    assert 0 < norm <= 0.1 * 2 / 10 * 1.0001
    assert step.average.steps == 1
    step(views, number=90, spent=0.75)
    assert group["lr"] == pytest.approx(0.05)  # half of the fall is over
    step(views, number=99, spent=1.0)
    assert group["lr"] == pytest.approx(0.1 * 0.02)


@pytest.mark.parametrize("backward", [False, True])
def test_parts_that_draw_more_objects_stay_a_mean(views, backward):
    ours = objective(True)
    ours.objects_per_step = 8
    expected = float(ours(views).detach())
    Limited(ours.model, 1, backward)
    loss = step_of(ours).backward(views)
    assert float(loss) == pytest.approx(expected, rel=0.3)


def test_what_is_drawn_at_random_is_drawn_alike_in_both_passes(views):
    """Else the parts would be weighed by the counts of other objects."""
    ours = objective(True)
    ours.objects_per_step = 1
    Limited(ours.model, 1, False)
    drawn = []
    terms = ours.terms

    def note(part):
        found = terms(part)
        drawn.append([values.detach().clone() for _, values in found])
        return found

    ours.terms = note
    step_of(ours).backward(views)
    first, second = drawn[-10:-5], drawn[-5:]
    for one, other in zip(first, second, strict=True):
        for a, b in zip(one, other, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize(
    "words",
    ["DefaultCPUAllocator: can't allocate memory", "could not create a primitive"],
)
def test_one_image_alone_is_kept_less_of_and_then_given_up(views, words):
    ours, said = objective(False), []
    step = step_of(ours, said.append)

    def short(_module, _args):
        raise RuntimeError(words)

    def short_unless_checkpointing(_module, _args):
        if not ours.model.checkpointing:
            short(_module, _args)

    neck = ours.model.sam.image_encoder.neck
    hook = neck.register_forward_pre_hook(short_unless_checkpointing)
    step.backward(views)
    assert [line.split("takes ")[1].split(".")[0] for line in said] == [
        "2 images at a time", "1 image at a time",
        "one image at a time, and keeps less of it",
    ]  # fmt: skip
    hook.remove()
    neck.register_forward_pre_hook(short)
    with pytest.raises(InputError, match=r"choose a smaller model.* --speed decoder"):
        step.backward(views)


def test_other_errors_are_not_hidden(views):
    ours = objective(False)

    def wrong(_module, _args):
        raise RuntimeError("shapes do not fit")

    ours.model.sam.mask_decoder.register_forward_pre_hook(wrong)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        step_of(ours, print).backward(views)


def test_a_run_goes_on_and_tells(nuclei, tmp_path):
    """On a device that can take one image at a time; the figures stay the same."""
    image, labels = nuclei
    corrections = TrainingSet(tmp_path / "set")
    for n in range(3):
        corrections.add(image[:, 20 * n :][:, :90], labels[:, 20 * n :][:, :90])
    config = TrainConfig(
        epochs=1, views=3, batch=3, threads=2, augment=False, objects=True,
        validation="0", speed="everywhere", input_size=128,
    )  # fmt: skip
    runs = []
    for most in (3, 1):
        events = []

        def limit(module, args, most=most):
            encodes = type(module).__name__ == "EfficientNetFeatures"
            if encodes and torch.is_grad_enabled() and len(args[0]) > most:
                raise torch.OutOfMemoryError("MPS backend out of memory")

        hook = torch.nn.modules.module.register_module_forward_pre_hook(limit)
        try:
            folder = tmp_path / f"run{most}"
            train(corrections.folder, folder, replace(config), report=events.append)
        finally:
            hook.remove()
        runs.append(events)
    whole, parts = runs
    notes = [event for event in parts if isinstance(event, Noted)]
    assert [note.message.split(".")[0] for note in notes] == [
        "Memory was short: each step now takes 1 image at a time"
    ]
    assert not any(isinstance(event, Noted) for event in whole)
    assert from_json(to_json(notes[0])) == notes[0]
    (one,), (other,) = (
        [event for event in events if isinstance(event, EpochEnded)] for events in runs
    )
    assert other.loss == pytest.approx(one.loss, rel=1e-3)
    assert other.dice == pytest.approx(one.dice, abs=2e-3)
