"""Which files ``predict`` may write: never an image, and nobody else's labels."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from napari_samsp.batch.job import Job
from napari_samsp.batch.output_labels import as_nifti
from napari_samsp.data.image_files import is_image_folder, is_ome_zarr
from napari_samsp.data.training_sets.class_tables import TABLE_ENDING
from napari_samsp.utils.errors import InputError, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from napari_samsp.batch.job import Settings
    from napari_samsp.batch.manifest import Manifest


def label_names(name: str, image: Path, settings: Settings) -> dict[str, list[str]]:
    """The files that an image's labels may become, and the table of their classes.

    Parameters
    ----------
    name : str
        Name of the output, with its folders.
    image : Path
        The image file.
    settings : Settings
        How it is segmented.

    Returns
    -------
    dict
        Names by ending. There are two endings where the image's size decides.
    """
    endings = ["ome.zarr"] if settings.output_format == "ome-zarr" else ["tif"]
    if as_nifti(image, settings):
        endings = ["nii.gz"]
    if settings.output_format == "auto" and is_ome_zarr(image):
        endings.append("ome.zarr")
    parts = [""]
    if settings.all_iterations:
        parts += [f".iter{t}" for t in range(settings.iterations)]
    # Without classes a table that is there would tell those of other labels: it goes.
    table = name + TABLE_ENDING
    return {end: [*(f"{name}{part}.{end}" for part in parts), table] for end in endings}


def plan(
    images: Mapping[str, Path],
    inputs: Iterable[Path],
    output: Path,
    settings: Settings,
    manifest: Manifest,
    overwrite: bool,
) -> tuple[list[Job], list[str]]:
    """Check all that is going to be written before anything is.

    Parameters
    ----------
    images : mapping
        Output name to file, of what is to be done.
    inputs : iterable of Path
        All images of the call.
    output : Path
        The output folder, absolute and without links; it exists.
    settings : Settings
        How the images are segmented.
    manifest : Manifest
        Of the output folder.
    overwrite : bool
        Whether labels that are not from an earlier call may be replaced too.

    Returns
    -------
    tuple
        The jobs, and the files that they may write, relative to the output.

    Raises
    ------
    InputError
        If labels would take the place of an image or of a file that this command did
        not write, or two images' labels would have one name.
    """
    inputs = list(inputs)
    ids = {_identity(path) for path in inputs} - {None}
    for path in inputs:
        if is_image_folder(path) and output.is_relative_to(path.resolve()):
            raise InputError(f"{output} is in the image {path}: use another --output.")
    jobs: list[Job] = []
    foreign: list[str] = []
    source: dict[str, Path] = {}
    for name, image in images.items():
        names = label_names(name, image, settings)
        spared: list[Path] = []
        for file in [file for files in names.values() for file in files]:
            if source.setdefault(file, image) != image:
                raise InputError(
                    f"{source[file]} and {image} would both become {file}: use two "
                    "output folders."
                )
            path = output / file
            is_input = _identity(path) in ids
            if not is_input and (overwrite or manifest.may_replace(file)):
                continue
            if len(names) > 1:
                spared.append(path)  # the image's size decides whether it is written
            elif is_input:
                raise InputError(
                    f"The labels of {image} would take the place of the image {path}: "
                    "use another --output."
                )
            else:
                foreign.append(file)
        jobs.append(Job(image.resolve(), output / name, tuple(spared)))
    if foreign:
        raise InputError(
            f"{some(foreign)} in {output} would be replaced, and earlier calls of this "
            "command did not write that: use another --output, or add --overwrite."
        )
    return jobs, list(source)


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode: equal for two paths to one file; None without a file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
