"""Splits are by image, and leave something on both sides."""

from __future__ import annotations

import random
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage.draw import disk

from napari_samsp.data.formats.orientation import turned
from napari_samsp.data.image_files import write_labels
from napari_samsp.data.rgb import Scaling, to_rgb8
from napari_samsp.data.training_sets.sample import Sample
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.inference.scale.object_scale import mean_object_width
from napari_samsp.train.examples.dataset import Views, best_fields
from napari_samsp.train.examples.example import Example, read_pictures
from napari_samsp.train.examples.splits import folds, split
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.notes import FileNote


def samples(count: int, per_source: int = 1) -> list[Sample]:
    return [
        Sample(f"s{n:02}", Path(), Path(), None, {"source": f"file{n // per_source}"})
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "held_out"), [(1, 0), (2, 0), (5, 0), (19, 0), (20, 4), (25, 5)]
)
def test_all_of_a_few_train_and_a_fifth_of_twenty_or_more_judges(count, held_out):
    fitting, judging = split(samples(count), None, 0)
    assert len(judging) == held_out
    assert len(fitting) == count - held_out
    assert not {s.name for s in fitting} & {s.name for s in judging}


def test_a_fraction_and_a_seed():
    _, first = split(samples(20), "0.5", 0)
    _, again = split(samples(20), "0.5", 0)
    _, other = split(samples(20), "0.5", 1)
    assert len(first) == 10
    assert first == again != other
    assert split(samples(20), "0", 0)[1] == []


def test_slices_of_one_stack_stay_together():
    fitting, judging = split(samples(20, per_source=4), None, 0)
    assert len(judging) == 4
    assert not {s.info["source"] for s in fitting} & {s.info["source"] for s in judging}


def test_a_set_of_its_own(tmp_path, nuclei):
    TrainingSet(tmp_path).add(*nuclei, name="judge")
    fitting, judging = split(samples(2), str(tmp_path), 0)
    assert len(fitting) == 2
    assert [s.name for s in judging] == ["judge"]


@pytest.mark.parametrize("fraction", ["1", "-0.1", "0.9"])
def test_fractions_that_leave_nothing(fraction):
    with pytest.raises(InputError):
        split(samples(2), fraction, 0)


def test_a_correction_is_scaled_as_the_model_saw_it(tmp_path, nuclei):
    """Percentiles of a slice or a region are not those of the whole."""
    image, labels = nuclei
    corrections = TrainingSet(tmp_path)
    seen = {"scaling": "percentile:0.5:99.8", "limits": [20.0, 220.0]}
    corrections.add(image[:40, :50], labels[:40, :50], name="a", **seen)
    corrections.add(image[:40, :50], labels[:40, :50], name="b")
    corrections.add(image[:40, :50], labels[:40, :50], name="c", **seen | {"limits": 3})
    a, b, c = read_pictures(corrections.samples(), Scaling())
    fixed = Scaling("limits", 20.0, 220.0)
    assert np.array_equal(a.image, to_rgb8(image[:40, :50], None, fixed))
    assert np.array_equal(b.image, to_rgb8(image[:40, :50]))
    assert np.array_equal(c.image, b.image)
    # Other percentiles, or limits of the run's own: the note does not fit.
    for run in (Scaling("percentile", 2, 98), Scaling("limits", 0, 99)):
        (first, *_) = read_pictures(corrections.samples(), run)
        assert np.array_equal(first.image, to_rgb8(image[:40, :50], None, run))


def test_connected_parts_of_a_mask_of_one_value_are_the_objects(tmp_path, nuclei):
    image, labels = nuclei
    corrections = TrainingSet(tmp_path)
    two = np.where(labels > 3, 9, np.where(labels > 0, 4, 0))
    corrections.add(image, 255 * (labels > 0), name="binary")
    corrections.add(image, np.where(labels == 1, 255, 0), name="one")
    corrections.add(image, two, name="two")
    samples = corrections.samples()
    for how, counts in {"auto": [6, 1, 2], "yes": [6, 1, 6], "no": [1, 1, 2]}.items():
        pictures = read_pictures(samples, Scaling(), how)
        found = [len(np.unique(picture.labels)) - 1 for picture in pictures]
        assert found == counts
        assert pictures[0].split is (how != "no")
        assert pictures[1].split is False


