"""All objects that are like one of them, and no others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.draw import disk, rectangle

from napari_samsp.data.tiling import Tile
from napari_samsp.inference.interactive import alike
from napari_samsp.inference.interactive import clicks as clicks_module
from napari_samsp.inference.interactive.clicks import Cut
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.metrics import iou
from napari_samsp.sam import architecture
from napari_samsp.utils.errors import InputError

MINI = architecture.Architecture(
    64, 16, 32, 2, 2, (1,), 2, prompt_dim=32, decoder_mlp_dim=64
)
DISCS = [(30, 34), (36, 110), (34, 196), (110, 40), (116, 190), (60, 250), (124, 262)]
BARS = [(70, 70), (76, 150), (120, 110)]


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(device="cpu")


@pytest.fixture(scope="module")
def two_kinds() -> tuple[np.ndarray, np.ndarray]:
    """Bright discs, 1 to 7, and dark bars as large: ``(150, 290)``."""
    shape = (150, 290)
    rng = np.random.default_rng(0)
    image, truth = np.full(shape, 110.0), np.zeros(shape, int)
    for number, middle in enumerate(DISCS, 1):
        at = disk(middle, 15, shape=shape)
        image[at], truth[at] = 225, number
    for number, (row, column) in enumerate(BARS, len(DISCS) + 1):
        at = rectangle((row - 8, column - 20), extent=(17, 41), shape=shape)
        image[at], truth[at] = 15, number
    noisy = image + rng.normal(0, 5, shape)
    return noisy.clip(0, 255).astype(np.uint8), truth


def found_of(cuts: list[Cut], truth: np.ndarray) -> set[int]:
    """Numbers of the objects of the truth that are found at an IoU above 0.6."""
    whole = Tile(0, truth.shape[0], 0, truth.shape[1])
    masks = [cut.within(whole) for cut in cuts]
    return {
        int(number)
        for number in np.unique(truth[truth > 0])
        if any(iou(mask, truth == number) > 0.6 for mask in masks)
    }


@pytest.mark.parametrize("kind", ["discs", "bars"])
def test_what_is_like_it_is_found_and_nothing_else(segmenter, two_kinds, kind):
    image, truth = two_kinds
    bars = set(range(len(DISCS) + 1, len(DISCS) + len(BARS) + 1))
    wanted = set(range(1, len(DISCS) + 1)) if kind == "discs" else bars
    clicked = min(wanted)
    mine = truth == clicked
    cuts = segmenter.clicked(image).find_alike(Cut.of(mine), ~mine)
    assert found_of(cuts, truth) == wanted - {clicked}
    assert len(cuts) == len(wanted) - 1


def test_others_keep_their_pixels_and_no_two_share_one(segmenter, nuclei):
    image, labels = nuclei
    kept = np.where(np.isin(labels, (1, 2)), labels, 0)
    kept[:, 100:120] = 9  # somebody's, across others
    cuts = segmenter.clicked(image).find_alike(Cut.of(kept == 1), kept == 0)
    assert cuts
    whole = Tile(0, image.shape[0], 0, image.shape[1])
    covered = sum(cut.within(whole).astype(int) for cut in cuts)
    assert covered.max() == 1
    assert not covered[kept > 0].any()


def test_in_tiles_and_in_parts_of_a_large_image(segmenter, nuclei, monkeypatch):
    image, labels = np.tile(nuclei[0], (2, 3)), nuclei[1]
    truth = np.zeros(image.shape, int)
    height, width = labels.shape
    for n, (row, column) in enumerate((r, c) for r in range(2) for c in range(3)):
        part = labels + n * labels.max() * (labels > 0)
        truth[row * height :, column * width :][:height, :width] = part
    mine = truth == 8
    tiled = segmenter.clicked(image, tile=96).find_alike(Cut.of(mine), ~mine)
    wanted = len(np.unique(truth)) - 2
    assert len(found_of(tiled, truth)) > 0.7 * wanted
    assert len(tiled) < 1.3 * wanted
    monkeypatch.setattr(clicks_module, "WHOLE_PIXELS", 10_000)
    monkeypatch.setattr(clicks_module, "PART", 150)
    parts = segmenter.clicked(image, tile=96).find_alike(Cut.of(mine), ~mine)
    assert len(found_of(parts, truth)) > 0.6 * wanted
    assert len(parts) < 1.3 * wanted


def test_nothing_is_encoded_twice_after_segment(segmenter, nuclei):
    calls = []
    image, labels = np.tile(nuclei[0], (2, 2)), nuclei[1]
    segmenter.segment(image, 1, objects=True, tile=96)
    hook = segmenter.sam.image_encoder.register_forward_hook(lambda *_: calls.append(1))
    mine = np.pad(labels == 2, ((0, labels.shape[0]), (0, labels.shape[1])))
    segmenter.clicked(image, tile=96).find_alike(Cut.of(mine), ~mine)
    hook.remove()
    assert not calls


def test_a_region_has_nothing_to_look_for(segmenter, nuclei):
    image, labels = nuclei
    region = segmenter.clicked(image, objects=False)
    with pytest.raises(InputError, match="One region has no objects"):
        region.find_alike(Cut.of(labels == 1), labels == 0)


@pytest.mark.parametrize("kind", ["stock", "vit_t"])
def test_sams_of_other_kinds(kind, tmp_path, monkeypatch, nuclei):
    """Weights at random find nothing sensible: what they find is free, and as large."""
    image, labels = nuclei
    torch.manual_seed(0)
    monkeypatch.setitem(architecture.ARCHITECTURES, "stock", MINI)
    sam = architecture.build_sam(kind)
    path = tmp_path / "sam.pth"
    torch.save(architecture.to_stock_layout(sam.state_dict()), path)
    size = 64 if kind == "stock" else 112
    segmenter = Segmenter(path, device="cpu", input_size=size)
    monkeypatch.setattr(alike, "PEAK_LIKE", 0.0)
    monkeypatch.setattr(alike, "PEAK_SCORE", -9.0)
    monkeypatch.setattr(alike, "SCORE", -9.0)
    monkeypatch.setattr(alike, "SIZES", 200.0)
    cuts = segmenter.clicked(image).find_alike(Cut.of(labels == 1), labels == 0)
    for cut in cuts:
        assert not labels[cut.indices].any()
