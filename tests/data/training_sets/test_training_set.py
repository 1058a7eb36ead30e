"""The folder that the widget writes and the trainer reads."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage import io

from napari_samsp.data.image_files import tiff_bytes, write_image, write_labels
from napari_samsp.data.training_sets.sample import content_hash
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.utils.errors import InputError


def test_what_is_added_is_read_back(tmp_path, nuclei):
    image, labels = nuclei
    training_set = TrainingSet(tmp_path / "set")
    sample = training_set.add(
        image, labels, np.zeros_like(labels), name="cells / 1", layer="cells", slice=3
    )
    assert sample.name == "cells_1"
    assert [s.name for s in TrainingSet(tmp_path / "set").check()] == ["cells_1"]
    read_image, read_labels = sample.read()
    assert (read_image == image).all()
    assert (read_labels == labels).all()
    assert sample.prediction.is_file()
    line = json.loads((tmp_path / "set" / "samples.jsonl").read_text())
    assert (line["name"], line["layer"], line["slice"]) == ("cells_1", "cells", 3)


def test_names_are_numbered_or_replaced(tmp_path, nuclei):
    image, labels = nuclei
    training_set = TrainingSet(tmp_path)
    names = [training_set.add(image, labels, name="a").name for _ in range(3)]
    assert names == ["a", "a-2", "a-3"]
    training_set.add(image, labels * 0 + 7, name="a-2", replace=True)
    assert len(training_set.samples()) == 3
    assert training_set.samples()[1].read()[1].min() == 7


@given(st.text(min_size=1, max_size=40))
def test_no_name_leaves_the_folder(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("sets")
    sample = TrainingSet(folder / "set").add(np.eye(4), np.eye(4, dtype=int), name=name)
    assert sample.image.resolve().parent == (folder / "set" / "images").resolve()
    assert [f.name for f in folder.iterdir()] == ["set"]


def test_removing_keeps_the_files(tmp_path, nuclei):
    training_set = TrainingSet(tmp_path)
    training_set.add(*nuclei, name="a")
    training_set.remove("a")
    assert training_set.samples() == []
    assert (tmp_path / "removed" / "masks" / "a.tif").is_file()
    with pytest.raises(InputError, match="no correction named a"):
        training_set.remove("a")


def test_a_set_made_by_hand(tmp_path, nuclei):
    image, labels = nuclei
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    io.imsave(tmp_path / "images" / "x.jpg", image)
    io.imsave(
        tmp_path / "masks" / "x.png", labels.astype(np.uint8), check_contrast=False
    )
    (sample,) = TrainingSet(tmp_path).check()
    assert (sample.read()[1] == labels).all()


def make(folder, images=(), masks=()):
    """A set of 5 x 8 images and given masks by name."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for name in images:
        write_image(folder / "images" / f"{name}.tif", np.arange(40).reshape(5, 8))
    for name, labels in dict(masks).items():
        write_labels(folder / "masks" / f"{name}.tif", np.asarray(labels, np.int32))


ONES = np.ones((5, 8), int)


@pytest.mark.parametrize(
    ("images", "masks", "words"),
    [
        ((), {}, "is empty"),
        (("a",), {"a": ONES, "b": ONES}, "no image in images/ .* as b in .*masks"),
        ((), dict.fromkeys("abcde", ONES), "a, b, c and 2 more in .*masks"),
        (("a", "b", "c"), {"a": ONES}, "no mask in masks/ .* as b, c in .*images"),
    ],
)
def test_sets_that_cannot_be_trained_on(tmp_path, images, masks, words):
    make(tmp_path / "set", images, masks)
    with pytest.raises(InputError, match=words):
        TrainingSet(tmp_path / "set").check()


def test_a_mask_of_another_size(tmp_path):
    make(tmp_path / "set", ["a"], {"a": ONES[:, :6]})
    (sample,) = TrainingSet(tmp_path / "set").check()
    with pytest.raises(InputError, match="the image is 5 x 8 but its mask is 5 x 6"):
        sample.read()


def test_a_missing_folder(tmp_path):
    with pytest.raises(InputError, match="no training set at"):
        TrainingSet(tmp_path / "gone").check()


def test_the_fingerprint_follows_the_content(tmp_path, nuclei):
    image, labels = nuclei
    training_set = TrainingSet(tmp_path)
    training_set.add(image, labels, name="a")
    before = training_set.fingerprint()
    assert before == TrainingSet(tmp_path).fingerprint()
    training_set.add(image, labels > 0, name="a", replace=True)
    assert training_set.fingerprint() != before


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode")
def test_a_name_that_is_not_unicode_can_be_trained_on(tmp_path, nuclei):
    for folder, array in zip(("images", "masks"), nuclei, strict=True):
        (tmp_path / folder).mkdir()
        write_labels(tmp_path / folder / os.fsdecode(b"caf\xe9.tif"), array)
    training_set = TrainingSet(tmp_path)
    assert len(training_set.check()) == 1
    assert training_set.fingerprint()
    training_set.add(*nuclei, name=os.fsdecode(b"caf\xe9"), source=os.fsdecode(b"\xe9"))
    assert len(training_set.check()) == 2


