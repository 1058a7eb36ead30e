from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import torch
from torch.nn import functional as F

from napari_samsp import models as command
from napari_samsp.sam import architecture as sam
from napari_samsp.sam.checkpoints import load_sam, load_state_dict
from napari_samsp.sam.networks.distance_decoder import DistanceDecoder
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

MINI = sam.Architecture(64, 16, 32, 2, 2, (1,), 2, prompt_dim=32, decoder_mlp_dim=64)
WIDTH = 4

State = dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def mini(monkeypatch) -> None:
    monkeypatch.setitem(sam.ARCHITECTURES, "mini", MINI)


@pytest.fixture(scope="module")
def stock() -> State:
    """A small random SAM in SAM's own layout."""
    torch.manual_seed(0)
    return sam.to_stock_layout(sam.build_sam(MINI).state_dict())


def published_state(transposed: bool, seed: int = 0) -> State:
    """Random weights under the names that micro-sam gives them, counters included."""
    torch.manual_seed(seed)
    c = [8 * WIDTH, 4 * WIDTH, 2 * WIDTH, WIDTH]
    state: State = {}

    def conv(name: str, channels: int, out: int, side: int, swap: bool = False) -> None:
        sizes = (channels, out) if swap else (out, channels)
        state[f"{name}.weight"] = torch.randn(*sizes, side, side) * 0.2
        state[f"{name}.bias"] = torch.randn(out) * 0.2

    def enlarge(name: str, channels: int, out: int) -> None:
        if transposed:
            conv(f"{name}.block", channels, out, 2, swap=True)
        else:
            conv(f"{name}.conv", channels, out, 1)

    def twice(name: str, channels: int, out: int) -> None:
        conv(f"{name}.block.1", channels, out, 3)
        conv(f"{name}.block.4", out, out, 3)

    for n, (channels, out) in enumerate(zip([32, *c], c, strict=False), start=1):
        name = f"deconv{n}.block"
        enlarge(f"{name}.0", channels, out)
        conv(f"{name}.1.block", out, out, 3)
        state[f"{name}.2.weight"] = torch.rand(out) + 0.5
        state[f"{name}.2.bias"] = torch.randn(out) * 0.2
        state[f"{name}.2.running_mean"] = torch.randn(out) * 0.2
        state[f"{name}.2.running_var"] = torch.rand(out) + 0.5
        state[f"{name}.2.num_batches_tracked"] = torch.tensor(9)
    twice("base", 32, c[0])
    for n in range(3):
        twice(f"decoder.blocks.{n}", c[n], c[n + 1])
        enlarge(f"decoder.samplers.{n}", c[n], c[n + 1])
    enlarge("deconv_out", c[3], c[3])
    twice("decoder_head", 2 * c[3], c[3])
    conv("out_conv", c[3], 3, 1)
    return state


def published_order(state: State, x: Tensor) -> Tensor:
    """The layers as micro-sam's documentation and torch_em have them, one by one.

    Held against their code at full width with random weights: both kinds agree to
    1.3e-6 of probabilities (micro-sam 1.8.14, torch_em 0.10.9).
    """

    def conv(name: str, x: Tensor) -> Tensor:
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def enlarge(name: str, x: Tensor) -> Tensor:
        if f"{name}.block.weight" in state:
            weight, bias = state[f"{name}.block.weight"], state[f"{name}.block.bias"]
            return F.conv_transpose2d(x, weight, bias, stride=2)
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return conv(f"{name}.conv", x)

    def twice(name: str, x: Tensor) -> Tensor:
        x = conv(f"{name}.block.1", F.instance_norm(x)).relu()
        return conv(f"{name}.block.4", F.instance_norm(x)).relu()

    def step(name: str, x: Tensor) -> Tensor:
        x = conv(f"{name}.block.1.block", enlarge(f"{name}.block.0", x))
        norm = [
            state[f"{name}.block.2.{part}"]
            for part in ("running_mean", "running_var", "weight", "bias")
        ]
        return F.batch_norm(x, *norm, training=False).relu()

    z9 = step("deconv1", x)
    z6 = step("deconv2", z9)
    z3 = step("deconv3", z6)
    z0 = step("deconv4", z3)
    x = twice("base", x)
    for n, other in enumerate((z9, z6, z3)):
        x = enlarge(f"decoder.samplers.{n}", x)
        first = (other.shape[1] - x.shape[1]) // 2
        other = other[:, first : first + x.shape[1]]
        x = twice(f"decoder.blocks.{n}", torch.cat([x, other], 1))
    x = twice("decoder_head", torch.cat([enlarge("deconv_out", x), z0], 1))
    return conv("out_conv", x).sigmoid()


@pytest.mark.parametrize("transposed", [False, True])
def test_its_numbers_are_those_of_the_published_layers(transposed: bool) -> None:
    state = published_state(transposed)
    embedding = torch.randn(2, 32, 5, 7)
    weights = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    decoder = DistanceDecoder.of(weights)
    assert decoder is not None
    with torch.inference_mode():
        said, expected = decoder(embedding), published_order(state, embedding)
    assert said.shape == (2, 3, 80, 112)
    assert expected.std() > 0.02
    torch.testing.assert_close(said, expected, atol=1e-5, rtol=0)


