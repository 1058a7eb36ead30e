"""Labels that a person made of images: drafts, and those that were kept; on disk."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from xxhash import xxh3_64, xxh3_128

from napari_samsp.data.image_source import open_image
from napari_samsp.data.label_files import write_tiff
from napari_samsp.data.training_sets.class_tables import ClassNames, NamesByPlane
from napari_samsp.data.training_sets.sample import content_hash
from napari_samsp.utils.atomic_files import write_atomically
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from napari_samsp.data.voxel_size import VoxelSize
    from napari_samsp.ui.widgets.object_classes import Pages

DRAFT, KEPT = "draft", "kept"
_unstored: dict[Path, tuple[np.ndarray, Edit]] = {}
"""What the disk refused, by the file that it belongs into: of every `Edits`, so that
an image that is opened again has what was made of it."""


@dataclass(frozen=True)
class Edit:
    """What is known of an image's labels without reading them.

    Attributes
    ----------
    kind : {"draft", "kept"}
        Whether they were kept.
    objects : int
        How many labels there are.
    path : str
        Path of the image.
    classes : list
        Of each slice with classes of objects its index, or None, and their names by
        label: what `Pages` is in JSON.
    areas : dict
        Names of the classes that the labels themselves are, by label.
    """

    kind: str
    objects: int
    path: str
    classes: list[Any] = field(default_factory=list)
    areas: dict[str, str] = field(default_factory=dict)

    @property
    def pages(self) -> Pages:
        """The classes of the objects.

        Raises
        ------
        TypeError, ValueError, AttributeError
            If the file holds something else.
        """
        return {
            page if page is None else tuple(page): {
                int(label): str(name) for label, name in classes.items()
            }
            for page, classes in self.classes
        }


class Edits:
    """Each image's labels under its path and the content of its pixels.

    A file that is replaced by another image does not get the labels of the old one, and
    gets them back when the old one comes back.

    Parameters
    ----------
    folder : Path
        Where they are stored; made when needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def known(self, paths: Iterable[Path]) -> dict[Path, set[str]]:
        """Which images have labels of which kinds; reads one folder.

        Returns
        -------
        dict
            Of the paths that have any.
        """
        try:
            names = [path.name for path in self._folder.iterdir()]
        except OSError:
            return {}
        kinds: dict[str, set[str]] = {}
        for name in names:
            key, _, rest = name.partition("-")
            if rest.endswith(".json"):
                kinds.setdefault(key, set()).add(rest.split(".")[1])
        if not kinds:
            return {}
        keys = {path: path_key(path) for path in paths}
        return {path: kinds[key] for path, key in keys.items() if key in kinds}

    def about(self, path: Path) -> Edit | None:
        """What is known of an image's labels, kept or else drafted, whichever content.

        None if there are none.
        """
        for kind in (KEPT, DRAFT):
            for file in self._folder.glob(f"{path_key(path)}-*.{kind}.json"):
                try:
                    return Edit(**json.loads(file.read_text("utf-8")))
                except (OSError, ValueError, TypeError):
                    continue
        return None

    def write(
        self,
        kind: str,
        path: Path,
        content: str,
        labels: np.ndarray,
        axes: str,
        voxels: VoxelSize,
        classes: Pages | None = None,
        areas: Mapping[int, str] | None = None,
    ) -> Edit:
        """Store labels; those that were kept take the place of a draft.

        Parameters
        ----------
        kind : {"draft", "kept"}
            Whether a person kept them.
        path : Path
            Path of the image.
        content : str
            `content_key` of its pixels.
        labels : numpy.ndarray
            Integers, of all its planes.
        axes : str
            One letter per axis of them.
        voxels : VoxelSize
            Voxel size of the image.
        classes : dict, optional
            Of its objects.
        areas : mapping, optional
            Of its areas: names of the classes that the labels are.

        Raises
        ------
        OSError
            If the disk refuses; until the next try `read` finds the labels in memory.
        """
        place = self.file(kind, path, content)
        labels = labels.astype(np.int32)
        count = int(np.count_nonzero(np.unique(labels)))
        pages = [*map(list, (classes or {}).items())]
        meant = {str(label): name for label, name in (areas or {}).items()}
        edit = Edit(kind, count, str(path), pages, meant)
        about = json.dumps(asdict(edit)).encode()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_tiff(place, labels, axes, voxels)
            write_atomically(place.with_suffix(".json"), about)
        except OSError:
            _unstored[place] = labels, edit
            raise
        _unstored.pop(place, None)
        if kind == KEPT:
            self.remove(DRAFT, path, content)
        return edit

    def read(self, kind: str, path: Path, content: str) -> np.ndarray | None:
        """The labels as stored, None if there are none."""
        place = self.file(kind, path, content)
        if place in _unstored:
            return _unstored[place][0].copy()
        if not place.is_file():
            return None
        try:
            with open_image(place, mask=True) as stored:
                return np.asarray(stored.array)
        except InputError:
            return None

    def classes(self, kind: str, path: Path, content: str) -> Pages:
        """The classes of the objects of stored labels, empty if there are none."""
        edit = self._edit(kind, path, content)
        try:
            return {} if edit is None else edit.pages
        except (ValueError, TypeError, AttributeError):
            return {}

    def names(self, kind: str, path: Path, content: str, depth: int) -> ClassNames:
        """The names of stored labels with ``depth`` axes besides those of a plane."""
        edit = self._edit(kind, path, content)
        try:
            meant = edit.areas.items() if edit is not None else ()
            every = {int(label): str(name) for label, name in meant}
        except (ValueError, AttributeError):
            every = {}
        found: NamesByPlane = {(): every}
        for page, names in self.classes(kind, path, content).items():
            index = () if page is None else page[-depth - 2 : -2]
            place = tuple(n or 0 for n in index)
            found[place] = found.get(place, {}) | names
        return ClassNames({place: names for place, names in found.items() if names})

    def _edit(self, kind: str, path: Path, content: str) -> Edit | None:
        place = self.file(kind, path, content)
        if place in _unstored:
            return _unstored[place][1]
        try:
            return Edit(**json.loads(place.with_suffix(".json").read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def remove(self, kind: str, path: Path, content: str) -> None:
        """Delete an image's labels of a kind."""
        place = self.file(kind, path, content)
        _unstored.pop(place, None)
        place.with_suffix(".json").unlink(missing_ok=True)
        place.unlink(missing_ok=True)

    def file(self, kind: str, path: Path, content: str) -> Path:
        """Where labels are, or would be."""
        return self._folder / f"{path_key(path)}-{content}.{kind}.tif"


def path_key(path: Path) -> str:
    """A name for a path that any disk takes."""
    return xxh3_64(str(path).encode("utf-8", "surrogateescape")).hexdigest()


def content_key(array: Any) -> str:
    """A name for the pixels of an image.

    Parameters
    ----------
    array : array_like
        numpy; of what is read only where it is asked for, shape and type count.
    """
    if isinstance(array, np.ndarray):
        return content_hash(array).partition(":")[2]
    return xxh3_128(f"{array.shape} {array.dtype}".encode()).hexdigest()
