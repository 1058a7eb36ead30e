"""Files whose pixels are not what is meant to be seen are read as viewers show them."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import zarr
from imagecodecs import png_encode
from PIL import Image, ImageOps

from napari_samsp.data import image_source as stored_image
from napari_samsp.data.image_files import read_image, read_labels
from napari_samsp.data.image_source import open_image
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.notes import FileNote

RAMP = (np.arange(20 * 30) % 251).astype(np.uint8).reshape(20, 30)
COLOURS = np.stack([RAMP, RAMP // 2, 255 - RAMP], -1)


def opened(path):
    with open_image(path) as image:
        planes = [np.asarray(image.plane(index)[0]) for index in image.planes()]
    return planes[0] if len(planes) == 1 else np.stack(planes)


@pytest.fixture(params=["whole", "lazy"])
def lazy(request, monkeypatch):
    if request.param == "lazy":
        monkeypatch.setattr(stored_image, "LARGE_PIXELS", 10)


@pytest.mark.parametrize("value", range(2, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_turned_file_is_upright(tmp_path, lazy, name, value):
    path = tmp_path / name
    exif = Image.Exif()
    exif[0x0112] = value
    if name == "a.png":
        Image.fromarray(RAMP).save(path, exif=exif)
    else:
        extra = [(274, "H", 1, value, True)]
        tifffile.imwrite(path, RAMP, extratags=extra, rowsperstrip=4)
    marked = Image.fromarray(RAMP)
    marked.getexif()[0x0112] = value
    want = np.asarray(ImageOps.exif_transpose(marked))
    for read in (read_image, read_labels, opened):
        with pytest.warns(FileNote, match="upright"):
            assert np.array_equal(read(path), want)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16])
def test_white_is_zero(tmp_path, lazy, dtype):
    path = tmp_path / "a.tif"
    stored = RAMP > 90 if dtype is bool else RAMP.astype(dtype)
    options = {"photometric": "miniswhite", "rowsperstrip": 4, "compression": "zlib"}
    tifffile.imwrite(path, stored, **options)
    want = ~stored if dtype is bool else np.iinfo(dtype).max - stored
    assert np.array_equal(read_image(path), want)
    assert np.array_equal(opened(path), want)
    with pytest.warns(FileNote, match="as it is shown"):
        assert np.array_equal(read_labels(path), want)
    if dtype is not bool:
        tifffile.imwrite(path, stored, imagej=True, photometric="miniswhite")
        with pytest.warns(FileNote, match="values stay"):
            assert np.array_equal(read_labels(path), stored)


def test_a_tiff_with_a_palette(tmp_path, lazy):
    path = tmp_path / "a.tif"
    table = np.random.default_rng(0).integers(0, 256, (3, 256)).astype(np.uint16)
    tifffile.imwrite(path, RAMP, photometric="palette", colormap=table * 257)
    want = table.T[RAMP]
    assert np.array_equal(read_image(path), want)
    assert np.array_equal(opened(path), want)
    assert np.array_equal(read_labels(path), RAMP)


def test_a_thumbnail_is_no_image(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(RAMP[::5, ::5], subfiletype=1)
        file.write(RAMP, subfiletype=0)
    assert np.array_equal(read_image(path), RAMP)
    assert np.array_equal(opened(path), RAMP)


def test_of_several_images_the_largest_is_read_and_the_others_are_named(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(np.stack([RAMP[:7, :7]] * 40), photometric="minisblack")
        file.write(RAMP)
    for read in (read_image, opened):
        with pytest.warns(FileNote, match=r"left out is the first \(40 x 7 x 7\)"):
            assert np.array_equal(read(path), RAMP)


def test_another_image_can_be_picked(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for side in (7, 20, 9):
            file.write(RAMP[:side, :side])

    def picked(path, series):
        with open_image(path, series=series) as image:
            return np.asarray(image.plane(())[0])

    for read in (lambda path, series: read_image(path, series=series), picked):
        for number, side in enumerate((7, 20, 9)):
            assert read(path, number).shape == (side, side)
        with pytest.raises(InputError, match="has the images 0 to 2, not 3"):
            read(path, 3)
    tifffile.imwrite(path, RAMP)
    assert np.array_equal(read_image(path, series=3), RAMP), "there is only one"
    group = zarr.open_group(str(tmp_path / "b.zarr"), mode="w", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    for n, side in enumerate((7, 9)):
        image = group.create_group(str(n))
        image.create_array("0", data=RAMP[:side, :side])
        axes = [{"name": name} for name in "yx"]
        image.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0"}]}]
    assert picked(tmp_path / "b.zarr", None).shape == (7, 7)
    assert picked(tmp_path / "b.zarr", 1).shape == (9, 9)
    with pytest.raises(InputError, match="has the images 0 to 1, not 2"):
        picked(tmp_path / "b.zarr", 2)


def test_alpha_is_no_channel(tmp_path):
    path = tmp_path / "a.tif"
    both = np.stack([RAMP, 255 - RAMP], -1)
    options = {"photometric": "minisblack", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(path, both, **options)
    assert np.array_equal(read_image(path), RAMP)
    assert np.array_equal(opened(path), RAMP)


@pytest.mark.parametrize("name", ["a.tif", "a.png", "deep.png"])
def test_gray_with_gaps_is_rgba(tmp_path, lazy, name):
    alpha = np.where(RAMP > 200, 0, 255).astype(np.uint8)
    gray, path = RAMP, tmp_path / name
    if name == "a.tif":
        options = {"photometric": "minisblack", "extrasamples": ["unassalpha"]}
        tifffile.imwrite(path, np.stack([gray, alpha], -1), **options)
    elif name == "a.png":
        Image.fromarray(np.stack([gray, alpha], -1), "LA").save(path)
    else:
        gray = gray.astype(np.uint16) * 257
        path.write_bytes(png_encode(np.stack([gray, alpha], -1).astype(np.uint16)))
    want = np.stack([gray, gray, gray, alpha], -1)
    assert np.array_equal(read_image(path), want)
    with open_image(path) as image:
        plane, axis = image.plane(())
        assert axis is None
        assert np.array_equal(np.asarray(plane), want)
    assert np.array_equal(read_labels(path), gray)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_premultiplied_colours(tmp_path, lazy, dtype, planar):
    rng = np.random.default_rng(0)
    top = 1 if dtype is np.float32 else np.iinfo(dtype).max
    alpha = rng.uniform(0.5, 1, RAMP.shape)
    alpha[:3] = 0
    colours = COLOURS / 255
    stored = np.concatenate([colours * alpha[..., None], alpha[..., None]], -1) * top
    stored = stored.astype(dtype)
    if planar == "separate":
        stored = np.moveaxis(stored, -1, 0)
    options = {"photometric": "rgb", "planarconfig": planar, "extrasamples": [1]}
    tifffile.imwrite(tmp_path / "a.tif", stored, **options)
    for read in (read_image, opened):
        found = read(tmp_path / "a.tif")
        assert found.dtype == dtype
        assert found.shape == (20, 30, 4)
        assert not found[:3, :, 3].any()
        off = np.abs(found[3:, :, :3] / top - colours[3:])
        assert off.max() < (0.02 if dtype is np.uint8 else 1e-4)


def test_a_fourth_colour_that_is_not_said_to_be_alpha_is_dropped(tmp_path, lazy):
    stored = np.concatenate([COLOURS, 0 * COLOURS[..., :1]], -1)
    options = {"photometric": "rgb", "extrasamples": ["unspecified"]}
    tifffile.imwrite(tmp_path / "a.tif", stored, **options)
    assert np.array_equal(read_image(tmp_path / "a.tif"), COLOURS)
    assert np.array_equal(opened(tmp_path / "a.tif"), COLOURS)


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_a_colour_that_stands_for_no_data(tmp_path, mode):
    picture = Image.fromarray(COLOURS if mode == "RGB" else RAMP).convert(mode)
    clear = tuple(int(n) for n in COLOURS[3, 4]) if mode == "RGB" else int(RAMP[3, 4])
    picture.save(tmp_path / "a.png", transparency=clear)
    pixels = np.asarray(picture).reshape(20, 30, -1)
    found = read_image(tmp_path / "a.png")
    assert np.array_equal(found[..., 3] == 0, (pixels == pixels[3, 4]).all(-1))


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_a_deep_png_keeps_all_of_its_bits(tmp_path, channels):
    deep = np.stack([RAMP.astype(np.uint16) + n for n in range(channels)], -1)
    (tmp_path / "a.png").write_bytes(png_encode(deep))
    want = deep[..., 0] if channels == 2 else deep
    found = read_image(tmp_path / "a.png")
    assert found.dtype == np.uint16
    assert np.array_equal(found, want)


def test_what_the_file_says_of_its_axes_wins(tmp_path):
    narrow = np.stack([RAMP[:, k : k + 4] for k in range(5)])
    for options in ({"imagej": True}, {}, {"ome": True}):
        path = tmp_path / ("a.ome.tif" if "ome" in options else "a.tif")
        options |= {"photometric": "minisblack", "metadata": {"axes": "ZYX"}}
        tifffile.imwrite(path, narrow, **options)
        with open_image(path) as image:
            assert image.axes == "ZYX"
            assert image.labels_shape == (5, 20, 4)


@pytest.mark.parametrize("kind", ["WEBP", "BMP", "TIFF", "GIF", "JPEG2000"])
def test_the_content_counts_not_the_ending(tmp_path, kind):
    path = tmp_path / "a.png"
    options = {"lossless": True} if kind == "WEBP" else {}
    picture = Image.fromarray(RAMP if kind == "GIF" else COLOURS)
    picture.save(path, format=kind, **options)
    want = np.stack([RAMP] * 3, -1) if kind == "GIF" else COLOURS
    assert np.array_equal(opened(path), want)
    assert np.array_equal(read_image(path), want)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\n<!DOCTYPE html><html>404</html>", "an HTML page"),
        (b"%PDF-1.7", "a PDF"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        (b"", "an empty file"),
    ],
)
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_what_is_no_image_is_called_by_its_name(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    for read in (read_image, opened):
        with pytest.raises(InputError, match=words):
            read(tmp_path / name)


def test_a_missing_file_of_a_set_is_named(tmp_path):
    parts = "".join(
        f'<TiffData FirstT="{t}" IFD="0" PlaneCount="1"><UUID FileName="p{t}.ome.tif">'
        f"urn:uuid:{t}</UUID></TiffData>"
        for t in (0, 1)
    )
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME '
        'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="30" '
        'SizeY="20" SizeZ="1" SizeC="1" SizeT="2"><Channel ID="Channel:0:0" '
        f'SamplesPerPixel="1"/>{parts}</Pixels></Image></OME>'
    )
    path = tmp_path / "p0.ome.tif"
    tifffile.imwrite(path, RAMP, description=xml, metadata=None)
    for read in (read_image, opened):
        with pytest.raises(InputError, match=r"p1\.ome\.tif is missing"):
            read(path)