def test_at_micro_sams_width_the_tensors_are_those_of_its_files() -> None:
    """38 and 44 million bytes, which a download may have."""
    for transposed, size in ((False, 38_372_652), (True, 44_123_436)):
        with torch.device("meta"):
            decoder = DistanceDecoder(transposed=transposed)
        steps = 4  # each with a counter of 8 bytes
        tensors = decoder.state_dict().values()
        assert sum(4 * t.numel() for t in tensors) + 8 * steps == size


@pytest.mark.parametrize("transposed", [False, True])
def test_a_checkpoint_that_has_both(tmp_path, stock, transposed) -> None:
    path = tmp_path / "both.pt"
    state = published_state(transposed)
    torch.save({"model_state": stock, "decoder_state": state}, path)
    loaded = load_sam(str(path))
    assert loaded.note == ""
    assert loaded.distances is not None
    assert not loaded.distances.training
    embedding = torch.randn(1, 32, 4, 4)
    torch.testing.assert_close(
        loaded.distances(embedding), published_order(state, embedding)
    )


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_decoder_in_a_file_beside(tmp_path, stock, capsys, wrapped) -> None:
    torch.save(stock, tmp_path / "cells.pt")
    assert load_sam(str(tmp_path / "cells.pt")).distances is None
    state = published_state(False)
    content = {"decoder_state": state} if wrapped else state
    torch.save(content, tmp_path / "cells_decoder.pt")
    assert load_sam(str(tmp_path / "cells.pt")).distances is not None
    command.main(["info", str(tmp_path / "cells.pt")])
    assert "decoder       for distances" in capsys.readouterr().out


def test_that_in_the_checkpoint_counts_more_than_one_beside(tmp_path, stock) -> None:
    path, state = tmp_path / "cells.pt", published_state(False)
    torch.save({"model_state": stock, "decoder_state": state}, path)
    torch.save(published_state(False, seed=1), tmp_path / "cells_decoder.pt")
    loaded = load_sam(str(path)).distances
    assert loaded is not None
    assert torch.equal(loaded.out_conv.weight, state["out_conv.weight"])


def test_sam_itself_stays_what_stock_programs_load(tmp_path, stock) -> None:
    path = tmp_path / "both.pt"
    torch.save({"model_state": stock, "decoder_state": published_state(False)}, path)
    assert load_state_dict(path).keys() == stock.keys()
    plain = sam.to_stock_layout(load_sam(str(path)).sam.state_dict())
    assert plain.keys() == stock.keys()
    assert all(torch.equal(plain[k], v) for k, v in stock.items())


def test_of_another_kind_it_is_left_out_and_said(tmp_path, stock) -> None:
    path = tmp_path / "both.pt"
    state = published_state(False)
    for wrong in (
        {k: v for k, v in state.items() if k != "base.block.1.bias"},
        state | {"out_conv.weight": torch.ones(4, WIDTH, 1, 1)},
        state | {"deconv5.weight": torch.ones(1)},
        {"x": torch.ones(1)},
    ):
        torch.save({"model_state": stock, "decoder_state": wrong}, path)
        loaded = load_sam(str(path))
        assert loaded.distances is None
        assert loaded.note == (
            "Left out: a second decoder of a kind that is not known here."
        )


def test_of_another_embedding_it_is_left_out(tmp_path, stock, monkeypatch) -> None:
    wider = sam.Architecture(64, 16, 48, 2, 2, (1,), 2, 48, 64)
    monkeypatch.setitem(sam.ARCHITECTURES, "wider", wider)
    state = sam.to_stock_layout(sam.build_sam(wider).state_dict())
    torch.save(state, tmp_path / "cells.pt")
    torch.save(published_state(False), tmp_path / "cells_decoder.pt")
    loaded = load_sam(str(tmp_path / "cells.pt"))
    assert loaded.distances is None
    assert "in cells_decoder.pt of a kind that is not known" in loaded.note


class Mine:
    """Runs when it is unpickled without care."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


def test_a_broken_file_beside_is_told(tmp_path, stock) -> None:
    path, beside = tmp_path / "cells.pt", tmp_path / "cells_decoder.pt"
    torch.save(stock, path)
    torch.save(published_state(False), beside)
    os.truncate(beside, beside.stat().st_size // 2)
    with pytest.raises(InputError, match=r"cells_decoder.pt .*cut short"):
        load_sam(str(path))
    torch.save({"out_conv.weight": Mine(tmp_path / "ran")}, beside)
    with pytest.raises(InputError, match=r"cells_decoder.pt holds Python objects"):
        load_sam(str(path))
    assert not (tmp_path / "ran").exists()
    state = published_state(False)
    state["base.block.1.bias"][0] = torch.nan
    torch.save(state, beside)
    with pytest.raises(InputError, match=r"cells_decoder.pt is broken: 1 of its"):
        load_sam(str(path))


def test_what_claims_more_than_it_holds_is_refused(tmp_path, stock) -> None:
    path, state = tmp_path / "cells.pt", published_state(False)
    state["out_conv.weight"] = torch.ones(1).expand(3, 1 << 30, 1, 1)
    torch.save({"model_state": stock, "decoder_state": state}, path)
    with pytest.raises(InputError, match="not plain floating-point numbers"):
        load_sam(str(path))
