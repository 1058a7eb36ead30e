"""From a folder, a file or a pattern to the entries of a list; opens no image."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING

from napari_samsp.data.folders.image_listing import list_images
from napari_samsp.data.image_files import is_image_folder
from napari_samsp.inference.interactive.correct_next import confidence, look_from_text
from napari_samsp.ui.images.image_list import Entry
from napari_samsp.ui.images.stored.edits import DRAFT, KEPT, Edits
from napari_samsp.ui.images.stored.results import Results
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.paths import images_folder

if TYPE_CHECKING:
    from typing import Any


def read_list(place: str) -> list[Entry]:
    """List images, with what is known of them from before.

    Parameters
    ----------
    place : str
        A folder, an OME-Zarr image or plate, a file, or a pattern such as
        ``/data/**/*_dapi.tif``.

    Returns
    -------
    list of Entry
        At least one.

    Raises
    ------
    InputError
        If there is no image, or the place is gone.
    """
    path = Path(place)
    try:
        found = list_images(path)
    except OSError as error:
        raise InputError(
            f"{place} cannot be read ({error.strerror or error}): connect its drive, "
            "then open it again."
        ) from error
    except InputError as error:
        if path.is_dir() and not is_image_folder(path):
            raise InputError(
                f"There is no image in {place} itself: choose a folder with images, or "
                f"open the pattern {path / '**' / '*.tif'} to look into its folders."
            ) from error
        if not glob.has_magic(place) and not path.exists():
            raise InputError(
                f"{error} If it is on a drive that is not connected, connect it and "
                "choose Look into the folder again."
            ) from error
        raise
    results = Results.of(place, images_folder())
    lines, skipped = results.lines(), results.skipped()
    edits = edits_of_all()
    kinds = edits.known(path for _, path in found)
    entries = []
    for name, path in found:
        entry = Entry(name, path, skipped=name in skipped)
        if name in lines:
            tell_result(entry, lines[name])
        if path in kinds:
            entry.corrected = KEPT in kinds[path]
            entry.drafted = DRAFT in kinds[path]
            about = edits.about(path)
            entry.objects = about.objects if about is not None else entry.objects
        entries.append(entry)
    return entries


def tell_result(entry: Entry, line: dict[str, Any]) -> None:
    """Note in an entry what a line of the manifest says of it."""
    if line.get("status") == "failed":
        entry.reason = str(line.get("error"))
        return
    entry.segmented, entry.reason = True, ""
    try:
        entry.confidence = confidence(line.get("scores", ()))
    except TypeError:  # somebody changed the file
        entry.confidence = None
    entry.look = look_from_text(line.get("look"))
    count = line.get("objects")
    if isinstance(count, int) and not (entry.corrected or entry.drafted):
        entry.objects = count


def edits_of_all() -> Edits:
    """The labels that people made of images of any list."""
    return Edits(images_folder() / "edits")
