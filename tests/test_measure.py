"""``python -m napari_samsp.measure``: labels in, a table out."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.measure import regionprops

from napari_samsp.data.image_files import write_labels
from napari_samsp.data.label_files import write_ome_zarr, write_tiff
from napari_samsp.data.voxel_size import VoxelSize
from napari_samsp.measure import main
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.notes import FileNote


@pytest.fixture
def folders(tmp_path, nuclei):
    """Labels in three formats, and the images."""
    image, truth = nuclei
    labels, images = tmp_path / "labels", tmp_path / "images"
    labels.mkdir()
    images.mkdir()
    voxels = VoxelSize({"Y": 0.5, "X": 0.5}, {"Y": "micrometer", "X": "micrometer"})
    write_tiff(labels / "a.tif", truth, "YX", voxels)
    write_ome_zarr(labels / "b.ome.zarr", truth, "YX", voxels)
    Image.fromarray(truth.astype(np.uint8)).save(labels / "c_mask.png")
    for name in "abc":
        tifffile.imwrite(images / f"{name}.tif", image)
    return labels, images


def measured(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_row_an_object(folders, tmp_path, nuclei) -> None:
    labels, images = folders
    output = tmp_path / "objects.csv"
    code = main([str(labels), "--images", str(images), "--output", str(output)])
    assert code == 0
    rows = measured(output)
    assert [row["image"] for row in rows] == ["a"] * 6 + ["b"] * 6 + ["c_mask"] * 6
    image, truth = nuclei
    regions = regionprops(truth, image, spacing=(0.5, 0.5))
    for row, region in zip(rows[:6], regions, strict=True):
        assert int(row["label"]) == region.label
        assert row["unit"] == "micrometer"
        assert float(row["area"]) == pytest.approx(region.area)
        assert float(row["area_px"]) == region.num_pixels
        assert float(row["perimeter"]) == pytest.approx(region.perimeter)
        assert float(row["mean_intensity"]) == pytest.approx(region.intensity_mean)
    assert rows[12]["unit"] == "pixel"
    assert rows[12]["area"] == f"{regions[0].num_pixels}.0"


def test_a_broken_file_is_named_and_the_rest_is_measured(folders, tmp_path) -> None:
    labels, images = folders
    (labels / "broken.tif").write_bytes(b"II*\0 nothing")
    write_labels(labels / "lonely.tif", np.ones((20, 30), int))
    output = tmp_path / "objects.csv"
    with pytest.raises(InputError) as said:
        main([str(labels), "--images", str(images), "--output", str(output)])
    assert "broken.tif" in str(said.value)
    assert "no image of " in str(said.value)
    assert "(3 of 5 files are measured)" in str(said.value)
    assert {row["image"] for row in measured(output)} == {"a", "b", "c_mask"}


def test_without_images_and_with_a_pixel_size(folders, tmp_path, nuclei) -> None:
    output = tmp_path / "objects.csv"
    main([str(folders[0] / "c_mask.png"), "--output", str(output), "--pixel-size", "2"])
    rows = measured(output)
    first = np.count_nonzero(nuclei[1] == 1)
    assert float(rows[0]["area"]) == 4 * first
    assert "mean_intensity" not in rows[0]


def test_volumes_of_a_stack(tmp_path, nuclei) -> None:
    stack = np.stack([nuclei[1]] * 3)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    output = tmp_path / "objects.csv"
    command = [str(tmp_path / "stack.tif"), "--output", str(output)]
    main(command)
    rows = measured(output)
    assert [row["slice"] for row in rows] == ["0"] * 6 + ["1"] * 6 + ["2"] * 6
    main([*command, "--volumes", "--pixel-size", "2", "--slice-distance", "5"])
    rows = measured(output)
    assert len(rows) == 6
    assert float(rows[0]["volume"]) == 3 * np.count_nonzero(nuclei[1] == 1) * 20


def test_single_iterations_are_left_out(folders, tmp_path, nuclei) -> None:
    labels, _ = folders
    write_labels(labels / "a.iter0.tif", nuclei[1])
    output = tmp_path / "objects.csv"
    main([str(labels), "--output", str(output)])
    assert {row["image"] for row in measured(output)} == {"a", "b", "c_mask"}


def test_folders_in_a_folder(folders, tmp_path, nuclei) -> None:
    labels, images = folders
    for folder, array in ((labels, nuclei[1]), (images, nuclei[0])):
        (folder / "deep").mkdir()
        tifffile.imwrite(folder / "deep" / "a.tif", array)
    output = tmp_path / "objects.csv"
    options = ["--images", str(images), "--output", str(output), "--recursive"]
    main([str(labels), *options])
    assert "deep/a" in {row["image"] for row in measured(output)}


def test_what_cannot_be_begun(folders, tmp_path) -> None:
    labels, _ = folders
    with pytest.raises(InputError, match="written as"):
        main([str(labels), "--output", str(tmp_path / "a.txt")])
    (tmp_path / "mine.csv").write_text("my,notes\n")
    with pytest.raises(InputError, match="--overwrite"):
        main([str(labels), "--output", str(tmp_path / "mine.csv")])
    with pytest.raises(InputError, match="no file or folder"):
        main([str(tmp_path / "none"), "--output", str(tmp_path / "a.csv")])
    Image.new("L", (8, 6)).save(labels / "a.png")
    with pytest.raises(InputError, match="have one name"):
        main([str(labels), "--output", str(tmp_path / "a.csv")])


LISTED = {
    "kind": "semantic",
    "classes": [{"label": 2, "name": "leaf"}, {"label": 5, "name": "spot"}],
}


def classed(folder, kind, labels, table=None, name="a") -> list[tuple[str, str]]:
    """Label and class of each row, of labels that lie in a folder with classes."""
    folder.mkdir(parents=True, exist_ok=True)
    write_labels(folder / f"{name}.tif", np.asarray(labels, np.int32))
    if kind:
        place = folder.parent if folder.name == "masks" else folder
        (place / "classes.json").write_text(json.dumps(LISTED | {"kind": kind}))
    if table is not None:
        (folder / f"{name}.classes.csv").write_text(table)
    output = folder.parent / "objects.csv"
    main([str(folder), "--output", str(output), "--overwrite"])
    return [(row["label"], row.get("class")) for row in measured(output)]


AREAS = np.zeros((20, 30), np.int32)
AREAS[2:8, 3:20], AREAS[10:15, 3:9], AREAS[18:] = 2, 5, 255


def test_the_table_tells_the_name_of_each_class(tmp_path) -> None:
    # Of areas, and of a training set's masks, whose classes.json is above them.
    areas = [("2", "leaf"), ("5", "spot"), ("255", "")]
    assert classed(tmp_path / "out", "semantic", AREAS) == areas
    assert classed(tmp_path / "set" / "masks", "semantic", AREAS) == areas
    # Of objects a table tells names, or labels that classes.json names.
    objects = np.where(AREAS == 255, 9, AREAS)
    table = "label,class\n2,spot\n5,Leaf\n9,2\n"
    found = [("2", "spot"), ("5", "leaf"), ("9", "leaf")]
    assert classed(tmp_path / "cells", "instances", objects, table) == found
    found = [("2", "round"), ("5", "long"), ("9", "2")]
    table = "label,class\n2,round\n5,long\n9,2\n"
    assert classed(tmp_path / "alone", "", objects, table) == found
    # Without either there is no such column, and none is needed.
    assert classed(tmp_path / "plain", "", AREAS)[0] == ("2", None)
    assert classed(tmp_path / "untold", "instances", objects)[0] == ("2", None)


def test_in_folders_in_a_folder_the_classes_of_the_whole_are_known(tmp_path) -> None:
    (tmp_path / "out" / "day" / "1").mkdir(parents=True)
    (tmp_path / "out" / "classes.json").write_text(json.dumps(LISTED))
    write_labels(tmp_path / "out" / "day" / "1" / "a.tif", AREAS)
    output = tmp_path / "objects.csv"
    main([str(tmp_path / "out"), "--recursive", "--output", str(output)])
    assert [row["class"] for row in measured(output)] == ["leaf", "spot", ""]


@pytest.mark.parametrize(
    ("kind", "table", "said"),
    [
        ("semantic", None, "The label 9 has no class in classes.json: add it there"),
        (
            "instances",
            "label,class\n2,leaf\n5,leaf\n",
            r"9 has no class in .*csv",
        ),
        ("instances", "label,class\n2,stem\n", r"has the class 'stem', which classes"),
        ("instances", "label,class\nx,leaf\n", "line 2 has no label from 1"),
        ("", "label,class\n2,\n", "object 2 has no class"),
        ("", "z,label,class\n0,2,leaf\n", "not those of the slices of a.tif"),
    ],
)
def test_a_bad_table_of_classes_is_a_sentence_and_the_rest_is_measured(
    tmp_path, kind, table, said
) -> None:
    objects = np.where(AREAS == 255, 9, AREAS)
    folder = tmp_path / "out"
    folder.mkdir()
    write_labels(folder / "b.tif", np.full((20, 30), 2))
    (folder / "b.classes.csv").write_text("label,class\n2,leaf\n")
    with pytest.raises(InputError, match=said):
        classed(folder, kind, objects, table)
    rows = measured(tmp_path / "objects.csv")
    assert [(row["image"], row["class"]) for row in rows] == [("b", "leaf")]


def test_in_a_stack_each_slice_has_its_own_classes(tmp_path) -> None:
    """Slices count their objects apart, unless they were linked or followed."""
    stack = np.zeros((3, 20, 30), np.int32)
    stack[0, 2:12, 3:9] = 1
    stack[1:, 2:4, 3:9] = 1
    stack[1, 15:, 20:] = 2
    table = "z,label,class\n0,1,leaf\n1,1,spot\n1,2,leaf\n2,1,spot\n"
    folder = tmp_path / "out"
    folder.mkdir()
    write_tiff(folder / "a.tif", stack, "ZYX", VoxelSize())
    (folder / "a.classes.csv").write_text(table)

    def rows(*options) -> list[list[str]]:
        main([str(folder), "--output", str(tmp_path / "objects.csv"), *options])
        keys = ("slice", "label", "class")
        return [
            [row.get(key, "") for key in keys]
            for row in measured(tmp_path / "objects.csv")
        ]

    each = [["0", "1", "leaf"], ["1", "1", "spot"], ["1", "2", "leaf"]]
    assert rows() == [*each, ["2", "1", "spot"]]
    # As one volume it is of the class of most of its voxels: 60 are leaf, 24 spot.
    assert rows("--volumes") == [["", "1", "leaf"], ["", "2", "leaf"]]
    (folder / "a.classes.csv").write_text("label,class\n1,leaf\n2,spot\n")
    assert [row[2] for row in rows()] == ["leaf", "leaf", "spot", "leaf"]


@pytest.mark.parametrize(
    "theirs",
    [
        ["cat", "dog"],
        {"0": "cat", "2": "dog"},
        {"classes": ["cat", "dog"]},
        {"kind": "dataset", "names": ["cat"]},
        {"classes": [{"id": 1, "name": "cat"}]},
    ],
)
def test_a_classes_json_of_another_program_is_told_and_left_out(
    tmp_path, theirs
) -> None:
    folder = tmp_path / "out"
    (folder / "day").mkdir(parents=True)
    write_labels(folder / "day" / "a.tif", AREAS)
    (folder / "day" / "classes.json").write_text(json.dumps(theirs))
    output = tmp_path / "objects.csv"
    command = [str(folder), "--recursive", "--output", str(output)]
    with pytest.warns(FileNote, match=r"day/classes\.json .*another program"):
        main(command)
    assert [row.get("class") for row in measured(output)] == [None] * 3
    # It hides nothing: what the whole folder says still counts.
    (folder / "classes.json").write_text(json.dumps(LISTED))
    with pytest.warns(FileNote, match="another program"):
        main(command)
    assert [row["class"] for row in measured(output)] == ["leaf", "spot", ""]
