"""One object at a time from clicks, and where the model looks for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_samsp.data.tiling import Grid, Tile
from napari_samsp.inference.interactive import clicks as clicks_module
from napari_samsp.inference.interactive.clicks import Clicks, Cut
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.metrics import iou
from napari_samsp.utils.errors import InputError


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(device="cpu")


@pytest.fixture
def encodings(segmenter):
    """Grows with every call of the image encoder."""
    calls: list[tuple[int, ...]] = []
    hook = segmenter.sam.image_encoder.register_forward_hook(
        lambda _module, images, _output: calls.append(tuple(images[0].shape))
    )
    yield calls
    hook.remove()


def on(labels: np.ndarray, label: int) -> tuple[float, float]:
    """The deepest pixel of an object."""
    depth = ndimage.distance_transform_edt(np.pad(labels == label, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return float(row), float(column)


def as_image(cut: Cut, shape: tuple[int, int]) -> np.ndarray:
    return cut.within(Tile(0, shape[0], 0, shape[1]))


def test_a_click_finds_the_object_under_it(segmenter, nuclei):
    image, labels = nuclei
    clicked = segmenter.clicked(image)
    for label in range(1, 7):
        found = clicked.segment(Clicks((on(labels, label),), (True,)), 3)
        assert iou(as_image(found, image.shape), labels == label) > 0.75, label
        assert 0 < found.score <= 1.1


def test_a_box_does_too_also_one_that_reaches_out_of_the_image(segmenter, nuclei):
    image, labels = nuclei
    known = Cut.of(labels == 3).place
    box = (known.top - 20.0, known.left - 2.0, known.bottom + 2.0, known.right + 2.0)
    found = segmenter.clicked(image).segment(Clicks(box=box), 2)
    assert iou(as_image(found, image.shape), labels == 3) > 0.75


def test_of_an_image_seen_whole_it_is_what_prompt_gives(segmenter, nuclei):
    image, labels = nuclei
    place = on(labels, 4)
    (step,) = segmenter.prompt(image, points=[[place]])
    found = segmenter.clicked(image, tile="off").segment(Clicks((place,), (True,)))
    parts, _ = ndimage.label(step.labels)
    assert np.array_equal(as_image(found, image.shape), parts == parts[68:73, 30].max())


def test_after_segment_nothing_is_encoded_again(segmenter, nuclei, encodings):
    image, labels = np.tile(nuclei[0], (3, 3)), np.tile(nuclei[1], (3, 3))
    segmenter.segment(image, 2, objects=True)
    assert encodings
    encodings.clear()
    clicked = segmenter.clicked(image, objects=True)
    clicked.prepare()
    found = clicked.segment(Clicks((on(labels[96:192], 2),), (True,)), 2)
    assert found
    assert not encodings


def test_an_object_that_a_tile_cuts_is_seen_whole(segmenter, nuclei):
    rows, columns = np.ogrid[:300, :420]
    disc = (rows - 150) ** 2 + (columns - 260) ** 2 < 60**2
    noise = np.random.default_rng(0).normal(0, 8, disc.shape)
    image = (np.where(disc, 170, 30) + noise).clip(0, 255).astype(np.uint8)
    clicked = segmenter.clicked(image, tile=160)
    found = clicked.segment(Clicks(((150, 260),), (True,)), 2)
    assert iou(as_image(found, image.shape), disc) > 0.8


def test_of_a_large_image_a_part_is_read(segmenter, nuclei, monkeypatch):
    monkeypatch.setattr(clicks_module, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(clicks_module, "PART", 200)
    monkeypatch.setattr(clicks_module, "LIMITS_SIDE", 24)

    class Lazy:
        """Tells what is read of it."""

        pixels = np.tile(nuclei[0], (4, 4))
        shape, dtype = pixels.shape, pixels.dtype

        def __init__(self):
            self.windows = []

        def __getitem__(self, window):
            part = self.pixels[window]
            self.windows.append(part.shape)
            return part

    labels = np.zeros(Lazy.shape, np.int32)
    labels[192:288, 320:480] = nuclei[1]
    image = Lazy()
    clicked = segmenter.clicked(image)
    found = clicked.segment(Clicks((on(labels, 5),), (True,)), 2)
    assert iou(as_image(found, Lazy.shape), labels == 5) > 0.75
    assert max(max(shape) for shape in image.windows) <= 200
    read = len(image.windows)
    clicked.segment(Clicks((on(labels, 5),), (True,)), 2)
    assert len(image.windows) == read


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_colours_and_pixels_without_data(segmenter, nuclei, dtype):
    image = np.stack([nuclei[0]] * 3, -1).astype(dtype)
    hole = np.zeros(nuclei[1].shape, bool)
    if dtype is np.float32:
        hole[66:70] = True
        image[hole] = np.nan
    with (
        pytest.warns(UserWarning, match="not a number")
        if hole.any()
        else (pytest.MonkeyPatch.context())
    ):
        clicked = segmenter.clicked(image)
        found = clicked.segment(Clicks((on(nuclei[1], 6),), (True,)), 2)
    mask = as_image(found, hole.shape)
    assert mask.any() and not mask[hole].any()


@pytest.mark.parametrize("seed", range(12))
def test_a_click_on_a_known_mask_is_always_heeded(segmenter, nuclei, seed):
    """Also against what the model sees: a click without effect is the worst answer."""
    image, labels = nuclei
    rng = np.random.default_rng(seed)
    label = int(rng.integers(1, labels.max() + 1))
    known = Cut.of(labels == label)
    points, inside = [], []
    for _ in range(3):
        belongs = bool(rng.random() < 0.5)
        # Beside the object and within it, near its border and away from it.
        near = ndimage.binary_dilation(labels == label, iterations=8)
        wrong = near & (as_image(known, image.shape) != belongs)
        if not wrong.any():
            continue
        row, column = rng.choice(np.argwhere(wrong))
        points.append((float(row), float(column)))
        inside.append(belongs)
        clicks = Clicks(tuple(points), tuple(inside), mask=known)
        found = as_image(segmenter.clicked(image).segment(clicks), image.shape)
        for (y, x), said in zip(points, inside, strict=True):
            assert found[int(y), int(x)] == said
        assert (found != as_image(known, image.shape)).any()
        known = Cut.of(found)
        if not known:
            break


def test_clicks_come_closer_one_by_one(segmenter, nuclei):
    """Half of an object grows to all of it, though the model trusts that half."""
    image, labels = nuclei
    truth = labels == 3
    rows = np.flatnonzero(truth.any(1))
    start = truth.copy()
    start[: rows[len(rows) // 2]] = False
    missing = ndimage.distance_transform_edt(truth & ~start)
    place = np.unravel_index(missing.argmax(), missing.shape)
    clicks = Clicks(((float(place[0]), float(place[1])),), (True,), mask=Cut.of(start))
    found = as_image(segmenter.clicked(image).segment(clicks, 3), image.shape)
    assert iou(found, truth) > iou(start, truth) + 0.1


def test_what_looks_like_the_clicked_place_follows(segmenter):
    """A quarter of a bar is known; one click, and nearly all of it is there."""
    rows, columns = np.ogrid[:150, :210]
    bar = (abs(rows - 75) < 22) & (abs(columns - 105) < 80)
    noise = np.random.default_rng(0).normal(0, 8, bar.shape)
    image = (np.where(bar, 170, 30) + noise).clip(0, 255).astype(np.uint8)
    for column in (85.0, 115.0):
        clicks = Clicks(((75.0, column),), (True,), mask=Cut.of(bar & (columns < 65)))
        found = as_image(segmenter.clicked(image).segment(clicks), image.shape)
        assert iou(found, bar) > 0.9  # 0.88 without


@pytest.mark.parametrize("seed", range(6))
def test_a_click_changes_the_object_there_and_not_elsewhere(segmenter, nuclei, seed):
    """All nuclei are one region; one is missing, and none is as it should be."""
    image, labels = nuclei
    rng = np.random.default_rng(seed)
    label = int(rng.integers(1, labels.max() + 1))
    rough = ndimage.gaussian_filter(rng.normal(size=labels.shape), 3) > 0.06
    known = ((labels > 0) ^ rough) & (labels != label)
    place = on(labels, label)
    clicks = Clicks((place,), (True,), mask=Cut.of(known))
    found = as_image(segmenter.clicked(image).segment(clicks), image.shape)
    parts, _ = ndimage.label(found != known, np.ones((3, 3)))
    assert parts.max() <= 1
    assert found[int(place[0]), int(place[1])]


def test_touching_objects_are_split_at_clicks(segmenter):
    rows, columns = np.ogrid[:120, :200]
    left = (rows - 60) ** 2 + (columns - 78) ** 2 < 26**2
    right = (rows - 60) ** 2 + (columns - 122) ** 2 < 26**2
    noise = np.random.default_rng(0).normal(0, 8, left.shape)
    image = (np.where(left | right, 170, 30) + noise).clip(0, 255).astype(np.uint8)
    both = Cut.of(left | right)
    parts = segmenter.clicked(image).split(both, ((58, 70), (61, 130)))
    one, other = (as_image(part, image.shape) for part in parts)
    assert one[58, 70] and other[61, 130]
    assert not (one & other).any()
    assert np.array_equal(one | other, left | right)
    assert iou(one, left) > 0.85 and iou(other, right) > 0.85
    with pytest.raises(InputError, match="Click in the object"):
        segmenter.clicked(image).split(both, ((58, 70), (2, 3)))


def test_what_cannot_be_segmented_is_named(segmenter, nuclei):
    with pytest.raises(InputError, match="nothing to segment: click"):
        segmenter.clicked(nuclei[0]).segment(Clicks())
    with pytest.raises(InputError, match="constant"):
        segmenter.clicked(np.ones((30, 40))).prepare()


@given(st.integers(0, 2**32), st.integers(-5, 5), st.integers(-5, 5))
def test_a_cut_is_the_mask_wherever_it_is_looked_at(seed, rows, columns):
    rng = np.random.default_rng(seed)
    mask = rng.random((9, 13)) > rng.choice([0.5, 0.9, 1.0])
    cut = Cut.of(mask)
    assert bool(cut) == mask.any()
    assert np.array_equal(as_image(cut, mask.shape), mask)
    assert np.array_equal(cut.indices, np.nonzero(mask))
    around = np.pad(mask, 20)
    place = Tile(rows, rows + 7, columns, columns + 6)
    seen = around[20 + rows : 27 + rows, 20 + columns : 26 + columns]
    assert np.array_equal(cut.within(place), seen)
    assert np.array_equal(cut.shifted(rows, columns).within(place), np.pad(
        mask, 20)[20 : 27, 20 : 26])  # fmt: skip


@given(
    st.integers(1, 300), st.integers(1, 300), st.integers(1, 90), st.floats(0, 1),
    st.floats(0, 1),
)  # fmt: skip
def test_the_tile_at_a_place_has_it_in_its_core(height, width, size, down, across):
    grid = Grid((height, width), size)
    row, column = int(down * (height - 1)), int(across * (width - 1))
    tile = grid.at(row, column)
    assert tile in grid.tiles
    core = np.zeros(grid.shape, int)
    core[tile.window][grid.core(tile)] = 1
    assert core[row, column]
