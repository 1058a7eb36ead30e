"""CZI, LIF and ND2: each scene of a file is an image with a name of its own."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_samsp.data import image_source
from napari_samsp.data.folders.image_listing import find_images, list_images
from napari_samsp.data.image_files import read_image
from napari_samsp.data.image_source import open_image
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.measure import main as measure
from napari_samsp.predict import main as predict
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.notes import FileNote

SCENES = (np.arange(2 * 3 * 2 * 40 * 60, dtype=np.uint16) * 7).reshape(2, 3, 2, 40, 60)
"""Two scenes of three slices of two channels."""


def write_czi(path: Path, scenes: np.ndarray, names: tuple[str, ...] = ()) -> None:
    """Scenes, slices, channels, rows, columns, and perhaps colours."""
    czi = pytest.importorskip("pylibCZIrw.czi")
    path.parent.mkdir(parents=True, exist_ok=True)
    with czi.create_czi(str(path), exist_ok=True) as file:
        for s, scene in enumerate(scenes):
            for z, c in np.ndindex(scene.shape[:2]):
                pixels = scene[z, c]
                file.write(
                    pixels[..., None] if pixels.ndim == 2 else pixels[..., ::-1],
                    plane={"Z": z, "C": c}, scene=s, location=(100 * s, 50 * s),
                )  # fmt: skip
        file.write_metadata(path.stem, scale_x=2e-7, scale_y=3e-7, scale_z=1e-6)
    if not names:
        return
    with czi.edit_czi(str(path)) as editor:
        told = "".join(
            f'<Scene Index="{n}" Name="{name}"/>' for n, name in enumerate(names)
        )
        scenes_xml = f"<S><Scenes>{told}</Scenes></S>"
        builder = editor.create_metadata_builder()
        text = editor.read_metadata_xml()
        builder.set_xml(text.replace("<Dimensions>", f"<Dimensions>{scenes_xml}", 1))
        builder.commit()


def write_lif(path: Path, images: dict[str, np.ndarray]) -> None:
    """Images of slices, rows and columns, 0.5 µm apart, 2 µm in depth."""

    def block(content: bytes) -> bytes:
        return struct.pack("<II", 0x70, len(content)) + content

    elements, blocks = "", b""
    for n, (name, image) in enumerate(images.items()):
        depth, rows, columns = image.shape
        sides = "".join(
            f'<DimensionDescription DimID="{axis}" NumberOfElements="{side}" '
            f'Origin="0" Length="{step * (side - 1)}" Unit="m" BytesInc="{stride}" '
            'BitInc="0"/>'
            for axis, side, step, stride in (
                (1, columns, 5e-7, 2), (2, rows, 5e-7, 2 * columns),
                (3, depth, 2e-6, 2 * columns * rows),
            )
        )  # fmt: skip
        elements += (
            f'<Element Name="{name}"><Data><Image><ImageDescription><Channels>'
            '<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" '
            'NameOfMeasuredQuantity="" Min="0" Max="65535" Unit="" LUTName="Gray" '
            'IsLUTInverted="0" BytesInc="0" BitInc="0"/></Channels>'
            f"<Dimensions>{sides}</Dimensions></ImageDescription></Image></Data>"
            f'<Memory Size="{image.nbytes}" MemoryBlockID="M{n}"/></Element>'
        )
        title = f"M{n}".encode("utf-16-le")
        head = struct.pack("<BQBI", 0x2A, image.nbytes, 0x2A, len(title) // 2)
        blocks += block(head + title) + image.astype("<u2").tobytes()
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="top"><Children>'
        f"{elements}</Children></Element></LMSDataContainerHeader>"
    )
    text = xml.encode("utf-16-le")
    path.write_bytes(block(struct.pack("<BI", 0x2A, len(xml)) + text) + blocks)


@pytest.fixture(params=[10**9, 1000], ids=["whole", "by blocks"])
def limit(request, monkeypatch):
    monkeypatch.setattr(image_source, "LARGE_PIXELS", request.param)


@pytest.mark.parametrize(
    "names, want",
    [((), ["0", "1"]), (("P/1", "P2"), ["P_1", "P2"]), (("a", "A"), ["a_0", "A_1"])],
)
def test_the_scenes_of_a_czi(tmp_path, limit, names, want):
    path = tmp_path / "mouse.czi"
    write_czi(path, SCENES, names)
    images = find_images([str(tmp_path)], tmp_path / "out")
    assert images == {f"mouse_{name}": path / name for name in want}
    assert find_images([str(path / want[1])]) == {f"mouse_{want[1]}": path / want[1]}
    assert list_images(tmp_path) == list(images.items())
    for scene, place in zip(SCENES, images.values(), strict=True):
        with open_image(place) as image:
            assert image.axes == "ZCYX"
            assert np.array_equal(np.asarray(image.array), scene)
            corner = image.plane((2,), (1,))[0][7:31, 5:9]
            assert np.array_equal(np.asarray(corner), scene[2, 1, 7:31, 5:9])
            assert image.voxels.scale == {"Z": 1, "Y": 0.3, "X": 0.2}
            assert set(image.voxels.units.values()) == {"micrometer"}
    with pytest.raises(InputError, match=f"holds {want[0]}, {want[1]}, and no P7"):
        read_all(path / "P7")


def read_all(path, **options):
    with open_image(path, **options) as image:
        return np.asarray(image.array), image.axes


def test_a_czi_opened_as_one_file_says_which_scene_it_reads(tmp_path):
    path = tmp_path / "mouse.czi"
    write_czi(path, SCENES)
    with pytest.warns(FileNote, match="holds 0, 1: the first is read"):
        assert np.array_equal(read_all(path)[0], SCENES[0])
    assert np.array_equal(read_all(path, series=1)[0], SCENES[1])
    with pytest.raises(InputError, match="images 0 to 1, not 2"):
        read_all(path, series=2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_czi_of_one_scene_in_gray_or_colour(tmp_path, dtype):
    gray = (np.arange(40 * 60) % 251).reshape(1, 1, 1, 40, 60).astype(dtype)
    write_czi(tmp_path / "gray.czi", gray)
    colour = np.stack([gray, gray[..., ::-1], gray * 0 + 9], -1)
    assert find_images([str(tmp_path)]) == {"gray": tmp_path / "gray.czi"}
    assert np.array_equal(read_image(tmp_path / "gray.czi"), gray[0, 0, 0])
    write_czi(tmp_path / "deep" / "rgb.czi", colour)
    if dtype == np.float32:  # which the library does not read
        with pytest.raises(InputError, match="Bgr96Float, which is not read"):
            read_all(tmp_path / "deep" / "rgb.czi")
        return
    array, axes = read_all(tmp_path / "deep" / "rgb.czi")
    assert axes == "YXS"
    assert array.dtype == dtype
    assert np.array_equal(array, colour[0, 0, 0])


def test_the_tiles_of_a_mosaic_are_put_together(tmp_path, limit):
    """Where there is none the pixels are 0."""
    czi = pytest.importorskip("pylibCZIrw.czi")
    tiles = SCENES[0, :2, 0] + 1
    with czi.create_czi(str(tmp_path / "slide.czi")) as file:
        for tile, place in zip(tiles, [(-20, 5), (40, 15)], strict=True):
            file.write(data=tile[..., None], plane={"C": 0}, location=place)
    whole = np.zeros((50, 120), np.uint16)
    whole[:40, :60], whole[10:, 60:] = tiles
    array, axes = read_all(tmp_path / "slide.czi")
    assert axes == "YX"
    assert np.array_equal(array, whole)


def test_scenes_are_segmented_and_measured_under_their_names(tmp_path, nuclei, capsys):
    path, out = tmp_path / "in" / "plate.czi", tmp_path / "out"
    turned = np.stack([nuclei[0], nuclei[0][::-1]])[:, None, None].astype(np.uint16)
    write_czi(path, turned, ("B2", "C3"))
    command = [str(path.parent), "--output", str(out), "--iterations", "1"]
    predict(command)
    labels = {p.name: tifffile.imread(p) for p in out.glob("*.tif")}
    assert sorted(labels) == ["plate_B2.tif", "plate_C3.tif"]
    assert all(found.shape == (96, 160) and found.max() for found in labels.values())
    assert not np.array_equal(*labels.values())
    predict(command)
    assert "2 of 2 images were done before" in capsys.readouterr().err
    write_czi(path, turned + 1, ("B2", "C3"))
    predict(command)
    assert "done before" not in capsys.readouterr().err
    table = tmp_path / "objects.csv"
    measure([str(out), "--images", str(path.parent), "--output", str(table)])
    text = table.read_text()
    assert "plate_B2" in text
    assert "plate_C3" in text
    assert "µm" in text or "um" in text


def test_the_images_of_a_lif(tmp_path):
    pytest.importorskip("liffile")
    stacks = {"left": SCENES[0, :, 0], "right": SCENES[1, :2, 1, :30]}
    write_lif(tmp_path / "fly.lif", stacks)
    images = find_images([str(tmp_path)])
    assert list(images) == ["fly_left", "fly_right"]
    for path, stack in zip(images.values(), stacks.values(), strict=True):
        with open_image(path) as image:
            assert image.axes == "ZYX"
            assert np.array_equal(image.array, stack)
            assert image.voxels.scale == {"Z": 2, "Y": 0.5, "X": 0.5}


HEADS = {"czi": b"ZISRAWFILE", "nd2": b"\xda\xce\xbe\n", "lif": b"p\0\0\0\x99\0\0\0*"}
LIBRARIES = {"czi": "pylibCZIrw.czi", "nd2": "nd2", "lif": "liffile"}


@pytest.mark.parametrize("kind", HEADS)
def test_a_missing_library_says_how_to_get_it(tmp_path, monkeypatch, kind):
    (tmp_path / f"a.{kind}").write_bytes(HEADS[kind] + bytes(99))
    monkeypatch.setitem(sys.modules, LIBRARIES[kind], None)
    assert list(find_images([str(tmp_path)])) == ["a"]
    with pytest.raises(InputError, match=r'pip install "napari-samsp\[formats\]"'):
        read_all(tmp_path / f"a.{kind}")


@pytest.mark.parametrize("kind", HEADS)
def test_broken_files_get_a_sentence(tmp_path, kind):
    pytest.importorskip(LIBRARIES[kind])
    path = tmp_path / f"a.{kind}"
    path.write_bytes(HEADS[kind] + bytes(999))
    for read in (read_all, read_image):
        with pytest.raises(InputError, match=f"{path.name}.* {kind.upper()}"):
            read(path)


def test_a_czi_of_a_training_set(tmp_path):
    write_czi(tmp_path / "s" / "images" / "a.czi", SCENES[:, :1, :1])
    labels = np.zeros((40, 60), np.uint8)
    labels[5:20, 8:30] = 1
    (tmp_path / "s" / "masks").mkdir()
    tifffile.imwrite(tmp_path / "s" / "masks" / "a.tif", labels)
    (sample,) = TrainingSet(tmp_path / "s").check()
    image, mask = sample.read(series=1)
    assert np.array_equal(image, SCENES[1, 0, 0])
    assert np.array_equal(mask, labels)


def test_a_file_is_opened_once_for_its_names_and_its_pixels(tmp_path, monkeypatch):
    library = pytest.importorskip("liffile")
    write_lif(tmp_path / "fly.lif", {"left": SCENES[0, :, 0], "right": SCENES[1, :, 0]})
    opened = []

    class Counted(library.LifFile):
        def __init__(self, file, *args, **kwargs):
            opened.append(file)
            super().__init__(file, *args, **kwargs)

    monkeypatch.setattr(library, "LifFile", Counted)
    assert np.array_equal(read_all(tmp_path / "fly.lif" / "right")[0], SCENES[1, :, 0])
    assert len(opened) == 1
