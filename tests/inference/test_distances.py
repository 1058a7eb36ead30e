"""Separate objects with a checkpoint that brings micro-sam's distance decoder."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import draw
from torch.nn import functional as F

from napari_samsp import Segmenter
from napari_samsp.batch.fingerprint import fingerprint
from napari_samsp.batch.job import Settings
from napari_samsp.data.rgb import Scaling
from napari_samsp.sam import architecture as sam
from napari_samsp.sam.adapters.adapter import add_lora, save_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.sam.networks.distance_decoder import DistanceDecoder
from napari_samsp.self_prompting.instances import cut_at_necks, parts_of_distances
from napari_samsp.self_prompting.letterbox import to_model_input
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.utils.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

MINI = sam.Architecture(128, 16, 32, 2, 2, (1,), 2, prompt_dim=32, decoder_mlp_dim=64)
STEPS, LEARNT = 200, 0.07
"""Of the decoder at most, and the loss that is enough: the targets' own is 0.06."""
BOXES = ((13, 15, 48, 49), (58, 36, 87, 76), (87, 36, 116, 76))
"""Of the three objects: x0, y0, x1, y1."""


@pytest.fixture(autouse=True)
def mini(monkeypatch) -> None:
    monkeypatch.setitem(sam.ARCHITECTURES, "mini", MINI)


def cells() -> np.ndarray:
    """``(96, 128)`` labels of a disc, and of two that share so much that none is
    narrower where they meet."""
    labels = np.zeros((96, 128), int)
    labels[draw.disk((32, 31), 17)] = 1
    pair = np.zeros(labels.shape, bool)
    pair[draw.disk((56, 78), 20)] = pair[draw.disk((56, 96), 20)] = True
    left = np.indices(labels.shape)[1] < 87
    labels[pair & left], labels[pair & ~left] = 2, 3
    return labels


