"""``python -m napari_samsp.measure``: labels in, a table out."""

from __future__ import annotations

import csv

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
