"""Which codecs a Zarr array may name: an allow-list, checked before zarr sees it.

A codec is code that the file chooses and zarr runs, and some of them unpickle.
"""

from __future__ import annotations

import json
import re
import reprlib
from typing import TYPE_CHECKING, Any

from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_BYTES = 1_000_000
"""The metadata of one array is a page of text."""
_NUMCODECS = {
    "adler32", "bitround", "blosc", "bz2", "crc32", "crc32c", "delta",
    "fixedscaleoffset", "fletcher32", "gzip", "jenkins_lookup3", "lz4", "lzma",
    "packbits", "quantize", "shuffle", "zlib", "zstd",
}  # fmt: skip
_ZARR_3 = {
    "blosc", "bytes", "crc32c", "endian", "gzip", "sharding_indexed", "transpose",
    "zstd", *(f"numcodecs.{name}" for name in _NUMCODECS),
}  # fmt: skip
_ZARR_2_NUMBER = re.compile(r"[<>|=][biufc]\d{1,2}")
_ZARR_3_NUMBER = re.compile(r"bool|(u?int|float|complex)\d{1,3}")


def check_codecs(group: Path, name: str) -> None:
    """Refuse an array that holds other than numbers, or names an unknown codec.

    Where the metadata of both Zarr formats are there, both are checked, since zarr
    chooses which it reads. An array without any passes: zarr will not find it either.

    Parameters
    ----------
    group : Path
        The group's folder.
    name : str
        The array's path in it, read as zarr reads it.

    Raises
    ------
    InputError
        If its metadata cannot be read, or name a codec or a data type that is not on
        the list.
    """
    array = group / name.replace("\\", "/").strip("/")
    for path in (array / ".zarray", array / "zarr.json"):
        if not path.is_file():
            continue
        try:
            if path.stat().st_size > MOST_BYTES:
                raise ValueError("it is too large")
            content = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(content, dict):
                raise TypeError("it is no object")
            if path.name == ".zarray":
                _check_format_2(path, content)
            else:
                _check_format_3(path, content)
        except InputError:
            raise
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise InputError(f"{path} cannot be read: {error}.") from error
        except RecursionError as error:
            raise InputError(f"{path} cannot be read: nested too deep.") from error


def _check_format_2(path: Path, content: dict[str, Any]) -> None:
    _check_type(path, content.get("dtype"), _ZARR_2_NUMBER)
    codecs = [content.get("compressor"), *(content.get("filters") or ())]
    _check_names(
        path,
        [codec.get("id") for codec in codecs if codec is not None],
        _NUMCODECS,
    )


def _check_format_3(path: Path, content: dict[str, Any]) -> None:
    if content.get("node_type") != "array":
        return
    _check_type(path, content.get("data_type"), _ZARR_3_NUMBER)
    _check_names(path, _names(content.get("codecs") or ()), _ZARR_3)


def _names(codecs: Any) -> Iterator[Any]:
    """The names of codecs, and of those within a shard."""
    for codec in codecs:
        if isinstance(codec, str):
            yield codec
            continue
        yield codec.get("name")
        inner = codec.get("configuration") or {}
        for part in ("codecs", "index_codecs"):
            yield from _names(inner.get(part) or ())


def _check_type(path: Path, found: Any, numbers: re.Pattern[str]) -> None:
    if not isinstance(found, str) or not numbers.fullmatch(found):
        raise InputError(
            f"{path} says that the array holds {reprlib.repr(found)}, not numbers: "
            "store the image as integers or floats."
        )


def _check_names(path: Path, names: Any, allowed: set[str]) -> None:
    for name in names:
        if name not in allowed:
            raise InputError(
                f"{path} names the codec {reprlib.repr(name)}, which is not opened "
                "because it could run code; store the image with blosc, zstd or gzip."
            )
