"""The encoder of GPUs, on a CPU: its arithmetic, and how it is chosen."""

from __future__ import annotations

import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_samsp.sam.architecture import Architecture, build_sam
from napari_samsp.sam.kernels import encoder_cuda as gpu_encoder
from napari_samsp.sam.kernels.encoder_cuda import WAYS, biased, choose, encode, run
from napari_samsp.utils.cancellation import StoppedError, interruptible

CPU = torch.device("cpu")

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without")


@pytest.fixture(autouse=True)
def _nothing_chosen(monkeypatch) -> None:
    monkeypatch.setattr(gpu_encoder, "_chosen", {})


def encoder_of(architecture):
    encoder = build_sam(architecture).image_encoder.eval()
    for name, parameter in encoder.named_parameters():
        # Stock weights start at zero here, which would hide a mistake.
        if "rel_pos" in name or name == "pos_embed":
            torch.nn.init.normal_(parameter, std=0.3)
    return encoder


def told(caplog) -> list[str]:
    """Our lines in the log; torch's compiler writes many."""
    ours = [record for record in caplog.records if record.name == gpu_encoder.__name__]
    return [record.getMessage() for record in ours]


@pytest.fixture
def encoder():
    """With windows that do not divide the image, and a block without."""
    torch.manual_seed(0)
    return encoder_of(Architecture(80, 8, 32, 3, 2, (1,), 4, 16, 32))


@pytest.fixture
def images():
    """Two, of which the lower and the right part are padding."""
    images = torch.randn(2, 3, 80, 80)
    images[..., 50:, :] = 0
    images[..., 70:] = 0
    return images


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=8)
@given(
    grid=st.integers(2, 9),
    window=st.integers(1, 6),
    height=st.floats(0.1, 1),
    seed=st.integers(0, 99),
)
def test_every_way_says_what_stock_says(way, grid, window, height, seed):
    torch.manual_seed(seed)
    encoder = encoder_of(Architecture(8 * grid, 8, 32, 3, 2, (1,), window, 16, 32))
    images = torch.randn(2, 3, 8 * grid, 8 * grid)
    images[..., round(height * 8 * grid) :, :] = 0
    with torch.no_grad():
        said = run(encoder, images, WAYS[way](CPU))
        assert torch.allclose(said, encoder(images), atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_is_near_in_bfloat16(way, encoder, images):
    with torch.no_grad():
        exact = encoder(images)
        with torch.autocast("cpu", torch.bfloat16):
            near = run(encoder, images, WAYS[way](CPU)).float()
    assert 0 < torch.linalg.norm(near - exact) < 0.03 * torch.linalg.norm(exact)


def test_the_one_that_is_chosen_gives_stocks_embedding(encoder, images, caplog):
    with torch.inference_mode():
        assert torch.allclose(encode(encoder, images), encoder(images), atol=1e-5)
    assert next(iter(gpu_encoder._chosen.values())) in WAYS
    assert not told(caplog)


def _slow(*tensors):
    time.sleep(0.05)
    return biased(*tensors)


def _broken(*_):
    raise RuntimeError("no kernel image\nis available")


def _wrong(q, k, v, by_row, by_col):
    return biased(q, k, v, by_row, torch.zeros_like(by_col))


@pytest.mark.parametrize(
    ("ways", "chosen", "lines"),
    [
        ({"slow": _slow, "fast": biased}, "fast", 0),
        ({"broken": _broken, "slow": _slow}, "slow", 1),
        ({"wrong": _wrong, "slow": _slow}, "slow", 1),
        ({"broken": _broken, "wrong": _wrong}, None, 2),
    ],
)
def test_the_fastest_that_is_right_is_chosen(
    encoder, images, monkeypatch, caplog, ways, chosen, lines
):
    made = {name: lambda _, attend=attend: attend for name, attend in ways.items()}
    monkeypatch.setattr(gpu_encoder, "WAYS", made)
    with torch.no_grad():
        assert choose(encoder, images) == chosen
        assert len(told(caplog)) == lines
        for _ in range(2):
            assert torch.allclose(encode(encoder, images), encoder(images), atol=1e-5)
    assert len(told(caplog)) == 2 * lines  # once a choice, and not again


def test_what_fails_later_is_left_with_one_line(encoder, images, monkeypatch, caplog):
    def of_one(q, *others):
        if len(q) % 2 == 0:
            raise RuntimeError("a batch is too much")
        return biased(q, *others)

    monkeypatch.setattr(gpu_encoder, "WAYS", {"one": lambda _: of_one})
    with torch.no_grad():
        for _ in range(2):
            assert torch.equal(encode(encoder, images), encoder(images))
    assert told(caplog) == [
        "The image encoder goes without one attention: a batch is too much"
    ]


def test_a_lack_of_memory_is_told_to_those_who_know_what_to_do(
    encoder, images, monkeypatch
):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(gpu_encoder, "WAYS", {"full": lambda _: full})
    with pytest.raises(torch.OutOfMemoryError):
        encode(encoder, images)
    assert not gpu_encoder._chosen


def test_stopping_is_no_failure(encoder, images, caplog):
    def stop():
        raise StoppedError

    with pytest.raises(StoppedError), interruptible(encoder, stop):
        encode(encoder, images)
    assert not gpu_encoder._chosen
    assert not told(caplog)
