"""Files that may hold several named images: each has a path, such as mouse.czi/P1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_samsp.data.formats.czi_files import czi_scenes, read_czi
from napari_samsp.data.formats.file_kinds import microscope_kind
from napari_samsp.data.formats.nd2_lif_files import (
    lif_images,
    nd2_positions,
    read_lif,
    read_nd2,
)
from napari_samsp.data.formats.tiff_files import check_series
from napari_samsp.utils.errors import InputError, some
from napari_samsp.utils.file_names import safe_name, suffix_of
from napari_samsp.utils.notes import tell

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_samsp.data.voxel_size import VoxelSize

_READERS: dict[
    str, tuple[Callable[[Path], list[str]], Callable[..., tuple[Any, str, VoxelSize]]]
] = {
    ".czi": (czi_scenes, read_czi),
    ".lif": (lif_images, read_lif),
    ".nd2": (nd2_positions, read_nd2),
}
SCENE_SUFFIXES = tuple(_READERS)


def is_scene(path: Path) -> bool:
    """Whether a path is that of an image in a file, such as ``mouse.czi/P1``."""
    return suffix_of(path.parent) in SCENE_SUFFIXES and path.parent.is_file()


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
    if suffix_of(path) not in SCENE_SUFFIXES or not microscope_kind(path):
        return []
    try:
        names = _names(path)
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
    return f"{file.name[: -len(suffix_of(file))]}_{path.name}"


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
    names = _names(file)
    if file != path:
        if path.name not in names:
            raise InputError(f"{file} holds {some(names)}, and no {path.name}.")
        number = names.index(path.name)
    elif len(names) == 1:
        number = 0
    elif number is None:
        number = 0
        tell(
            f"{path} holds {some(names)}: the first is read; --series N picks another, "
            "counted from 0."
        )
    check_series(path, len(names), number)
    try:
        return _READERS[kind][1](file, number)
    except InputError:
        raise
    except Exception as error:  # the libraries raise many kinds for a broken file
        raise _unreadable(file, error) from error


def _names(path: Path) -> list[str]:
    """Good as file names, and each once."""
    try:
        told = _READERS[microscope_kind(path)][0](path)
    except InputError:
        raise
    except Exception as error:  # as above
        raise _unreadable(path, error) from error
    if not told:
        raise InputError(f"{path} holds no image.")
    if not any(told):
        return [str(number) for number in range(len(told))]
    names = [safe_name(name) for name in told]
    if len({name.casefold() for name in names}) == len(names):
        return names
    return [f"{name}_{number}" for number, name in enumerate(names)]


def _unreadable(path: Path, error: Exception) -> InputError:
    kind = microscope_kind(path)[1:].upper()
    return InputError(f"{path} cannot be read as {kind}: {error}")