def test_a_label_to_ignore_is_no_object_and_no_background(tmp_path, nuclei):
    image, labels = nuclei
    labels[:, 140:] = 255
    source = TrainingSet(tmp_path / "set")
    source.add(image, labels, name="a")
    (plain,) = read_pictures(source.samples(), Scaling())
    (found,) = read_pictures(source.samples(), Scaling(), ignore=255)
    assert plain.ignored is None
    assert plain.labels.max() == 255
    np.testing.assert_array_equal(found.ignored, labels == 255)
    np.testing.assert_array_equal(found.labels, np.where(labels == 255, 0, labels))
    view = Views([found], 64, 1, False, [160])[0, 3]
    assert set(view.labels.unique().tolist()) == {
        -1,
        *range(int(labels[:, :140].max()) + 1),
    }


def test_an_image_of_a_file_can_be_picked(tmp_path, nuclei):
    image, labels = nuclei
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    with tifffile.TiffWriter(tmp_path / "images" / "a.tif") as file:
        file.write(np.tile(image, (2, 3)))
        file.write(image)
    write_labels(tmp_path / "masks" / "a.tif", labels)
    (sample,) = TrainingSet(tmp_path).check()
    (picture,) = read_pictures([sample], Scaling(), series=1)
    assert np.array_equal(picture.image, to_rgb8(image))
    with (
        pytest.raises(InputError, match="same height and width"),
        pytest.warns(FileNote, match="--series 1 reads the second"),
    ):
        read_pictures([sample], Scaling())


@pytest.mark.parametrize("value", range(1, 9))
def test_a_mask_may_fit_either_orientation(tmp_path, nuclei, value):
    """Programs differ in whether they turn a picture before one draws on it."""
    image, labels = nuclei
    exif = Image.Exif()
    exif[0x0112] = value
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.fromarray(image).save(tmp_path / "images" / "a.png", exif=exif)
    upright = turned(labels, value)
    for drawn in (labels, upright):
        write_labels(tmp_path / "masks" / "a.tif", np.ascontiguousarray(drawn))
        (sample,) = TrainingSet(tmp_path).check()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            pixels, mask = sample.read()
        assert np.array_equal(pixels, turned(image, value))
        other = drawn.shape != pixels.shape
        if drawn is upright or other:
            assert np.array_equal(mask, upright)
        assert other is any("a.tif fits a.png only as" in str(w.message) for w in said)


def discs(name: str, shape: tuple[int, int], radius: int) -> Example:
    labels = np.zeros(shape, np.int32)
    for n, y in enumerate(range(2 * radius, shape[0], 5 * radius)):
        for m, x in enumerate(range(2 * radius, shape[1], 5 * radius)):
            labels[disk((y, x), radius, shape=shape)] = 100 * n + m + 1
    image = np.repeat((labels > 0)[..., None], 3, -1) * np.uint8(255)
    return Example(name, image, labels)


def test_images_of_other_magnification_are_seen_from_as_near_as_they_need():
    near, far = discs("near", (500, 640), 20), discs("far", (500, 640), 8)
    empty = Example("empty", near.image, np.zeros_like(near.labels))
    whole = discs("whole", (300, 420), 60)
    pictures = [near, far, empty, whole]
    fields = best_fields(pictures, 256, 16)
    assert fields[0] == pytest.approx(2.5 * fields[1], rel=0.1)
    assert fields[2] == fields[0], "the median of the others"
    assert fields[3] == 640, "the longest side of all"
    views = Views(pictures, 128, 1, False, fields)
    assert best_fields([near, whole, whole], 256, 16) == [640, 640, 640]
    near_width, far_width = (
        np.mean([mean_object_width(views[n, seed].labels.numpy()) for seed in range(8)])
        for n in (0, 1)
    )
    assert near_width == pytest.approx(far_width, rel=0.2)


@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=8),
    seed=st.integers(0, 2**16),
)
def test_every_correction_is_in_one_fold_and_no_source_in_two(sizes, seed):
    given_samples = [
        Sample(f"s{n}_{k}", Path(), Path(), None, {"source": f"file{n}"})
        for n, size in enumerate(sizes)
        for k in range(size)
    ]
    random.Random(seed).shuffle(given_samples)
    found = folds(given_samples)
    if len(given_samples) < 3:
        assert found == []
        return
    assert sorted(n for fold in found for n in fold) == list(range(len(given_samples)))
    assert 2 <= len(found) <= 5
    assert all(found)
    if len(sizes) > 1:
        sources = [{given_samples[n].info["source"] for n in fold} for fold in found]
        assert sum(map(len, sources)) == len(sizes)


def test_slices_of_one_stack_are_folded_with_their_neighbours():
    found = folds(samples(7, per_source=7))
    assert found == [[0], [1], [2, 3], [4], [5, 6]]
