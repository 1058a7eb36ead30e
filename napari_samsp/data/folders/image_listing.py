"""Which images files, folders, patterns and plates hold, and their names."""

from __future__ import annotations

import glob
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from napari_samsp.data.formats.ome_files import without_parts
from napari_samsp.data.formats.plates import field_name, fields_of
from napari_samsp.data.formats.scenes import is_scene, scene_name, scenes_of
from napari_samsp.data.image_files import IMAGE_SUFFIXES, is_image_folder, is_ome_zarr
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.file_names import suffix_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


def find_images(
    inputs: list[str],
    output: Path | None = None,
    recursive: bool = False,
    labels: Collection[Path] = (),
    split: bool = True,
) -> dict[str, Path]:
    """The images that the arguments name.

    Parameters
    ----------
    inputs : list of str
        Files, folders, and patterns as `glob.glob` takes them.
    output : Path, optional
        The output folder; what is in it is no input.
    recursive : bool
        Look into folders in folders.
    labels : collection of Path
        What earlier calls wrote: no folder and no pattern means these.
    split : bool
        Whether the images of a file that holds several, such as the scenes of a CZI
        and the series of a TIFF, are images of their own.

    Returns
    -------
    dict
        Output name, with the folders of a recursive search, to file, in order. Of an
        OME-TIFF in several files the first one; of a plate its fields.

    Raises
    ------
    InputError
        If one is missing, a folder holds no image, or two images have one name.
    """
    found: dict[str, Path] = {}
    for place in map(Path, inputs):
        for path, name in _images_at(place, output, recursive, labels, split):
            if found.setdefault(name, path) != path:
                both = f"{found[name]} and {path}"
                raise InputError(
                    f"{both} have one name: keep one of them, or choose by a pattern "
                    "such as 'folder/*.png'."
                    if output is None
                    else f"{both} would both become {name}.tif: use two output folders."
                )
    kept = set(without_parts(found.values()))
    return {name: path for name, path in found.items() if path in kept}


def list_images(place: Path, recursive: bool = False) -> list[tuple[str, Path]]:
    """The images of a folder, a pattern or a file; reads no pixels.

    Parameters
    ----------
    place : Path
        As one input of `find_images`.
    recursive : bool
        Look into folders in folders.

    Returns
    -------
    list of tuple
        Output name and file, in order. Where names would be the same, they keep the
        files' endings, and the folders that a pattern found them in. The files of an
        OME-TIFF in several are all listed.

    Raises
    ------
    InputError
        If the place is gone or holds no image.
    OSError
        If it cannot be read.
    """
    found = [
        (name, path) for path, name in _images_at(place, None, recursive, (), True)
    ]
    folder = os.path.commonpath([path.parent for _, path in found])
    for longer in (
        lambda name, path: f"{name.rpartition('/')[0]}/{path.name}".lstrip("/"),
        lambda _, path: path.relative_to(folder).as_posix(),
    ):
        uses = Counter(name.casefold() for name, _ in found)
        found = [
            (name if uses[name.casefold()] == 1 else longer(name, path), path)
            for name, path in found
        ]
    return found


def _images_at(
    place: Path,
    output: Path | None,
    recursive: bool,
    labels: Collection[Path],
    split: bool,
) -> list[tuple[Path, str]]:
    def is_image(path: Path) -> bool:
        if not (suffix_of(path) in IMAGE_SUFFIXES and path.is_file()):
            return is_image_folder(path)
        return not labels or path.parent.resolve() / path.name not in labels

    if place.is_file() or is_image_folder(place) or is_scene(place):
        return _images(place, place.name, split)
    if place.is_dir():
        real, top = place.resolve(), (output or place).resolve()
        within = top != real and top.is_relative_to(real)
        paths = sorted(
            path
            for folder in (_folders(place) if recursive else [place])
            if not (within and folder.resolve().is_relative_to(top))
            for path in folder.iterdir()
            if not path.name.startswith(".") and is_image(path)
        )
        if not paths:
            raise InputError(
                f"The folder {place} holds no image ({', '.join(IMAGE_SUFFIXES)} or "
                f"ome-zarr){'' if recursive else '; look deeper with --recursive'}."
            )
        return [
            image
            for path in paths
            for image in _images(path, path.relative_to(place).as_posix(), split)
        ]
    if glob.has_magic(str(place)):
        matched = dict.fromkeys(sorted(_matches(place)))
        paths = [path for path in matched if is_image(path)]
        if not paths:
            raise InputError(f"No image matches {place}.")
        return [image for path in paths for image in _images(path, path.name, split)]
    raise InputError(f"There is no file or folder {place}.")


def _folders(top: Path) -> Iterator[Path]:
    """A folder and those in it, each once, however links lead to it."""
    seen: set[Path] = set()
    linked = [top]
    while linked:
        waiting = [linked.pop(0)]
        while waiting:
            folder = waiting.pop()
            real = folder.resolve()
            if real in seen:
                continue
            seen.add(real)
            yield folder
            with os.scandir(folder) as entries:
                inside = sorted(
                    Path(entry) for entry in entries if entry.name[0] != "."
                )
            for path in reversed(inside):
                if path.is_dir() and not is_image_folder(path):
                    # Afterwards, so that a folder is known by its own name.
                    (linked if path.is_symlink() else waiting).append(path)


def _matches(pattern: Path) -> Iterator[Path]:
    """As `glob.glob` with ``**``, which would follow links in a circle."""
    if "**" not in pattern.parts:
        yield from map(Path, glob.glob(str(pattern)))
        return
    n = pattern.parts.index("**")
    rest = pattern.parts[n + 1 :] or ("*",)
    for top in glob.glob(str(Path(*pattern.parts[:n]))):
        if os.path.isdir(top):
            for folder in _folders(Path(top)):
                yield from _matches(Path(glob.escape(str(folder)), *rest))


def _images(path: Path, name: str, split: bool) -> list[tuple[Path, str]]:
    """An image and its name, or those of a plate's fields or a file's images."""
    folder = name[: -len(path.name)]
    if is_ome_zarr(path):
        if fields := fields_of(path):
            return [(field, folder + field_name(field)) for field in fields]
        if field := field_name(path):
            return [(path, folder + field)]
    if path.is_dir() and not is_ome_zarr(path):
        return [(path, name)]
    if scenes := (scenes_of(path) if split else []) or [path] * is_scene(path):
        return [(scene, folder + scene_name(scene)) for scene in scenes]
    ending = path.name[len(path.name) - len(suffix_of(path)) :]
    return [(path, name.removesuffix(ending).removesuffix(".ome"))]
