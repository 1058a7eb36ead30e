"""The Python entry: an image in, iterations out."""

from __future__ import annotations

import numpy as np
import pytest

from napari_samsp import Segmenter
from napari_samsp.sam.adapters.adapter import add_lora, save_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.utils.errors import InputError


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter()


def foreground_dice(labels, truth):
    both = np.count_nonzero((labels > 0) & (truth > 0))
    return 2 * both / (np.count_nonzero(labels) + np.count_nonzero(truth))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("objects", [False, True])
def test_masks_land_where_the_objects_are(segmenter, nuclei, turned, objects):
    """Landscape and portrait, without any training: bright blobs are found."""
    image, truth = (np.ascontiguousarray(a.T) if turned else a for a in nuclei)
    steps = segmenter.segment(image, iterations=3, objects=objects)
    assert [s.iteration for s in steps] == [0, 1, 2]
    assert [s.prompt for s in steps] == [None, "box+mask", "box+mask"]
    assert steps[0].iou_to_previous is None
    assert all(0 <= s.iou_to_previous <= 1 for s in steps[1:])
    for step in steps:
        assert step.labels.dtype == np.int32
        assert step.labels.shape == step.logits.shape == image.shape
        assert step.area_fraction == np.count_nonzero(step.labels) / image.size
        assert step.seconds > 0
    assert foreground_dice(steps[0].labels, truth) > 0.6
    if objects:
        assert steps[0].labels.max() >= 4
    else:
        assert set(np.unique(steps[-1].labels)) <= {0, 1}


def test_every_layout_gives_the_same_masks(segmenter, nuclei):
    image, _ = nuclei
    rgb = np.repeat(image[..., None], 3, -1)
    expected = segmenter.segment(image, 1)[0].labels
    for other, axis in (
        (rgb, None),
        (np.moveaxis(rgb, -1, 0), 0),
        (np.moveaxis(rgb, -1, 1), 1),
        (image.astype(np.uint16) * 200, None),
        (image / 255, None),
    ):
        got = segmenter.segment(other, 1, channel_axis=axis)[0].labels
        assert np.mean(got != expected) < 0.005


def test_tiles_find_what_the_whole_image_finds(segmenter, nuclei):
    """A mosaic is looked at in tiles, and segmented everywhere."""
    image, truth = np.tile(nuclei[0], (5, 4)), np.tile(nuclei[1], (5, 4))
    done = []
    (step,) = segmenter.iterate(image, 1, objects=True, progress=done.append)
    assert step.labels.shape == image.shape
    assert len(done) > 1
    assert done == sorted(done)
    assert done[-1] == 1
    for rows in np.array_split(np.arange(image.shape[0]), 3):
        for cols in np.array_split(np.arange(image.shape[1]), 3):
            part = np.ix_(rows, cols)
            assert foreground_dice(step.labels[part], truth[part]) > 0.5


@pytest.mark.parametrize("objects", [False, True])
def test_small_objects_are_looked_at_closely(segmenter, nuclei, objects):
    around = ((40, 120), (100, 250))
    image, truth = np.pad(nuclei[0], around), np.pad(nuclei[1], around)
    empty = np.random.default_rng(1).normal(30, 8, image.shape).clip(0, 255)
    image[image == 0] = empty[image == 0]
    scores = {
        tile: foreground_dice(
            segmenter.segment(image, 1, objects, tile=tile)[0].labels, truth
        )
        for tile in ("auto", "off", 120)
    }
    assert scores["auto"] > scores["off"] + 0.02
    assert scores[120] > scores["off"] + 0.02


def test_an_adapter_looks_as_it_was_trained(segmenter, nuclei, tmp_path):
    loaded = load_sam("samsp_small")
    card = AdapterCard("samsp_small", loaded.sha256, 256, field_of_view=(100, 100))
    save_adapter(add_lora(loaded.sam, 2, "samsp_small"), tmp_path / "a", card)
    image = np.tile(nuclei[0], (2, 1))
    (said,) = Segmenter(adapter=tmp_path / "a").segment(image, 1)
    (expected,) = segmenter.segment(image, 1, tile=100)
    assert np.array_equal(said.labels, expected.labels)


