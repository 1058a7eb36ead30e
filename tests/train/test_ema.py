from __future__ import annotations

import torch

from napari_samsp.train.ema import EMA


def test_the_mean_lies_among_the_steps_and_the_model_gets_its_own_back():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    bias = model.bias.clone()
    mean = EMA(model)
    values = torch.arange(1, 201) % 7 + 5.0
    for value in values:
        model.weight.data.fill_(value)
        mean.update()
    with mean.in_place():
        assert torch.all((model.weight - values[-100:].mean()).abs() < 0.5)
        assert torch.equal(model.bias, bias)
    assert torch.all(model.weight == values[-1])


def test_it_goes_on_from_its_state():
    model, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    mean, resumed = EMA(model), EMA(other)
    mean.update()
    resumed.restore(**mean.state())
    other.load_state_dict(model.state_dict())
    for one, its_mean in ((model, mean), (other, resumed)):
        one.weight.data.add_(1)
        its_mean.update()
    with mean.in_place(), resumed.in_place():
        assert torch.equal(model.weight, other.weight)
