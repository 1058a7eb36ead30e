"""Labels to and from other programs: ``python -m napari_samsp.convert``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.data.annotations import coco
from napari_samsp.data.annotations.formats import (
    ENDINGS,
    LABEL_IMAGES,
    format_of,
    read,
    write,
)
from napari_samsp.data.folders.image_listing import find_images
from napari_samsp.data.formats.size_limit import check_size
from napari_samsp.data.image_source import open_image
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.utils.cli import Parser, run
from napari_samsp.utils.errors import InputError, in_words, is_disk_error
from napari_samsp.utils.file_names import composed

if TYPE_CHECKING:
    from collections.abc import Iterator

TRAINING_SET = "training-set"
READ = (*ENDINGS, "cellpose")


class _Images:
    """The images that labels belong to, and how large they are."""

    def __init__(self, folder: str | None, size: tuple[int, int] | None) -> None:
        self.folder, self._size = folder, size
        found = find_images([folder], recursive=True) if folder else {}
        # Formats name images without folders.
        self._paths = {composed(Path(n).name): path for n, path in found.items()}
        self._only = next(iter(found.values())) if len(found) == 1 else None

    def path(self, name: str) -> Path | None:
        """The file of a name; a single image belongs to whatever there is."""
        return self._paths.get(composed(name), self._only)

    def shape(self, name: str) -> tuple[int, int]:
        """Height and width."""
        path = self.path(name)
        if path is not None:
            with open_image(path) as image:
                height, width = image.labels_shape[-2:]
            return height, width
        if self._size is not None:
            return self._size
        where = f"no image of that name in {self.folder}" if self.folder else "no image"
        raise InputError(
            f"There is {where}, and the format of {name} does not tell its size: give "
            "--images DIR or --size HEIGHTxWIDTH."
        )

    def pixels(self, name: str) -> np.ndarray:
        """Read an image as a training set holds it."""
        path = self.path(name)
        if path is None:
            raise InputError(f"There is no image of {name} in {self.folder}.")
        with open_image(path) as image:
            if image.plane_axes:
                raise InputError(
                    f"{path} is a stack: save its slices as files of their own."
                )
            return np.asarray(image.plane((), range(image.channel_count))[0])


def find_sources(source: Path, form: str | None = None) -> dict[Path, str]:
    """The files to convert, with their formats.

    Parameters
    ----------
    source : Path
        A file, or a folder of files of one format.
    form : str, optional
        The format; otherwise it is told by the files. In a folder, label images count
        only where there are no other annotations, since images lie beside those.

    Returns
    -------
    dict
        Format by file, in order.

    Raises
    ------
    InputError
        If there is none, or a folder holds several formats.
    """
    if not source.exists():
        raise InputError(f"There is no file or folder {source}.")
    if not source.is_dir() or format_of(source) is not None:
        found = form or format_of(source)
        if found is None:
            raise InputError(
                f"The format of {source} is not known; it can be {', '.join(READ)}."
            )
        return {source: found}
    files = {}
    for path in sorted(source.iterdir()):
        if not path.name.startswith(".") and (kind := format_of(path)):
            files[path] = kind
    if form is None:
        others = {p: kind for p, kind in files.items() if kind not in LABEL_IMAGES}
        files = others or files
        kinds = set(files.values())
        if len(kinds) > 1 and not kinds <= set(LABEL_IMAGES):
            raise InputError(
                f"{source} holds several formats, {', '.join(sorted(kinds))}: choose "
                "one with --from."
            )
    else:
        files = {p: kind for p, kind in files.items() if kind == form}
    if not files:
        raise InputError(f"{source} holds no {form or 'labels in a known format'}.")
    return files


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Raises
    ------
    InputError
        If nothing can be converted, or after the rest is, a file could not be.
    """
    options = _parser().parse_args(arguments)
    to = options.to or _format_by_name(options.output)
    sources = find_sources(options.source, options.form)
    options.sources = {path.resolve() for path in sources}
    images = _Images(options.images, options.size)
    if to == TRAINING_SET and not options.images:
        raise InputError("A training set needs images: give their folder by --images.")
    failed: list[str] = []
    labels = _labels(sources, images, failed)
    if to == TRAINING_SET:
        count = _make_set(labels, images, options, failed)
    elif to == "coco":
        count = _write_coco(labels, images, options)
    else:
        count = _write_files(labels, images, to, options, failed)
    if failed:
        rest = f" ({count} images are converted)" if count else ""
        raise InputError(" ".join(failed) + rest)
    return 0


def _labels(
    sources: dict[Path, str], images: _Images, failed: list[str]
) -> Iterator[tuple[str, np.ndarray]]:
    """The labels of all files; a broken one is noted, and the rest goes on."""
    for path, form in sources.items():
        try:
            yield from read(path, form, images.shape)
        except (InputError, OSError) as error:
            _note(path, error, failed)


def _note(path: Path | str, error: InputError | OSError, failed: list[str]) -> None:
    if isinstance(error, OSError) and not is_disk_error(error):
        raise error
    words = in_words(error)
    failed.append(words if str(path) in words else f"{path}: {words}")


