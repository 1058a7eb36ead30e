"""Files of any axes are opened as the planes that their axes say."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tifffile
import zarr

from napari_samsp.data import image_source as stored_image
from napari_samsp.data.image_source import open_image
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.notes import FileNote

STACK = np.arange(2 * 3 * 2 * 20 * 30, dtype=np.uint16).reshape(2, 3, 2, 20, 30)
MICRON = {"X": "micrometer", "Y": "micrometer", "Z": "micrometer", "T": "second"}


@pytest.fixture(params=["whole", "lazy"])
def lazy(request, monkeypatch) -> bool:
    if request.param == "lazy":
        monkeypatch.setattr(stored_image, "LARGE_PIXELS", 10)
    return request.param == "lazy"


def write_imagej(path):
    tifffile.imwrite(
        path, STACK, imagej=True, resolution=(4, 2),
        metadata={"axes": "TZCYX", "spacing": 3.0, "unit": "um", "finterval": 5.0},
    )  # fmt: skip


def write_ome(path):
    tifffile.imwrite(
        path, STACK, ome=True, compression="zlib",
        metadata={
            "axes": "TZCYX", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm",
            "PhysicalSizeY": 500.0, "PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 3.0,
            "PhysicalSizeZUnit": "µm", "TimeIncrement": 5.0, "TimeIncrementUnit": "s",
        },
    )  # fmt: skip


def write_zarr(path):
    """OME-Zarr 0.4, or 0.5 by its name."""
    new = ".05." in path.name
    group = zarr.open_group(str(path), mode="w", zarr_format=3 if new else 2)
    group.create_array("0", data=STACK, chunks=(1, 1, 1, 16, 16))
    axes = [{"name": n, "unit": MICRON.get(n.upper())} for n in "tzcyx"]
    scale = {"type": "scale", "scale": [5.0, 3.0, 1.0, 0.5, 0.25]}
    data = [{"path": "0", "coordinateTransformations": [scale]}]
    attributes = {"multiscales": [{"axes": axes, "datasets": data}]}
    group.attrs.update({"ome": attributes} if new else attributes)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.tif", write_imagej),
        ("a.ome.tif", write_ome),
        ("a.zarr", write_zarr),
        ("a.05.zarr", write_zarr),
    ],
)
def test_a_hyperstack_has_planes_channels_and_a_voxel_size(tmp_path, lazy, name, write):
    write(tmp_path / name)
    with open_image(tmp_path / name) as image:
        assert image.axes == "TZCYX"
        assert image.labels_axes == "TZYX"
        assert image.labels_shape == (2, 3, 20, 30)
        assert len(image.planes()) == 6
        assert isinstance(image.array, np.ndarray) is not lazy
        for index in image.planes():
            both, axis = image.plane(index)
            assert axis == 2
            assert np.array_equal(np.asarray(both), np.moveaxis(STACK[index], 0, -1))
            one, axis = image.plane(index, [1])
            assert axis is None
            assert np.array_equal(np.asarray(one), STACK[index][1])
        turned, _ = image.plane((0, 0), [1, 0, 1])
        assert np.array_equal(np.asarray(turned)[..., 1], STACK[0, 0, 0])
        with pytest.raises(InputError, match="channels 0 to 1, not 2"):
            image.plane((0, 0), [2])
        nm = name == "a.ome.tif"
        y = 500.0 if nm else 0.5
        scale = {"T": 5.0, "Z": 3.0, "Y": y, "X": 0.25}
        assert image.voxels.scale == pytest.approx(scale)
        assert image.voxels.units == {
            **MICRON,
            "Y": "nanometer" if nm else "micrometer",
        }


@pytest.mark.parametrize(
    ("shape", "options", "axes"),
    [
        ((20, 30), {}, "YX"),
        ((20, 30, 3), {"photometric": "rgb"}, "YXS"),
        ((20, 30, 4), {"photometric": "rgb", "extrasamples": [2]}, "YXS"),
        ((20, 30, 3), {"photometric": "minisblack"}, "YXS"),
        ((3, 20, 30), {"photometric": "rgb", "planarconfig": "separate"}, "SYX"),
        ((5, 20, 30), {"photometric": "minisblack"}, "QYX"),
        ((2, 5, 20, 30), {"photometric": "minisblack"}, "IQYX"),
        ((1, 5, 20, 30), {"metadata": {"axes": "TZYX"}}, "ZYX"),
        ((6, 20, 30), {"metadata": {"axes": "CYX"}}, "CYX"),
    ],
)
def test_a_plain_tiff_says_as_much_as_it_can(tmp_path, shape, options, axes):
    data = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    tifffile.imwrite(tmp_path / "a.tif", data, **options)
    with open_image(tmp_path / "a.tif") as image:
        assert sorted(image.axes) == sorted(axes)
        assert image.axes[-1] == axes[-1]
        assert not image.voxels.scale
        if axes == "CYX":
            with pytest.raises(InputError, match="6 channels: choose one with"):
                image.plane(())
        else:
            plane, _ = image.plane(image.planes()[-1])
            assert plane.shape[:2] == (20, 30)
            assert plane.shape[2:] in ((), (3,), (4,) if shape[-1] == 4 else ())


def test_four_planes_that_tifffile_took_for_colours_are_not_read_silently(tmp_path):
    data = np.random.default_rng(0).integers(0, 999, (4, 20, 30), np.uint16)
    told = {"photometric": "rgb", "extrasamples": [2]}
    tifffile.imwrite(tmp_path / "a.tif", data, **told, planarconfig="separate")
    with (
        pytest.warns(FileNote, match="alpha.*--axes CYX"),
        open_image(tmp_path / "a.tif") as image,
    ):
        assert image.axes == "SYX"
    with warnings.catch_warnings():
        warnings.simplefilter("error", FileNote)
        with open_image(tmp_path / "a.tif", "ZYX") as image:
            assert np.array_equal(image.plane((3,))[0], data[3])
        last = np.moveaxis(data, 0, -1)
        tifffile.imwrite(tmp_path / "b.tif", last, **told, planarconfig="contig")
        with open_image(tmp_path / "b.tif") as image:
            assert image.axes == "YXS"


def test_the_user_knows_better_than_the_file(tmp_path):
    data = np.arange(2 * 20 * 30).reshape(2, 20, 30).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack")
    with open_image(tmp_path / "a.tif", "CXY") as image:
        plane, axis = image.plane(())
        assert np.array_equal(plane, data.transpose(2, 1, 0))
        assert axis == 2
    for axes, words in (("YX", "names 2"), ("ZZY", "say what they are")):
        with (
            pytest.raises(InputError, match=words),
            open_image(tmp_path / "a.tif", axes),
        ):
            pass


def test_broken_files_get_a_sentence(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0broken")
    zarr.open_group(str(tmp_path / "b.zarr"), mode="w")
    for name in ("a.tif", "b.zarr", "gone.tif", "gone.png"):
        with pytest.raises(InputError, match=name), open_image(tmp_path / name):
            pass