def test_a_broken_note_hides_no_sample(tmp_path, nuclei):
    training_set = TrainingSet(tmp_path)
    training_set.add(*nuclei, name="a")
    (tmp_path / "samples.jsonl").write_bytes(b'{"name": "a"\n\xff\xfe[1]\n3\n')
    assert [s.name for s in training_set.check()] == ["a"]


def test_what_is_removed_comes_back_as_it_was(tmp_path, nuclei):
    training_set = TrainingSet(tmp_path)
    first = training_set.add(*nuclei, nuclei[1], name="a", source="x.tif")
    content = first.image.read_bytes()
    removed = training_set.remove("a")
    training_set.add(nuclei[0][:40], nuclei[1][:40], name="a")
    again = training_set.remove("a")
    assert again.image != removed.image  # the second overwrote nothing
    back = training_set.put_back(removed)
    assert back.name == "a"
    assert back.image.read_bytes() == content
    assert back.info == first.info
    assert training_set.put_back(again).name == "a-2"
    with pytest.raises(InputError, match="are gone from removed/"):
        training_set.put_back(removed)


def test_replacing_keeps_no_prediction_of_other_pixels(tmp_path, nuclei):
    image, labels = nuclei
    training_set = TrainingSet(tmp_path)
    training_set.add(image, labels, labels, name="a")
    assert training_set.add(image, labels > 0, name="a", replace=True).prediction
    sample = training_set.add(image[::-1], labels, name="a", replace=True)
    assert sample.prediction is None
    assert (tmp_path / "removed" / "predictions" / "a.tif").is_file()


def test_replacing_in_a_set_made_by_hand(tmp_path, nuclei):
    for folder, array in zip(("images", "masks"), nuclei, strict=True):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "my cells.png"
        io.imsave(path, array.astype(np.uint8), check_contrast=False)
    training_set = TrainingSet(tmp_path)
    sample = training_set.add(*nuclei, name="my cells", replace=True)
    assert [s.name for s in training_set.samples()] == ["my cells"]
    assert sample.image.name == "my cells.tif"
    assert (tmp_path / "removed" / "images" / "my cells.png").is_file()


@pytest.mark.parametrize(
    ("wished", "name"),
    [("CON", "CON_image"), ("Zellkörper 細胞", "Zellkörper_細胞"), ("../..", "image")],
)
def test_names_that_every_disk_takes(tmp_path, wished, name):
    assert TrainingSet(tmp_path).add(np.eye(4), np.eye(4), name=wished).name == name


def test_names_that_differ_in_capitals_only_are_numbered(tmp_path):
    names = [
        TrainingSet(tmp_path).add(np.eye(4), np.eye(4), name=wished).name
        for wished in ("cells", "Cells", "細" * 100, "細" * 100)
    ]
    assert names == ["cells", "Cells-2", "細" * 40, "細" * 40 + "-2"]


def test_two_files_of_one_name_are_refused_and_named(tmp_path):
    pixels = np.arange(60, dtype=np.uint8).reshape(6, 10)
    for name in ("images/s0.png", "images/s0.TIFF", "masks/s0.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(tiff_bytes(pixels))
    with pytest.raises(InputError, match=r"s0\.TIFF and s0\.png"):
        TrainingSet(tmp_path).check()


def test_names_are_compared_as_they_are_read(tmp_path):
    pixels = np.arange(60, dtype=np.uint8).reshape(6, 10)
    for name in ("images/z\u00e4hl.tif", "masks/za\u0308hl.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(tiff_bytes(pixels))
    (sample,) = TrainingSet(tmp_path).check()
    assert np.array_equal(sample.read()[1], pixels)


@pytest.mark.parametrize("dtype", ["uint8", "<u2", ">u2", "float32", "bool"])
def test_a_hash_tells_what_an_image_is_not_how_it_lies_in_memory(dtype):
    image = (np.arange(60).reshape(5, 12) % 7).astype(dtype)
    swapped = image.astype(image.dtype.newbyteorder("S"))
    same = [image.copy(order="F"), np.repeat(image, 2, axis=1)[:, ::2], swapped]
    assert {content_hash(one) for one in same} == {content_hash(image)}
    others = [image.T, image[::-1], image.reshape(12, 5), image.astype("int64")]
    assert content_hash(image) not in {content_hash(other) for other in others}