def _write_files(
    labels: Iterator[tuple[str, np.ndarray]],
    images: _Images,
    to: str,
    options: argparse.Namespace,
    failed: list[str],
) -> int:
    output, ending = options.output, ENDINGS[to]
    single = _is_file_name(output, to)
    if not single:
        output.mkdir(parents=True, exist_ok=True)
    written: set[Path] = set()
    for name, array in labels:
        path = output if single else output / f"{_plain(name)}{ending}"
        if path in written:
            what = "is one file" if single else f"would hold two images named {name}"
            raise InputError(f"{output} {what}: choose a folder for several.")
        try:
            _check_free(path, options)
            write(path, to, array, _file_name(images, name))
            written.add(path)
        except (InputError, OSError) as error:
            _note(path, error, failed)
    return len(written)


def _write_coco(
    labels: Iterator[tuple[str, np.ndarray]],
    images: _Images,
    options: argparse.Namespace,
) -> int:
    path = options.output
    if not _is_file_name(path, "coco"):
        path.mkdir(parents=True, exist_ok=True)
        path = path / "annotations.json"
    _check_free(path, options)
    count = 0

    def named() -> Iterator[tuple[str, np.ndarray]]:
        nonlocal count
        for name, array in labels:
            yield _file_name(images, name), array
            count += 1

    coco.write(path, named())
    return count


def _make_set(
    labels: Iterator[tuple[str, np.ndarray]],
    images: _Images,
    options: argparse.Namespace,
    failed: list[str],
) -> int:
    made = TrainingSet(options.output)
    taken = {sample.name for sample in made.samples()}
    count = 0
    for name, array in labels:
        try:
            if not array.any():
                raise InputError(f"{name} has no objects, and teaches nothing.")
            if composed(name) in taken and not options.overwrite:
                raise InputError(
                    f"{name} is in {options.output} already; replace it by --overwrite."
                )
            info: dict[str, Any] = {"layer": name, "file": str(images.path(name))}
            made.add(
                images.pixels(name), array, name=name, replace=options.overwrite, **info
            )
            count += 1
        except (InputError, OSError) as error:
            _note(name, error, failed)
    return count


def _file_name(images: _Images, name: str) -> str:
    path = images.path(name)
    return path.name if path is not None else f"{name}.tif"


def _plain(name: str) -> str:
    """A name from a file that others wrote, which must not lead to another folder."""
    return (
        name.replace("/", "_").replace("\\", "_").replace("\0", "_").lstrip(".") or "_"
    )


def _check_free(path: Path, options: argparse.Namespace) -> None:
    if path.resolve() in options.sources:
        raise InputError(f"{path} would replace a source: choose another --output.")
    if path.exists() and not options.overwrite:
        raise InputError(f"{path} is there already; replace it by --overwrite.")


def _is_file_name(output: Path, to: str) -> bool:
    return output.name.lower().endswith(ENDINGS[to]) and (
        to == "ome-zarr" or not output.is_dir()
    )


def _format_by_name(output: Path) -> str:
    for form, ending in ENDINGS.items():
        if output.name.lower().endswith(ending) and not output.is_dir():
            return form
    raise InputError(f"Say with --to what {output} is to hold: {', '.join(ENDINGS)}.")


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdigit() and int(part) for part in parts):
        raise argparse.ArgumentTypeError("it must be HEIGHTxWIDTH, such as 480x640")
    shape = int(parts[0]), int(parts[1])
    try:
        check_size(Path("--size"), shape)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return shape


def _parser() -> Parser:
    parser = Parser(
        prog="python -m napari_samsp.convert",
        description="Convert labels between formats, or make a training set of them.",
        examples="""
        python -m napari_samsp.convert masks --output rois --to imagej-roi
        python -m napari_samsp.convert RoiSet.zip --images cells.tif --output cells.png
        python -m napari_samsp.convert instances.json --output masks --to tiff
        python -m napari_samsp.convert labelme --images photos --output set \
--to training-set
        """,
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        type=Path,
        help="a file, or a folder of one format: label images (tif, png, ome-zarr), "
        "ImageJ's ROIs, GeoJSON, COCO, labelme, YOLO, cellpose's _seg.npy",
    )
    parser.add_argument(
        "--output",
        metavar="DEST",
        type=Path,
        required=True,
        help="a folder, or a file for a single image",
    )
    parser.add_argument(
        "--to",
        choices=(*ENDINGS, TRAINING_SET),
        help="the format (by the ending of DEST)",
    )
    parser.add_argument(
        "--from",
        dest="form",
        choices=READ,
        help="the format of SOURCE (by its files)",
    )
    parser.add_argument(
        "--images",
        metavar="DIR",
        help="the images, for their sizes and names, and for a training set",
    )
    parser.add_argument(
        "--size",
        metavar="HxW",
        type=_size,
        help="height and width of the images, if they are not there",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files that are there"
    )
    return parser


if __name__ == "__main__":
    run(main)