def test_within_its_training_an_adapter_chooses_by_its_first_look(
    segmenter, nuclei, tmp_path
):
    """Images of one set can be of any magnification; the adapter saw several."""
    image = np.tile(nuclei[0], (2, 2))

    def labels(tile):
        return segmenter.segment(image, 1, tile=tile)[0].labels

    own = labels("auto")
    assert np.array_equal(labels((16, 4000)), own)
    assert np.array_equal(labels((60, 70)), labels(70))
    assert np.array_equal(labels((220, 240)), labels(220))
    assert not np.array_equal(labels(70), own)
    assert not np.array_equal(labels(220), own)
    loaded = load_sam("samsp_small")
    card = AdapterCard("samsp_small", loaded.sha256, 256, field_of_view=(220, 240))
    save_adapter(add_lora(loaded.sam, 2, "samsp_small"), tmp_path / "a", card)
    (said,) = Segmenter(adapter=tmp_path / "a").segment(image, 1)
    assert np.array_equal(said.labels, labels(220))
    blank = np.zeros((300, 400), np.uint8)
    blank[0, 0] = 255
    assert not segmenter.segment(blank, 1, tile=(50, 200))[0].labels.any()


@pytest.mark.parametrize("tile", [(), (3,), (8, 4), (0, 9), (1, 2, 3), (1.5, 2)])
def test_pairs_of_fields_that_make_no_sense(segmenter, nuclei, tile):
    with pytest.raises(InputError, match="tile must be"):
        segmenter.segment(nuclei[0], 1, tile=tile)


def test_settings_that_make_no_sense(segmenter, nuclei):
    for kwargs in ({"iterations": 0}, {"prompt": "circle"}, {"tile": "some"}):
        with pytest.raises(InputError):
            list(segmenter.segment(nuclei[0], **kwargs))
    with pytest.raises(InputError, match="no device"):
        Segmenter(device="tpu9")


@pytest.mark.parametrize(
    "kwargs",
    [
        *({"tile": tile} for tile in (1, 7, True, None, [64, 64], 64.0, "64", (1, 7))),
        *({"iterations": count} for count in ("3", 2.5, None, True, [1])),
        *({"prompt": prompt} for prompt in (7, ["box"], "")),
        *({"channel_axis": axis} for axis in ("0", 1.0, True, (0,))),
        *({"cleanup": cleanup} for cleanup in ("x", 3, (0.5, 9, True))),
    ],
)
def test_settings_of_another_type_get_a_sentence(segmenter, nuclei, kwargs):
    image = np.stack([nuclei[0]] * 3, axis=-1)
    with pytest.raises(InputError):
        segmenter.segment(image, **{"iterations": 1} | kwargs)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"adapter": 3}, "adapter must be a folder, not 3"),
        ({"scaling": (1, 2)}, "scaling must be a Scaling"),
        ({"input_size": "64"}, "whole number of pixels, not '64'"),
        ({"input_size": 64.0}, "whole number of pixels, not 64.0"),
    ],
)
def test_a_segmenter_of_other_types_gets_a_sentence(kwargs, words):
    with pytest.raises(InputError, match=words):
        Segmenter(**kwargs)


def test_what_labels_are_written_to_is_checked(segmenter, nuclei):
    with pytest.raises(InputError, match=r"to an array, not to 'out\.tif'"):
        segmenter.segment_into(nuclei[0], "out.tif", 1)


def test_whole_numbers_of_numpy_are_numbers(segmenter, nuclei):
    image = np.stack([nuclei[0]] * 3)
    one, other = (
        segmenter.segment(image, kind(1), channel_axis=kind(0), tile=kind(70))
        for kind in (int, np.int64)
    )
    assert np.array_equal(one[0].labels, other[0].labels)
