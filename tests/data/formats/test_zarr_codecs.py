"""What an OME-Zarr may name as its codecs."""

from __future__ import annotations

import json
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr
from numcodecs.abc import Codec
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec
from zarr.codecs.numcodecs import LZ4

from napari_samsp.data.image_source import open_image
from napari_samsp.utils.errors import InputError

PIXELS = np.arange(40 * 56, dtype=np.uint16).reshape(40, 56)


def write(folder: Path, zarr_format: int, **options) -> Path:
    group = zarr.open_group(str(folder), mode="w", zarr_format=zarr_format)
    array = group.create_array("0", shape=(40, 56), dtype="uint16", **options)
    array[...] = PIXELS
    scales = [{"axes": [{"name": n} for n in "yx"], "datasets": [{"path": "0"}]}]
    group.attrs["multiscales"] = scales
    return folder


def change(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.fixture
def ran(tmp_path):
    """What the installed codec ``planted`` makes as soon as it is used."""
    trace = tmp_path / "ran"

    class Planted(Codec):
        codec_id = "planted"

        def __init__(self, **_):
            trace.touch()

        def encode(self, buf):
            return buf

        def decode(self, buf, out=None):
            return buf

    numcodecs.register_codec(Planted)
    yield trace
    del numcodecs.registry.codec_registry["planted"]


@pytest.mark.parametrize("compressor", [BloscCodec, GzipCodec, ZstdCodec, LZ4, None])
@pytest.mark.parametrize("shards", [None, (40, 56)])
@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr")
def test_usual_codecs_of_format_3(tmp_path, compressor, shards):
    compressors = compressor and compressor()
    place = write(
        tmp_path / "a.zarr", 3, chunks=(20, 28), shards=shards, compressors=compressors
    )
    with open_image(place) as image:
        assert np.array_equal(image.array, PIXELS)


@pytest.mark.parametrize("name", ["blosc", "zlib", "gzip", "bz2", "lz4", "zstd"])
def test_usual_codecs_of_format_2(tmp_path, name):
    codec = numcodecs.get_codec({"id": name})
    filters = [numcodecs.Delta(dtype="<u2")]
    place = write(tmp_path / "a.zarr", 2, compressors=codec, filters=filters)
    with open_image(place) as image:
        assert np.array_equal(image.array, PIXELS)


@pytest.mark.parametrize("part", ["compressor", "filters", "consolidated", "slash"])
def test_no_other_installed_codec_is_used(tmp_path, ran, part):
    place = write(tmp_path / "a.zarr", 2)
    codec = {"id": "planted"}
    value = [codec] if part == "filters" else codec
    key = "filters" if part == "filters" else "compressor"
    if part == "consolidated":
        zarr.consolidate_metadata(str(place), zarr_format=2)
        path = place / ".zmetadata"
        content = json.loads(path.read_text())
        content["metadata"]["0/.zarray"][key] = value
        path.write_text(json.dumps(content))
        with open_image(place) as image:  # by the array's own metadata
            assert np.array_equal(image.array, PIXELS)
    else:
        change(place / "0" / ".zarray", **{key: value})
        if part == "slash":  # which zarr reads as if it was not there
            scales = [{"axes": ["y", "x"], "datasets": [{"path": "/0"}]}]
            change(place / ".zattrs", multiscales=scales)
        with (
            pytest.raises(InputError, match=r"codec 'planted'.*blosc"),
            open_image(place),
        ):
            pass
    assert not ran.exists()


def test_a_shard_names_no_other_codec(tmp_path):
    place = write(tmp_path / "a.zarr", 3, chunks=(20, 28), shards=(40, 56))
    path = place / "0" / "zarr.json"
    path.write_text(path.read_text().replace('"zstd"', '"numcodecs.pickle"'))
    with (
        pytest.raises(InputError, match=r"codec 'numcodecs.pickle'"),
        open_image(place),
    ):
        pass


@pytest.mark.parametrize("dtype", ["|O", "<U8", "|V4", [["a", "<u2"]], None])
def test_only_numbers(tmp_path, dtype):
    place = write(tmp_path / "a.zarr", 2)
    change(place / "0" / ".zarray", dtype=dtype)
    with pytest.raises(InputError, match=r"not numbers"), open_image(place):
        pass
