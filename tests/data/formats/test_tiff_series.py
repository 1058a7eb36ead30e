"""TIFFs that hold several images: each is an image with a name of its own."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_samsp.data import image_source
from napari_samsp.data.folders.image_listing import find_images, list_images
from napari_samsp.data.image_source import open_image
from napari_samsp.data.thumbnails import thumbnail
from napari_samsp.measure import main as measure
from napari_samsp.predict import main as predict
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.notes import FileNote

LEFT = (np.arange(3 * 40 * 60) * 7).astype(np.uint16).reshape(3, 40, 60)
RIGHT = (np.arange(50 * 30) * 11).astype(np.uint16).reshape(50, 30)


def write(path: Path, *images: tuple[np.ndarray, dict], **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(path, **options) as file:
        for array, told in images:
            file.write(array, photometric="minisblack", **told)
    return path


def write_ome(path: Path, names: tuple[str, str] = ("mouse 1/left", "right")) -> Path:
    """A stack, 0.5 µm wide and 2 µm deep, and a plane at 0.25 µm."""
    told = [
        {"axes": axes, "Name": name, "PhysicalSizeX": size, "PhysicalSizeY": size,
         "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
        for axes, name, size in zip(("ZYX", "YX"), names, (0.5, 0.25), strict=True)
    ]  # fmt: skip
    told[0] |= {"PhysicalSizeZ": 2.0, "PhysicalSizeZUnit": "µm"}
    left, right = ({"metadata": one} for one in told)
    return write(path, (LEFT, left), (RIGHT, right), ome=True)


def read_all(path, **options):
    with open_image(path, **options) as image:
        return np.asarray(image.array), image.axes, image.voxels.scale


@pytest.mark.parametrize("limit", [10**9, 1000], ids=["whole", "by blocks"])
@pytest.mark.parametrize(
    "names, want",
    [
        (("mouse 1/left", "right"), ["mouse_1_left", "right"]),
        (("a", "A"), ["a_0", "A_1"]),
    ],
)
def test_the_images_of_an_ome_tiff(tmp_path, monkeypatch, limit, names, want):
    monkeypatch.setattr(image_source, "LARGE_PIXELS", limit)
    path = write_ome(tmp_path / "plate.ome.tif", names)
    images = find_images([str(tmp_path)], tmp_path / "out")
    assert images == {f"plate_{name}": path / name for name in want}
    assert list_images(tmp_path) == list(images.items())
    assert find_images([str(path / want[1])]) == {f"plate_{want[1]}": path / want[1]}
    left, right = images.values()
    array, axes, scale = read_all(left)
    assert np.array_equal(array, LEFT)
    assert axes == "ZYX"
    assert scale == {"Z": 2, "Y": 0.5, "X": 0.5}
    array, axes, scale = read_all(right)
    assert np.array_equal(array, RIGHT)
    assert axes == "YX"
    assert scale == {"Y": 0.25, "X": 0.25}
    with pytest.raises(InputError, match=f"holds {want[0]}, {want[1]}, and no P7"):
        read_all(path / "P7")


def test_images_without_names_are_numbered_as_series_does(tmp_path):
    path = write(
        tmp_path / "a.tif",
        (LEFT[0, ::5, ::5], {"subfiletype": 1}),
        (LEFT[0], {}),
        (RIGHT, {}),
    )
    images = find_images([str(path)])
    assert images == {"a_1": path / "1", "a_2": path / "2"}
    for place, number, want in (images["a_1"], 1, LEFT[0]), (images["a_2"], 2, RIGHT):
        assert np.array_equal(read_all(place)[0], want)
        assert np.array_equal(read_all(path, series=number)[0], want)


PLANE = np.arange(64 * 101, dtype=np.uint16).reshape(64, 101)


def flagged_pyramid(path):
    with tifffile.TiffWriter(path) as file:
        file.write(PLANE, subifds=2)
        for step in 2, 4:
            file.write(PLANE[::step, ::step], subfiletype=1)


def plain_pyramid(path):
    pages = [(PLANE[::step, ::step], {}) for step in (1, 2, 4)]
    write(path, *pages)


def slide(path):
    """As Bio-Formats writes one: a level, its label and its macro picture."""
    named = [
        (array, {"metadata": {"axes": "YX", "Name": name}})
        for array, name in (
            (PLANE, "slide.svs #1"),
            (PLANE[:31, :17], "label image"),
            (PLANE[:20, :50], "macro image"),
        )
    ]
    write(path, *named, ome=True)


def mask_page(path):
    write(path, (PLANE, {}), (PLANE[:9, :9] > 3, {"subfiletype": 4}))


def stack(path):
    tifffile.imwrite(path, LEFT, imagej=True, metadata={"axes": "ZYX"})


@pytest.mark.parametrize(
    "made", [flagged_pyramid, plain_pyramid, slide, mask_page, stack]
)
def test_what_is_one_image(tmp_path, made):
    made(tmp_path / "a.tif")
    assert find_images([str(tmp_path)]) == {"a": tmp_path / "a.tif"}
    want = LEFT if made is stack else PLANE
    assert np.array_equal(read_all(tmp_path / "a.tif")[0], want)


def test_images_of_like_shape_and_other_pixels_are_several(tmp_path):
    """A half in one direction, or of another type, is no level of a pyramid."""
    write(
        tmp_path / "a.tif",
        (PLANE, {}), (PLANE[::2], {}), (PLANE[::2, ::2].astype(np.uint8), {}),
    )  # fmt: skip
    assert list(find_images([str(tmp_path)])) == ["a_0", "a_1", "a_2"]


def test_an_image_in_several_files_stays_one(tmp_path):
    xml = tifffile.OmeXml()
    for _ in range(2):
        xml.addimage(np.uint16, (40, 60), (1, 1, 1, 40, 60, 1), axes="YX")
    text = xml.tostring()
    for name in "ab":
        told = f'<UUID FileName="{name}.tif">urn:uuid:{name}</UUID>'
        there = rf"<TiffData\1>{told}</TiffData>"
        text, count = re.subn("<TiffData([^>]*)/>", there, text, count=1)
        assert count == 1
    for name in "ab":
        tifffile.imwrite(
            tmp_path / f"{name}.tif", LEFT[:2], description=text, metadata=None
        )
    assert [name for name, _ in list_images(tmp_path)] == ["a", "b"]


def test_they_are_segmented_and_measured_under_their_names(tmp_path, nuclei, capsys):
    path, out = tmp_path / "in" / "plate.ome.tif", tmp_path / "out"
    told = [{"metadata": {"axes": "YX", "Name": name, "PhysicalSizeX": 0.5,
                          "PhysicalSizeY": 0.5}} for name in ("B2", "C3")]  # fmt: skip
    cut = nuclei[0][:80, 20:]
    write(path, (nuclei[0], told[0]), (cut, told[1]), ome=True)
    command = [str(path.parent), "--output", str(out), "--iterations", "1"]
    assert predict(command) == 0
    labels = {p.name: tifffile.imread(p) for p in out.glob("*.tif")}
    assert sorted(labels) == ["plate_B2.tif", "plate_C3.tif"]
    assert labels["plate_B2.tif"].shape == nuclei[0].shape
    assert labels["plate_C3.tif"].shape == cut.shape
    assert all(found.max() for found in labels.values())
    predict(command)
    assert "2 of 2 images were done before" in capsys.readouterr().err
    write(path, (nuclei[0], told[0]), (cut + 1, told[1]), ome=True)
    predict(command)
    assert "done before" not in capsys.readouterr().err
    table = tmp_path / "objects.csv"
    measure([str(out), "--images", str(path.parent), "--output", str(table)])
    text = table.read_text(encoding="utf-8")
    assert "plate_B2" in text
    assert "plate_C3" in text
    # One of them, under the file's name.
    one = tmp_path / "one"
    predict([str(path), "--output", str(one), "--iterations", "1", "--series", "1"])
    assert [p.name for p in one.glob("*.tif")] == ["plate.tif"]
    assert tifffile.imread(one / "plate.tif").shape == cut.shape


def test_opened_as_one_file_it_says_what_it_leaves_out(tmp_path):
    path = write_ome(tmp_path / "plate.ome.tif")
    with pytest.warns(FileNote, match="left out is the second"):
        assert np.array_equal(read_all(path)[0], LEFT)


def test_a_small_picture_of_each(tmp_path):
    path = write_ome(tmp_path / "plate.ome.tif")
    small = thumbnail(path / "right", 20)
    assert small.shape == (17, 10, 3)
