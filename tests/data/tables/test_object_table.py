"""Objects of label images as rows of a table."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import regionprops

from napari_samsp.data.label_files import write_ome_zarr, write_tiff
from napari_samsp.data.tables.object_files import measure_file, slice_names
from napari_samsp.data.tables.object_table import PixelSize, measure
from napari_samsp.data.voxel_size import VoxelSize
from napari_samsp.utils.errors import InputError

UM = dict.fromkeys("ZYX", "micrometer")


@pytest.fixture
def ring() -> np.ndarray:
    """A rectangle with a hole, labelled 7, and a single pixel, labelled 2."""
    labels = np.zeros((40, 70), np.int32)
    labels[10:30, 20:50] = 7
    labels[15:20, 30:40] = 0
    labels[35, 60] = 2
    return labels


def test_sizes_shapes_and_places(ring) -> None:
    table = measure(ring)
    assert table["label"].tolist() == [2, 7]
    assert table["unit"].tolist() == ["pixel", "pixel"]
    assert table["area"].tolist() == table["area_px"].tolist() == [1, 550]
    assert table["euler_number"].tolist() == [1, 0]
    assert table["solidity"][1] == pytest.approx(550 / 600)
    assert table["centroid_x"][0] == 60
    box = [table[f"bbox_{side}"][1] for side in ("y0", "x0", "y1", "x1")]
    assert box == [10, 20, 30, 50]


def test_units_of_square_pixels(ring) -> None:
    table = measure(ring, size=PixelSize((0.5, 0.5), "micrometer"))
    (region,) = [r for r in regionprops(ring, spacing=(0.5, 0.5)) if r.label == 7]
    assert table["area"][1] == region.area == 137.5
    assert table["area_px"][1] == 550
    assert table["perimeter"][1] == pytest.approx(region.perimeter)
    assert table["major_axis"][1] == pytest.approx(region.axis_major_length)
    assert table["equivalent_diameter"][1] == pytest.approx(
        region.equivalent_diameter_area
    )
    assert table["centroid_y"][1] == pytest.approx(region.centroid[0])
    assert table["unit"][1] == "micrometer"


def test_units_of_pixels_that_are_not_square(ring) -> None:
    table = measure(ring, size=PixelSize((2.0, 0.5), "micrometer"))
    (region,) = [r for r in regionprops(ring, spacing=(2.0, 0.5)) if r.label == 7]
    assert table["area"][1] == region.area
    assert table["minor_axis"][1] == pytest.approx(region.axis_minor_length)
    assert table["eccentricity"][1] == pytest.approx(region.eccentricity)
    assert table["centroid_x"][1] == pytest.approx(region.centroid[1])
    # Which scikit-image cannot tell.
    assert np.isnan(table["perimeter"]).all()
    assert not np.isnan(table["perimeter_px"]).any()


def test_intensities_of_each_channel(ring) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 60_000, (*ring.shape, 2)).astype(np.uint16)
    table = measure(ring, image)
    inside = image[ring == 7]
    for n in (0, 1):
        assert table[f"mean_intensity_{n}"][1] == pytest.approx(inside[:, n].mean())
        assert table[f"std_intensity_{n}"][1] == pytest.approx(inside[:, n].std())
        assert table[f"min_intensity_{n}"][1] == inside[:, n].min()
        assert table[f"max_intensity_{n}"][1] == inside[:, n].max()
    assert "mean_intensity" in measure(ring, image[..., 0])


def test_values_that_are_not_finite_are_no_intensities(ring) -> None:
    image = np.full(ring.shape, 3.0)
    image[12, 25] = np.nan
    image[ring == 2] = np.inf
    table = measure(ring, image)
    assert table["mean_intensity"][1] == 3
    assert np.isnan(table["mean_intensity"][0])
    assert table["area"].tolist() == [1, 550]


def test_volumes() -> None:
    labels = np.zeros((6, 20, 30), np.int32)
    labels[1:5, 4:14, 5:25] = 3
    labels[0, 0, 0] = 1
    labels[5, 15:18, 3:9] = 4  # within a slice: it has no convex hull
    table = measure(labels, size=PixelSize((2.0, 0.5, 0.5), "micrometer"))
    assert table["volume_px"].tolist() == [1, 800, 18]
    assert table["volume"].tolist() == [0.5, 400, 9]
    assert table["solidity"][1] == pytest.approx(1)
    assert np.isnan(table["solidity"][[0, 2]]).all()
    assert table["centroid_z"][1] == pytest.approx(5)
    assert table["centroid_z_px"][1] == pytest.approx(2.5)
    assert "perimeter" not in table


def test_nothing_has_the_columns_of_something(ring) -> None:
    image = np.zeros(ring.shape)
    empty = measure(np.zeros_like(ring), image)
    assert list(empty) == list(measure(ring, image))
    assert all(len(column) == 0 for column in empty.values())


@given(
    hnp.arrays(
        np.int32,
        hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=9),
        elements=st.integers(0, 4),
    )
)
def test_any_labels_are_measured(labels) -> None:
    table = measure(labels, labels * 10)
    numbers, counts = np.unique(labels[labels > 0], return_counts=True)
    assert table["label"].tolist() == numbers.tolist()
    extent = "area_px" if labels.ndim == 2 else "volume_px"
    assert table[extent].tolist() == counts.tolist()
    assert table["mean_intensity"].tolist() == (numbers * 10).tolist()


@pytest.mark.parametrize("kind", ["tif", "ome.zarr"])
def test_stacks_slice_by_slice_and_as_volumes(tmp_path, kind) -> None:
    labels = np.zeros((2, 3, 20, 30), np.int32)  # T, Z, Y, X
    labels[0, 1:, 5:10, 5:20] = 1
    labels[1, :, 12:14, 5:10] = 1
    image = np.arange(2 * 3 * 2 * 20 * 30, dtype=np.uint16).reshape(2, 3, 2, 20, 30)
    voxels = VoxelSize({"Z": 2.0, "Y": 0.5, "X": 0.5}, UM)
    path = tmp_path / f"labels.{kind}"
    (write_tiff if kind == "tif" else write_ome_zarr)(path, labels, "TZYX", voxels)
    tifffile.imwrite(
        tmp_path / "image.tif", image, ome=True, metadata={"axes": "TZCYX"}
    )
    tables = list(measure_file(path, tmp_path / "image.tif"))
    rows = [
        (t, z, area)
        for table in tables
        for t, z, area in zip(table["time"], table["slice"], table["area"], strict=True)
    ]
    assert rows == [(0, 1, 18.75), (0, 2, 18.75), (1, 0, 2.5), (1, 1, 2.5), (1, 2, 2.5)]
    last = image[1, 2, 1][labels[1, 2] == 1]
    assert tables[-1]["max_intensity_1"].tolist() == [last.max()]
    first, second = measure_file(path, volumes=True)
    assert list(first)[:2] == ["time", "label"]
    assert first["volume"].tolist() == [2 * 75 * 0.5]
    assert second["volume_px"].tolist() == [30]


def test_the_size_of_pixels_is_that_of_the_image_if_the_labels_tell_none(
    tmp_path, ring
) -> None:
    voxels = VoxelSize({"Y": 0.25, "X": 0.25}, UM)
    write_tiff(tmp_path / "image.tif", ring, "YX", voxels)
    write_tiff(tmp_path / "labels.tif", ring, "YX", VoxelSize())
    (table,) = measure_file(tmp_path / "labels.tif", tmp_path / "image.tif")
    assert table["area"][1] == 550 / 16
    (table,) = measure_file(tmp_path / "labels.tif")
    assert table["area"][1] == 550


def test_what_does_not_fit_is_said(tmp_path, ring) -> None:
    tifffile.imwrite(tmp_path / "labels.tif", ring)
    tifffile.imwrite(tmp_path / "image.tif", np.zeros((40, 71), np.uint8))
    with pytest.raises(InputError, match="40 x 70 but the image is 40 x 71"):
        list(measure_file(tmp_path / "labels.tif", tmp_path / "image.tif"))
    with pytest.raises(InputError, match="no slices: measure it without --volumes"):
        list(measure_file(tmp_path / "labels.tif", volumes=True))
    tifffile.imwrite(tmp_path / "half.tif", np.full((30, 40), 0.5, np.float32))
    with pytest.raises(InputError, match="fractions"):
        list(measure_file(tmp_path / "half.tif"))


def test_names_of_the_axes_of_stacks() -> None:
    assert slice_names("TZ") == ["time", "slice"]
    assert slice_names("IT") == ["slice", "time"]
    assert slice_names("RZ") == ["axis_r", "slice"]
    assert slice_names("") == []
