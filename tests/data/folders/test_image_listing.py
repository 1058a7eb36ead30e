"""Which images are found, and that none is found twice or for ever."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_samsp.data.folders.image_listing import find_images
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.notes import FileNote

links = pytest.mark.skipif(os.name == "nt", reason="links need a permission")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.png", "in/deep/b.png", "in/deep/er/c.png", "in/.hidden/d.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def found(*inputs, output="out", recursive=True, labels=()):
    images = find_images([*inputs], Path(output), recursive, labels)
    return {name: path.as_posix() for name, path in images.items()}


ALL = {
    "a": "in/a.png", "deep/b": "in/deep/b.png", "deep/er/c": "in/deep/er/c.png",
}  # fmt: skip


def test_an_ome_tiff_in_several_files_is_found_once(folder):
    space = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
    for z in range(2):
        parts = "".join(
            f'<TiffData FirstZ="{n}"><UUID FileName="p{n}.ome.tif">urn:uuid:{n}</UUID>'
            "</TiffData>"
            for n in range(2)
        )
        xml = f'<?xml version="1.0"?><OME UUID="urn:uuid:{z}" {space}>{parts}</OME>'
        path = Path(f"in/p{z}.ome.tif")
        tifffile.imwrite(path, np.zeros((4, 5)), description=xml, metadata=None)
    for inputs in (["in"], ["in/p0.ome.tif", "in/p1.ome.tif"], ["in/*.tif"]):
        with pytest.warns(FileNote, match=r"p1\.ome\.tif and .*p0\.ome\.tif are one"):
            images = found(*inputs, recursive=False)
        assert [name for name in images if name.startswith("p")] == ["p0"]


@links
@pytest.mark.parametrize("loops", [1, 3])
def test_links_in_a_circle_end_and_find_each_image_once(folder, loops):
    """Also several of them, which lead through each other without an end."""
    for n in range(loops):
        Path(f"in/deep/up{n}").symlink_to("..", target_is_directory=True)
        Path(f"in/again{n}").symlink_to("deep", target_is_directory=True)
    assert found("in") == ALL
    images = {"a": "in/a.png", "b": "in/deep/b.png", "c": "in/deep/er/c.png"}
    assert found("in/**/*.png") == images
    assert found("**/*.png") == images
    assert found("in/**/er/**") == {"c": "in/deep/er/c.png"}


@links
def test_a_linked_folder_is_looked_into(folder):
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "e.png").touch()
    Path("in/link").symlink_to(folder / "elsewhere", target_is_directory=True)
    assert found("in") == ALL | {"link/e": "in/link/e.png"}
    assert found("in/**/e.png") == {"e": "in/link/e.png"}


@pytest.mark.parametrize("output", ["in", ".", "in/deep"])
def test_an_output_around_or_in_the_input(folder, output):
    """Only an output within the input is not looked into."""
    expected = {"a": "in/a.png"} if output == "in/deep" else ALL
    assert found("in", output=output) == expected


def test_labels_of_earlier_calls_are_no_images(folder):
    labels = {(folder / "in" / "a.png").resolve()}
    assert found("in", recursive=False, labels={folder / "x"}) == {"a": "in/a.png"}
    for inputs in ("in", "in/*.png"):
        with pytest.raises(InputError, match=r"[Nn]o image"):
            found(inputs, recursive=False, labels=labels)
    assert found("in/a.png", labels=labels) == {"a": "in/a.png"}


@pytest.mark.parametrize("version", [2, 3])
def test_wells_and_fields_of_a_plate_are_images_with_names(folder, version):
    plate = zarr.open_group("in/p.zarr", mode="w", zarr_format=version)

    def describe(group, content):
        group.attrs.update({"ome": content} if version == 3 else content)

    describe(plate, {"plate": {"wells": [{"path": "A/1"}, {"path": "B/2"}]}})
    for well in ("A/1", "B/2"):
        made = plate.create_group(well)
        describe(made, {"well": {"images": [{"path": "0"}, {"path": "1"}]}})
        for field in "01":
            describe(made.create_group(field), {"multiscales": []})
    all_fields = {
        f"p_{well}_{n}": f"in/p.zarr/{well[0]}/{well[1]}/{n}"
        for well in ("A1", "B2")
        for n in range(2)
    }
    one_well = {name: path for name, path in all_fields.items() if "A1" in name}
    assert found("in/p.zarr") == all_fields
    assert found("in/p.zarr/*/*/*") == all_fields
    assert found("in/p.zarr/A/1") == one_well
    assert found("in", recursive=False) == {"a": "in/a.png"} | all_fields
    assert found("in") == ALL | all_fields
    describe(plate, {"plate": {"wells": [{"path": "../x"}]}})
    with pytest.raises(InputError, match="which is not in it"):
        found("in/p.zarr")
