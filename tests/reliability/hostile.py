"""Broken and hostile files, each made by a function that takes a folder.

Whatever a case makes lies within that folder; nothing may appear beside it.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import zarr
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

RAMP = np.arange(40 * 56, dtype=np.uint8).reshape(40, 56)
ONES = np.pad(np.ones((20, 30), np.uint8), 10)[:40, :56]


class Plant:
    """Makes a folder when it is unpickled without care."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


def planted(folder: Path) -> Path:
    """What must never appear."""
    return folder / "planted"


def tiff(array: np.ndarray = RAMP, **kwargs: Any) -> bytes:
    """A TIFF's content."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **kwargs)
    return buffer.getvalue()


def picture(kind: str) -> bytes:
    """A PNG's or JPEG's content."""
    buffer = io.BytesIO()
    Image.fromarray(RAMP).save(buffer, kind)
    return buffer.getvalue()


def png_bomb(side: int = 200_000) -> bytes:
    """A small PNG whose header says that it is huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        code = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", code)

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(10_000_000), 9)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff_claiming(width: int, height: int) -> bytes:
    """A TIFF of a few hundred bytes whose header claims a size."""
    content = bytearray(tiff())
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        tags = file.pages[0].tags
        order = file.byteorder
        for name, value in (("ImageWidth", width), ("ImageLength", height)):
            tag = tags[name]
            # As a 32-bit number in place of whatever it was.
            content[tag.offset + 2 : tag.offset + 12] = struct.pack(
                f"{order}HII", 4, 1, value
            )
    return bytes(content)


def zarr_claiming(place: Path, shape: tuple, chunks: tuple) -> None:
    """An OME-Zarr without a single chunk that claims a shape."""
    group = zarr.open_group(str(place), mode="w", zarr_format=2)
    group.create_array("0", shape=shape, chunks=chunks, dtype="uint8")
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": [{"name": name} for name in "yx"],
            "datasets": [{"path": "0"}],
        }
    ]


def link_to_itself(place: Path) -> None:
    """Make a link that leads nowhere else."""
    place.symlink_to(place.name)


def text_file(content: str | bytes) -> Callable[[Path], None]:
    """Make a file of this content."""
    data = content.encode() if isinstance(content, str) else content
    return lambda place: Path(place).write_bytes(data) and None


def _zarr_without(name: str) -> Callable[[Path], None]:
    def make(place: Path) -> None:
        zarr_claiming(place, (40, 56), (40, 56))
        (place / name).unlink()

    return make


def _zarr_chunk(place: Path) -> None:
    zarr_claiming(place, (40, 56), (40, 56))
    chunk = next(p for p in place.rglob("*") if p.name == ".zarray").parent / "0.0"
    chunk.write_bytes(b"not a compressed chunk")


def _zarr_naming(**changes: Any) -> Callable[[Path], None]:
    """An array's metadata changed, and a chunk that runs code if it is unpickled."""

    def make(place: Path) -> None:
        zarr_claiming(place, (40, 56), (40, 56))
        metadata = place / "0" / ".zarray"
        metadata.write_text(json.dumps(json.loads(metadata.read_text()) | changes))
        (place / "0" / "0.0").write_bytes(pickle.dumps(Plant(planted(place.parent))))

    return make


