"""Labels come back as they were, with the voxel size, whole or piece by piece."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import zarr
from skimage.draw import disk

from napari_samsp.data import image_source as stored_image
from napari_samsp.data.image_source import open_image
from napari_samsp.data.label_files import collected, write_ome_zarr, write_tiff
from napari_samsp.data.voxel_size import VoxelSize

VOXELS = VoxelSize(
    {"T": 5.0, "Z": 3.0, "Y": 0.5, "X": 0.25},
    {"T": "second", "Z": "micrometer", "Y": "micrometer", "X": "micrometer"},
)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("axes", ["YX", "ZYX", "TZYX", "ZTYX"])
def test_labels_come_back_with_their_voxel_size(tmp_path, monkeypatch, axes, large):
    if large:
        monkeypatch.setattr(stored_image, "LARGE_PIXELS", 10)
    shape = {"T": 2, "Z": 3, "Y": 1100, "X": 600}
    labels = np.random.default_rng(0).integers(
        0, 9, [shape[axis] for axis in axes], np.int32
    )
    with collected(labels.shape, tmp_path, "a") as array:
        assert isinstance(array, np.ndarray) is not large
        array[...] = labels
        write_tiff(tmp_path / "a.tif", array, axes, VOXELS)
        write_ome_zarr(tmp_path / "a.ome.zarr", array, axes, VOXELS)
    assert {path.name for path in tmp_path.iterdir()} == {"a.tif", "a.ome.zarr"}
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), labels)
    for name in ("a.tif", "a.ome.zarr"):
        with open_image(tmp_path / name) as image:
            assert image.axes == axes
            assert np.array_equal(np.asarray(image.array), labels)
            assert image.voxels.scale == {axis: VOXELS.scale[axis] for axis in axes}
            assert image.voxels.units == {axis: VOXELS.units[axis] for axis in axes}


def test_a_pyramid_keeps_labels_whole_and_aligned(tmp_path):
    labels = np.zeros((2100, 50), np.int32)
    labels[1000:1400] = 7
    write_ome_zarr(tmp_path / "a.ome.zarr", labels, "YX", VOXELS)
    group = zarr.open_group(str(tmp_path / "a.ome.zarr"), mode="r")
    assert group.attrs["image-label"]
    levels = group.attrs["multiscales"][0]["datasets"]
    assert len(levels) == 3
    for n, level in enumerate(levels):
        assert np.array_equal(group[level["path"]][:], labels[:: 2**n, :: 2**n])
        (step,) = level["coordinateTransformations"]
        assert step["scale"] == [0.5 * 2**n, 0.25 * 2**n]


def test_labels_take_little_room(tmp_path):
    """Zarr's own default for this format takes five times as much."""
    labels = np.zeros((900, 1300), np.int32)
    for n in range(400):
        row, column = 45 * (n // 20), 65 * (n % 20)
        labels[disk((row + 22, column + 32), 14)] = n + 1
    write_ome_zarr(tmp_path / "a.ome.zarr", labels, "YX", VOXELS)
    files = [p for p in (tmp_path / "a.ome.zarr").rglob("*") if p.is_file()]
    assert sum(file.stat().st_size for file in files) < labels.nbytes / 60


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    labels = np.ones((5, 6), np.int32)
    write_tiff(tmp_path / "a.tif", labels, "YX", VoxelSize())
    write_ome_zarr(tmp_path / "a.ome.zarr", labels, "YX", VoxelSize())

    class Broken:
        shape = (5, 6)

        def __array__(self, *_, **__):
            raise OSError(5, "the disk failed")

        __getitem__ = __array__

    with pytest.raises(OSError, match="disk failed"):
        write_tiff(tmp_path / "a.tif", Broken(), "YX", VoxelSize())
    with pytest.raises(OSError, match="disk failed"):
        write_ome_zarr(tmp_path / "a.ome.zarr", Broken(), "YX", VoxelSize())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ome.zarr", "a.tif"]
    with open_image(tmp_path / "a.ome.zarr") as image:
        assert np.array_equal(np.asarray(image.array), labels)


@pytest.mark.parametrize("unit", ["inch", "centimeter"])
def test_the_resolution_of_a_plain_tiff_is_kept(tmp_path, unit):
    pixels = np.zeros((20, 30), np.uint8)
    options = {"resolution": (4000, 3000.5), "resolutionunit": unit, "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    with open_image(tmp_path / "a.tif") as image:
        assert not image.voxels.scale, "it may be that of a printer"
        write_tiff(tmp_path / "b.tif", pixels.astype(np.int32), "YX", image.voxels)
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        page = file.pages[0]
        assert page.resolution == pytest.approx((4000, 3000.5))
        assert page.resolutionunit.name.lower() == unit


def test_a_translation_is_kept(tmp_path):
    """That of the first scale comes before the scale of all, as OME-Zarr has it."""
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
    group.create_array("0", data=np.zeros((2, 20, 30), np.uint8))
    own = [
        {"type": "scale", "scale": [1, 0.5, 0.5]},
        {"type": "translation", "translation": [0, 10, -3]},
    ]
    group.attrs["multiscales"] = [
        {
            "axes": [{"name": name} for name in "zyx"],
            "datasets": [{"path": "0", "coordinateTransformations": own}],
            "coordinateTransformations": [{"type": "scale", "scale": [4, 2, 2]}],
        }
    ]
    with open_image(tmp_path / "a.zarr") as image:
        assert image.voxels.origin == {"Y": 20.0, "X": -6.0}
        labels = np.zeros((2, 1500, 30), np.int32)
        write_ome_zarr(tmp_path / "b.ome.zarr", labels, "ZYX", image.voxels)
    with open_image(tmp_path / "b.ome.zarr") as image:
        assert image.voxels.origin == {"Y": 20.0, "X": -6.0}
        assert image.voxels.scale == {"Z": 4.0, "Y": 1.0, "X": 1.0}
    scales = zarr.open_group(str(tmp_path / "b.ome.zarr")).attrs["multiscales"]
    for level in scales[0]["datasets"]:
        translation = level["coordinateTransformations"][1]
        assert translation == {"type": "translation", "translation": [0, 20, -6]}
    assert len(scales[0]["datasets"]) == 2