def targets(labels: np.ndarray) -> np.ndarray:
    """``(3, Y, X)`` foreground, distance to the centre and to what lies deepest."""
    out = np.stack([labels > 0, labels >= 0, labels >= 0]).astype(np.float32)
    rows, columns = np.indices(labels.shape)
    for number in range(1, labels.max() + 1):
        here = labels == number
        y, x = ndimage.center_of_mass(here)
        away = np.hypot(rows - y, columns - x)
        depth = ndimage.distance_transform_edt(here)
        out[1][here] = (away / away[here].max())[here]
        out[2][here] = (1 - depth / depth.max())[here]
    return out


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Three bright cells, two of which touch."""
    noise = np.random.default_rng(0).normal(0, 8, (96, 128))
    return (np.where(cells() > 0, 170, 30) + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def files(image, tmp_path_factory) -> tuple[Path, Path]:
    """A random SAM without, and with, a decoder that has learnt this image by heart."""
    return fit(image, tmp_path_factory.mktemp("models"))


def fit(image: np.ndarray, folder: Path) -> tuple[Path, Path]:
    torch.manual_seed(0)
    model = sam.build_sam(MINI)
    decoder = DistanceDecoder(32, 8, transposed=True)
    shown, _ = to_model_input(np.stack([image] * 3, -1), 128)
    with torch.no_grad():
        embedding = model.image_encoder(shown[None])
    truth = torch.ones(1, 3, 128, 128)
    truth[0, 0, 96:] = 0
    truth[0, :, :96] = torch.from_numpy(targets(cells()))
    optimiser = torch.optim.Adam(decoder.parameters(), 5e-3)
    for _ in range(STEPS):
        loss = F.binary_cross_entropy(decoder(embedding), truth)
        if loss < LEARNT:
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    state = sam.to_stock_layout(model.state_dict())
    plain, both = folder / "plain.pt", folder / "both.pt"
    torch.save(state, plain)
    torch.save({"model_state": state, "decoder_state": decoder.state_dict()}, both)
    return plain, both


RAW = Scaling("none")


def segmenter(file: Path, **settings) -> Segmenter:
    return Segmenter(
        file, device="cpu", scaling=settings.pop("scaling", RAW), **settings
    )


def test_cells_that_touch_are_told_apart_at_once(files, image) -> None:
    (first,) = segmenter(files[1]).segment(image, 1, objects=True, tile="off")
    truth = cells()
    assert first.labels.max() == 3
    assert first.prompt is None
    for number in (1, 2, 3):
        found = first.labels == np.bincount(first.labels[truth == number]).argmax()
        here = truth == number
        assert (found & here).sum() / (found | here).sum() > 0.8
    assert first.score > 0.8


def test_by_their_outline_alone_they_would_be_one(files, image) -> None:
    loaded = load_sam(str(files[1]))
    model = SelfPrompting(loaded.sam, objects=True, distances=loaded.distances)
    shown, valid = to_model_input(np.stack([image] * 3, -1), 128)
    with torch.inference_mode():
        whole = model.decode_unprompted(model.encode(shown[None]))
        assert int(cut_at_necks(whole.logits).max()) == 2
        assert int(model.parts(whole, valid[None]).max()) == 3


def test_each_part_is_prompted_and_then_all_goes_on_as_ever(files, image) -> None:
    loaded = load_sam(str(files[1]))
    model = SelfPrompting(loaded.sam, objects=True, distances=loaded.distances)
    shown, valid = to_model_input(np.stack([image] * 3, -1), 128)
    with torch.inference_mode():
        embedding = model.encode(shown[None])
        first, second, third = model.iterate(embedding, valid[None], 3)
        prompt, index, _ = model.next_prompt(second, valid[None])
        expected = model.decode(embedding, index, prompt).distinct()
    assert len(first.logits) == 3
    assert second.prompt is not None
    boxes = second.prompt.boxes
    assert boxes is not None
    # As they come; random weights may answer two prompts alike.
    for box in boxes:
        nearest = (torch.tensor(BOXES) - box).abs().amax(1).min()
        assert nearest <= 6
    assert torch.equal(third.logits, expected.logits)


def test_regions_do_not_ask_it(files, image) -> None:
    plain, both = (segmenter(file).segment(image, 2, tile="off") for file in files)
    for one, other in zip(plain, both, strict=True):
        assert np.array_equal(one.logits, other.logits)
        assert one.score == other.score


def test_padding_is_no_object(files, image) -> None:
    loaded = load_sam(str(files[1]))
    model = SelfPrompting(loaded.sam, objects=True, distances=loaded.distances)
    shown, valid = to_model_input(np.stack([image] * 3, -1), 128)
    with torch.inference_mode():
        whole = model.decode_unprompted(model.encode(shown[None]))
        everywhere = replace(
            whole,
            logits=torch.ones_like(whole.logits),
            distances=torch.zeros_like(whole.distances),
        )
        parts = model.parts(everywhere, valid[None])[0]
    assert bool(parts[:24].all())
    assert not bool(parts[24:].any())


def test_with_an_adapter_it_is_not_asked(files, image, tmp_path) -> None:
    plain, both = files
    loaded = load_sam(str(both))
    peft = add_lora(loaded.sam, 2, loaded.name)
    card = AdapterCard(
        base=loaded.name, base_sha256=loaded.sha256, image_size=128, scaling=RAW,
        objects=True,
    )  # fmt: skip
    save_adapter(peft, tmp_path / "adapter", card)
    adapted = Segmenter(both, tmp_path / "adapter", "cpu")
    assert adapted.distances is None
    (said,) = adapted.segment(image, 1, objects=True, tile="off")
    (expected,) = segmenter(plain).segment(image, 1, objects=True, tile="off")
    np.testing.assert_allclose(said.logits, expected.logits, atol=1e-4)


def test_new_objects_of_a_stack_are_told_apart_too(files, image) -> None:
    """A slice whose first cell is known from the slice before."""
    model = segmenter(files[1])
    (before,) = model.segment(image, 1, objects=True, tile="off")
    known = np.where(before.labels == before.labels[32, 31], before.labels, 0)
    before = replace(before, labels=known, logits=np.where(known > 0, 9.0, -9.0))
    (first,) = model.iterate(image, 1, objects=True, tile="off", before=before)
    left, right = first.labels[56, 75], first.labels[56, 99]
    assert left
    assert right
    assert left != right


def test_foreground_without_an_inside_is_no_object() -> None:
    logits = torch.full((1, 12, 20), -5.0)
    logits[0, 2:10, 2:10] = logits[0, 4:8, 13:17] = 5
    distances = torch.ones(1, 2, 12, 20)
    distances[0, :, 5:7, 5:7] = 0.2
    distances[0, 0, 5, 15] = 0.2  # of the two, only one
    parts = parts_of_distances(logits, distances)
    assert parts.unique().tolist() == [0, 1]
    assert torch.equal(parts[0, :, :11] > 0, logits[0, :, :11] > 0)


def test_a_run_can_be_stopped_within_the_decoder(files, image) -> None:
    model = segmenter(files[1])
    beats: list[float] = []
    loaded = model.distances
    assert loaded is not None
    shown, _ = to_model_input(np.stack([image] * 3, -1), 128)
    with Progress(beats.append).within(model.sam, loaded), torch.inference_mode():
        loaded(model.sam.image_encoder(shown[None]))
    assert len(beats) > 20
    assert set(loaded.modules()) < set(model.networks.modules())


def test_labels_made_with_another_decoder_are_made_anew() -> None:
    settings = Settings(model="m", objects=True)
    plain = fingerprint(settings, "1" * 64)
    assert fingerprint(settings, "1" * 64, decoder="2" * 64) != plain
    # Where it is not used it does not count.
    assert fingerprint(settings, "1" * 64, "3" * 64, decoder="2" * 64) == fingerprint(
        settings, "1" * 64, "3" * 64
    )
    regions = replace(settings, objects=False)
    assert fingerprint(regions, "1", decoder="2") == fingerprint(regions, "1")