IMAGES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "an empty TIFF": ("a.tif", text_file(b"")),
    "a TIFF cut after its header": ("a.tif", text_file(tiff()[:20])),
    "a TIFF cut in its pixels": ("a.tif", text_file(tiff(compression="zlib")[:-400])),
    "a TIFF that is text": ("a.tif", text_file("<html>404</html>")),
    "a TIFF of noise": (
        "a.tif", text_file(b"II*\0" + np.random.default_rng(0).bytes(4000))
    ),
    "a TIFF of NaN": ("a.tif", text_file(tiff(np.full((9, 9), np.nan, np.float32)))),
    "a TIFF of infinite values": (
        "a.tif", text_file(tiff(np.where(ONES > 0, np.inf, 0).astype(np.float32)))
    ),
    "a TIFF of complex numbers": ("a.tif", text_file(tiff(RAMP.astype(np.complex64)))),
    "a TIFF of a million by a million": (
        "a.tif", text_file(tiff_claiming(1_000_000, 1_000_000))
    ),
    "a TIFF of no width": ("a.tif", text_file(tiff_claiming(0, 40))),
    "a folder named .tif": ("a.tif", lambda place: place.mkdir()),
    "a link to itself": ("a.tif", link_to_itself),
    "a link to nothing": ("a.tif", lambda place: place.symlink_to("gone.tif")),
    "an empty PNG": ("a.png", text_file(b"")),
    "a PNG cut in its pixels": ("a.png", text_file(picture("PNG")[:-100])),
    "a PNG that unfolds to 40 gigabytes": ("a.png", text_file(png_bomb())),
    "a PNG that is PostScript": (
        "a.png",
        text_file("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"),
    ),
    "an empty JPEG": ("a.jpg", text_file(b"")),
    "a JPEG cut in its pixels": ("a.jpg", text_file(picture("JPEG")[:200])),
    "a JPEG of noise": ("a.jpg", text_file(b"\xff\xd8\xff\xe0" + bytes(300))),
    "a file of another kind": ("a.xyz", text_file("x")),
    "no file": ("a.tif", lambda place: None),
    "a zarr group of nothing": ("a.zarr", lambda p: zarr.open_group(str(p), mode="w")),
    "a zarr of 10^12 by 10^12": (
        "a.zarr", lambda p: zarr_claiming(p, (10**12, 10**12), (1000, 1000))
    ),
    "a zarr with a chunk of 10^12": (
        "a.zarr", lambda p: zarr_claiming(p, (40, 56), (10**6, 10**6))
    ),
    "a zarr whose array is gone": ("a.zarr", _zarr_without("0/.zarray")),
    "a zarr without axes": ("a.zarr", _zarr_without(".zattrs")),
    "a zarr with a broken chunk": ("a.zarr", _zarr_chunk),
    "a zarr of objects that runs code": (
        "a.zarr",
        _zarr_naming(
            dtype="|O",
            fill_value="",
            compressor=None,
            filters=[{"id": "vlen-utf8"}, {"id": "pickle", "protocol": 5}],
        ),
    ),
    "a zarr of numbers that runs code": (
        "a.zarr", _zarr_naming(compressor={"id": "pickle", "protocol": 5})
    ),
    "a zarr whose codec is a list": ("a.zarr", _zarr_naming(compressor=["pickle"])),
}  # fmt: skip

MASKS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a mask of fractions": ("a.tif", text_file(tiff(RAMP / np.float32(7)))),
    "a mask of negative labels": ("a.tif", text_file(tiff(-ONES.astype(np.int16)))),
    "a mask of NaN": ("a.tif", text_file(tiff(np.full((40, 56), np.nan, np.float32)))),
    "a mask of labels above 2^31": (
        "a.tif", text_file(tiff(ONES.astype(np.uint64) * 2**40))
    ),
    "a mask of colours": ("a.tif", text_file(tiff(np.stack([RAMP] * 3, axis=-1)))),
    "a mask of another size": ("a.tif", text_file(tiff(RAMP[:, :50]))),
    "a mask of a million by a million": (
        "a.tif", text_file(tiff_claiming(1_000_000, 1_000_000))
    ),
    "a mask that is cut short": ("a.tif", text_file(tiff()[:200])),
    "an empty mask file": ("a.png", text_file(b"")),
    "a mask without a label": ("a.tif", text_file(tiff(RAMP * 0))),
    "a mask that is a folder": ("a.tif", lambda place: place.mkdir()),
    "a mask that links to itself": ("a.tif", link_to_itself),
}  # fmt: skip


RECIPES: dict[str, tuple[str | bytes, str]] = {
    "an unknown key": ("epoch: 3", "did you mean epochs"),
    "an unknown key like none": ("zzzzzz: 3", "unknown setting"),
    "a Python tag": ("rank: !!python/object/apply:os.mkdir [planted]", "YAML"),
    "a Python name": ("model: !!python/name:os.system", "YAML"),
    "a list": ("- rank", "NAME: VALUE"),
    "keys that are numbers": ("1: 2", "NAME: VALUE"),
    "bytes": (b"\xff\xfe\x00\x01", "YAML"),
    "nested too deep": ("[" * 50_000, "YAML"),
    "a billion laughs": (
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
            for old, new in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "unknown setting",
    ),
    "a laughing value": (
        "a: &a [x,x]\nrank: [*a,*a,*a]".replace("a: &a", "model: &a", 1),
        "cannot be",
    ),
    "a negative number": ("rank: -4", "at least 1"),
    "a huge number": ("rank: 1000000000000", "at most"),
    "a number of 5,000 digits": ("rank: " + "9" * 5000, "YAML"),
    "no number": ("minutes: .nan", "minutes must be"),
    "an infinite number": ("minutes: .inf", "at most"),
    "an infinite rate": ("rate: .inf", "rate must be"),
    "a word for a number": ("epochs: many", "cannot be"),
    "yes for a number": ("epochs: yes", "cannot be"),
    "a seed of 10^30": (f"seed: {10**30}", "at most"),
    "a prompt unknown": ("prompt: circle", "Unknown prompt kind"),
    "a model that leaves the folder": ("model: ../../../etc/passwd", "etc/passwd"),
    "a device unknown": ("device: tpu", "tpu"),
}
