"""Files that may hold several named images: each has a path, such as mouse.czi/P1."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import tifffile

from napari_samsp.data.formats.czi_files import czi_scenes, open_czi, read_czi
from napari_samsp.data.formats.file_kinds import is_tiff, microscope_kind
from napari_samsp.data.formats.nd2_lif_files import (
    lif_images,
    nd2_positions,
    open_lif,
    open_nd2,
    read_lif,
    read_nd2,
)
from napari_samsp.data.formats.ome_files import other_parts
from napari_samsp.data.formats.tiff_files import check_series, own_images
from napari_samsp.utils.errors import InputError, some
from napari_samsp.utils.file_names import safe_name, suffix_of
from napari_samsp.utils.notes import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from napari_samsp.data.voxel_size import VoxelSize


class _Format(NamedTuple):
    """How a kind of file is opened, and what an open one is asked."""

    open: Callable[[Path], AbstractContextManager[Any]]
    names: Callable[[Any], list[str]]
    read: Callable[[Path, Any, int], tuple[Any, str, VoxelSize]]


_FORMATS = {
    ".czi": _Format(open_czi, czi_scenes, read_czi),
    ".lif": _Format(open_lif, lif_images, read_lif),
    ".nd2": _Format(open_nd2, nd2_positions, read_nd2),
}
SCENE_SUFFIXES = tuple(_FORMATS)
_TIFF_SUFFIXES = (".tif", ".tiff")


def is_scene(path: Path) -> bool:
    """Whether a path is that of an image in a file, such as ``mouse.czi/P1``."""
    several = (*SCENE_SUFFIXES, *_TIFF_SUFFIXES)
    return suffix_of(path.parent) in several and path.parent.is_file()


def file_of(path: Path) -> Path:
    """The file on the disk that holds an image: mostly the image's own path."""
    return path.parent if is_scene(path) else path


def scenes_of(path: Path) -> list[Path]:
    """The images of a file.

    Parameters
    ----------
    path : Path
        A file of any kind.

    Returns
    -------
    list of Path
        In the order of the file; none if it is not known to hold several.
    """
    if suffix_of(path) in _TIFF_SUFFIXES:
        names = list(_tiff_images_at(path))
        return [path / name for name in names] if len(names) > 1 else []
    kind = microscope_kind(path) if suffix_of(path) in SCENE_SUFFIXES else ""
    if not kind:
        return []
    try:
        with _opened(path, kind) as file:
            names = _names(_FORMATS[kind].names(file))
    except InputError:
        return []  # it is said when the file itself is opened
    return [path / name for name in names] if len(names) > 1 else []


def scene_name(path: Path) -> str:
    """What an image in a file is called, such as ``mouse_P1``.

    Parameters
    ----------
    path : Path
        For which `is_scene` holds.
    """
    file = path.parent
    stem = file.name[: -len(suffix_of(file))].removesuffix(".ome")
    return f"{stem}_{path.name}"


def tiff_image(path: Path, file: tifffile.TiffFile, number: int | None) -> int | None:
    """Find the series that a path such as ``cells.tif/P1`` means.

    Parameters
    ----------
    path : Path
        Of a file, or of an image in one.
    file : tifffile.TiffFile
        That file, open.
    number : int or None
        What is returned for the path of a file.

    Returns
    -------
    int or None
        From 0, or `number`.

    Raises
    ------
    InputError
        If the file has no image of that name.
    """
    if not is_scene(path):
        return number
    images = _tiff_images(file)
    if path.name not in images:
        raise InputError(
            f"{path.parent} holds {some(list(images))}, and no {path.name}."
        )
    return images[path.name]


def _tiff_images(file: tifffile.TiffFile) -> dict[str, int]:
    """The numbers of the series that are images, by the names that they have here."""
    series = file.series
    numbers = own_images(series)
    told = [series[n].name for n in numbers]
    return dict(zip(_names(told, numbers), numbers, strict=True))


def _tiff_images_at(path: Path) -> dict[str, int]:
    """As `_tiff_images`; empty for one image, which most files hold, and broken files.

    An OME-TIFF in several files is taken for one image, too: each of the files names
    all images of the set.
    """
    try:
        if not is_tiff(path):
            return {}
        with tifffile.TiffFile(path) as file:
            one = not file.pages.is_multipage or file.is_imagej
            return {} if one or other_parts(path, file) else _tiff_images(file)
    except Exception:  # tifffile raises many kinds; it is said when the file is read
        return {}


def read_scene(
    path: Path, number: int | None = None
) -> tuple[Any, str, VoxelSize] | None:
    """Read an image in a file, or the first of a file that may hold several.

    Parameters
    ----------
    path : Path
        A file of any kind, or such a path as `scenes_of` returns.
    number : int, optional
        Which image of the file, from 0.

    Returns
    -------
    tuple or None
        The array, which may be lazy, its axes and the voxel size; None for what is of
        another format.

    Raises
    ------
    InputError
        If it cannot be read, has no such image, or a library is missing.
    """
    file = file_of(path)
    kind = microscope_kind(file)
    if not kind:
        return None
    with _opened(file, kind) as opened:
        names = _names(_FORMATS[kind].names(opened))
        if not names:
            raise InputError(f"{file} holds no image.")
        return _FORMATS[kind].read(file, opened, _number(path, names, number))


def _number(path: Path, names: list[str], number: int | None) -> int:
    """Which of a file's images a path and a number mean."""
    if is_scene(path):
        if path.name not in names:
            raise InputError(f"{path.parent} holds {some(names)}, and no {path.name}.")
        return names.index(path.name)
    if len(names) == 1:
        return 0
    check_series(path, len(names), number)
    if number is None:
        tell(
            f"{path} holds {some(names)}: the first is read; --series N picks another, "
            "counted from 0."
        )
    return number or 0


@contextmanager
def _opened(path: Path, kind: str) -> Iterator[Any]:
    """An open file; whatever its library raises becomes a sentence."""
    try:
        with _FORMATS[kind].open(path) as file:
            yield file
    except InputError:
        raise
    except Exception as error:  # the libraries raise many kinds for a broken file
        raise InputError(
            f"{path} cannot be read as {kind[1:].upper()}: {error}"
        ) from error


def _names(told: list[str], numbers: Sequence[int] | None = None) -> list[str]:
    """Good as file names, and each once; the numbers are from 0 if none are given."""
    numbers = range(len(told)) if numbers is None else numbers
    if not any(told):
        return [str(number) for number in numbers]
    names = [safe_name(name) for name in told]
    if len({name.casefold() for name in names}) == len(names):
        return names
    return [f"{name}_{n}" for n, name in zip(numbers, names, strict=True)]
