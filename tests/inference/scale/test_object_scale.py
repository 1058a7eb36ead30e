from __future__ import annotations

import dask.array
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import measure
from skimage.draw import disk
from skimage.transform import downscale_local_mean

from napari_samsp.data.lazy_rgb import LazyRGB
from napari_samsp.data.rgb import Scaling, as_lazy_rgb
from napari_samsp.inference.scale.field_of_view import field_of_view
from napari_samsp.inference.scale.object_scale import (
    CLOSEST,
    ObjectScale,
    Seen,
    check_object_size,
    estimate_field_of_view,
    field_for,
    mean_object_width,
)
from napari_samsp.inference.scale.structure import Structure
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.inference.tile_encoder import TileEncoder
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.utils.errors import InputError

SIZE, PATCH = 256, 16


def discs(shape, diameter, spacing):
    labels = np.zeros(shape, int)
    for n, (y, x) in enumerate(
        (y, x)
        for y in range(spacing // 2, shape[0], spacing)
        for x in range(spacing // 2, shape[1], spacing)
    ):
        labels[disk((y, x), diameter / 2, shape=shape)] = n + 1
    return labels


@given(diameter=st.integers(10, 80))
def test_the_width_of_discs_grows_with_their_diameter_not_with_their_number(diameter):
    few = discs((200, 300), diameter, 150)
    many = discs((200, 300), diameter, 100)
    for labels in (few, many):
        assert mean_object_width(labels) == pytest.approx(diameter, rel=0.12)


def test_width_of_filaments_nothing_and_everything():
    stripes = np.zeros((100, 160), bool)
    stripes[:, ::40] = stripes[:, 1::40] = stripes[:, 2::40] = True
    assert mean_object_width(stripes[:, 5:]) == pytest.approx(24 / np.pi)
    assert mean_object_width(np.zeros((4, 6))) == 0
    assert mean_object_width(np.ones((4, 6))) == np.inf


def test_touching_objects_are_as_wide_as_single_ones():
    labels = np.zeros((60, 90), int)
    labels[20:40, 20:40], labels[20:40, 40:60] = 1, 2
    assert mean_object_width(labels) == pytest.approx(80 / np.pi)
    assert mean_object_width(labels > 0) > 100 / np.pi


@given(
    width=st.one_of(st.floats(0.1, 5000), st.just(np.inf)),
    shape=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
)
def test_a_field_is_the_whole_image_or_clearly_less(width, shape):
    field = field_for(width, shape, SIZE, PATCH)
    assert field == max(shape) or SIZE // CLOSEST <= field <= max(shape) / 1.49


def one_model(labels):
    """What an ideal model says at 64 cells: cells that are covered at least half.

    Objects of less than four cells are a cloud to it, and it does not believe in it.
    """

    def see(tiles):
        for tile in tiles:
            part = labels[tile.window]
            step = max(1, max(part.shape) // 64)
            seen = measure.label(downscale_local_mean(part > 0, (step, step)) > 0.5)
            areas = np.bincount(seen.ravel())[1:]
            yield Seen(seen, np.where(areas >= 16, 0.9, 0.1))

    return lambda tiles: list(see(tiles))


def picture_of(labels, seed=0):
    noise = np.random.default_rng(seed).normal(0, 5, labels.shape)
    gray = np.where(labels > 0, 170, 40) + noise
    return np.repeat(gray.clip(0, 255).astype(np.uint8)[..., None], 3, -1)


def estimate(labels, objects=True):
    return estimate_field_of_view(
        one_model(labels), picture_of(labels), SIZE, PATCH, objects
    )


@pytest.mark.parametrize("shape", [(600, 900), (1300, 1000), (300, 400)])
@pytest.mark.parametrize("diameter", [24, 40])
@pytest.mark.parametrize("objects", [True, False])
def test_objects_of_any_part_of_the_image_are_measured(shape, diameter, objects):
    labels = discs(shape, diameter, 60)
    found = estimate(labels, objects)
    assert found.certain
    assert found.object_size == pytest.approx(diameter, rel=0.3)
    wanted = field_for(diameter, shape, SIZE, PATCH)
    if not objects and shape == (300, 400) and diameter == 40:
        wanted = max(shape)  # of these discs the model is as sure seen whole
    assert found.field_of_view == pytest.approx(wanted, rel=0.3)


@pytest.mark.parametrize("shape", [(300, 400), (140, 800)])
@pytest.mark.parametrize(
    ("whole", "tiles", "tiled"),
    [(0.9, 0.9, False), (0.86, 0.9, False), (0.7, 0.9, True), (0.05, 0.3, True)],
)
def test_an_image_of_a_region_is_tiled_only_if_the_model_is_surer_then(
    shape, whole, tiles, tiled
):
    labels = discs(shape, 40, 60) > 0

    def see(seen):
        score = whole if seen[0].shape == shape else tiles
        return [Seen(labels[tile.window], np.array([score])) for tile in seen]

    found = estimate_field_of_view(see, picture_of(labels), SIZE, PATCH, False)
    assert (found.field_of_view < max(shape)) == tiled


def test_a_few_small_objects_in_a_corner_of_a_large_image_are_measured():
    labels = np.zeros((1500, 2000), int)
    labels[1200:1440, 1700:1940] = discs((240, 240), 30, 60)
    found = estimate(labels)
    assert found.object_size == pytest.approx(30, rel=0.3)


@pytest.mark.parametrize("objects", [True, False])
def test_one_large_object_is_seen_whole(objects):
    labels = discs((900, 1300), 500, 900)
    found = estimate(labels, objects)
    assert found.field_of_view == 1300
    assert found.object_size == pytest.approx(500, rel=0.1)


@pytest.mark.parametrize("objects", [True, False])
def test_where_nothing_is_seen_nothing_is_certain(objects):
    found = estimate(np.zeros((500, 700), int), objects)
    assert found == ObjectScale(None, SIZE if objects else 700, certain=False)


@given(
    shape=st.tuples(st.integers(2, 900), st.integers(2, 900)), seed=st.integers(0, 9)
)
@settings(max_examples=15)
def test_crops_lie_in_the_image_apart_and_begin_where_most_happens(shape, seed):
    rng = np.random.default_rng(seed)
    picture = np.full((*shape, 3), 90, np.uint8)
    row, column = (int(rng.integers(side)) for side in shape)
    picture[row, column] = 255
    structure = Structure(picture)
    side = max(2, max(shape) // 4)
    tiles = structure.places(side)
    seen = np.zeros(shape, int)
    for tile in tiles:
        assert 0 <= tile.top < tile.bottom <= shape[0]
        assert 0 <= tile.left < tile.right <= shape[1]
        assert max(tile.shape) == min(side, max(shape))
    for tile in tiles:
        seen[tile.window] += 1
    if side >= 64:
        first = tiles[0]
        assert first.top - 32 <= row < first.bottom + 32
        assert first.left - 32 <= column < first.right + 32


def test_an_array_is_read_window_by_window_to_the_same_structure():
    rng = np.random.default_rng(3)
    image = rng.integers(0, 255, (530, 710), np.uint8)
    image[200:260, 400:520] //= 9
    lazy = LazyRGB(
        dask.array.from_array(image, chunks=(70, 150)), None, Scaling("none")
    )
    whole = np.repeat(image[..., None], 3, -1)
    assert Structure(lazy).places(150) == Structure(whole).places(150)


@given(size=st.integers(20, 400), side=st.integers(500, 5000), factor=st.integers(2, 8))
def test_a_scaled_image_with_scaled_objects_is_seen_alike(size, side, factor):
    """The field of view, in objects, does not depend on the pixels they have."""
    field = field_for(size, (side, side // 2), SIZE, PATCH)
    larger = (side * factor, side // 2 * factor)
    assert field_for(size * factor, larger, SIZE, PATCH) == pytest.approx(
        field * factor, abs=factor
    )


@pytest.mark.parametrize(
    "size", [0, -3, float("nan"), float("inf"), True, "30", None, [30], 4000]
)
def test_sizes_that_make_no_sense(size):
    with pytest.raises(InputError, match="object size"):
        check_object_size(size, (3000, 2000))


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter()


def scale_of(segmenter, image, objects):
    picture = as_lazy_rgb(image, None, segmenter.scaling)[:, :]
    model = SelfPrompting(segmenter.sam, segmenter.kind, objects)
    return field_of_view(model, TileEncoder(model, picture), "auto")


@pytest.fixture
def mosaic(nuclei):
    """Many nuclei of some 23 pixels, (1920, 1600), no two tiles in a row alike."""
    tiles = [[np.roll(nuclei[0], 7 * (r + c), 1) for c in range(10)] for r in range(20)]
    return np.block(tiles)


@pytest.mark.parametrize("objects", [True, False])
def test_the_model_finds_the_size_of_small_objects_in_a_large_image(
    segmenter, mosaic, objects
):
    found = scale_of(segmenter, mosaic, objects)
    assert found.certain
    assert 16 < found.object_size < 32
    assert found.field_of_view < 140


def test_the_model_finds_the_size_of_one_cluster_in_a_corner(segmenter, nuclei):
    image = np.random.default_rng(2).normal(30, 8, (1500, 2000)).clip(0, 255)
    image[1380:1476, 1820:1980] = nuclei[0]
    found = scale_of(segmenter, image.astype(np.uint8), True)
    assert 14 < found.object_size < 36


def test_the_model_sees_a_large_region_of_small_objects_whole(segmenter, mosaic):
    image = np.random.default_rng(2).normal(30, 8, (2200, 2600)).clip(0, 255)
    inside = disk((1100, 1300), 800)
    image[inside] = np.pad(mosaic, ((0, 280), (0, 1000)), "wrap")[inside]
    found = scale_of(segmenter, image.astype(np.uint8), False)
    assert found.field_of_view is None


def test_an_object_size_is_used_and_told(segmenter, nuclei):
    image = np.tile(nuclei[0], (3, 2))
    (step,) = segmenter.segment(image, 1, objects=True, object_size=30)
    field = field_for(30, image.shape, 256, 16)
    (same,) = segmenter.segment(image, 1, objects=True, tile=field)
    assert np.array_equal(step.labels, same.labels)
    assert step.scale == ObjectScale(30, field)
    out = np.zeros(image.shape, np.int32)
    said = segmenter.segment_into(image, out, 1, objects=True, object_size=30)
    assert said.scale == step.scale
    assert np.array_equal(out > 0, step.labels > 0)
    with pytest.raises(InputError, match="more than the image has"):
        segmenter.segment(image, 1, object_size=400)
    with pytest.raises(InputError, match="not both"):
        segmenter.segment(image, 1, object_size=30, tile=64)
