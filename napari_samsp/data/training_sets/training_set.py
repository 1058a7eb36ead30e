"""A folder of images and masks: what the widget writes and the trainer reads."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.data.image_files import IMAGE_SUFFIXES, MASK_SUFFIXES
from napari_samsp.data.training_sets.class_tables import (
    TABLE_ENDING,
    ending_of,
    tables_in,
)
from napari_samsp.data.training_sets.classes import (
    CLASSES_FILE,
    changed_classes,
    classes_bytes,
)
from napari_samsp.data.training_sets.sample import (
    Sample,
    content_hash,
    encoded,
    shows,
)
from napari_samsp.data.training_sets.sample_list import changed_list, read_list
from napari_samsp.data.training_sets.transactions import changing, unchanging
from napari_samsp.utils.errors import InputError, some
from napari_samsp.utils.file_names import by_stem, composed, safe_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_samsp.data.training_sets.classes import Classes
    from napari_samsp.data.training_sets.transactions import Change

FOLDERS = ("images", "masks", "predictions")
LIST = "samples.jsonl"
REMOVED = "removed"


class TrainingSet:
    """A training set on disk; every change is complete on disk when a method returns.

    Parameters
    ----------
    folder : Path
        Created by the first `add` if it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def samples(self) -> list[Sample]:
        """The pairs in the folder, by name.

        Returns
        -------
        list of Sample
            Only names with both an image and a mask.
        """
        with unchanging(self.folder):
            images = self._files("images", IMAGE_SUFFIXES)
            masks = self._files("masks", MASK_SUFFIXES)
            predictions = self._files("predictions", MASK_SUFFIXES)
            tables = tables_in(self.folder / "masks")
            lines = read_list(self._list)
        return [
            Sample(
                name,
                images[name],
                masks[name],
                predictions.get(name),
                lines.get(name, {}),
                tables.get(name),
            )
            for name in sorted(images.keys() & masks.keys())
        ]

    def sample(self, name: str) -> Sample:
        """Look a sample up.

        Parameters
        ----------
        name : str
            Name of the sample.

        Raises
        ------
        InputError
            If there is none, or not any more.
        """
        found = next((s for s in self.samples() if s.name == composed(name)), None)
        if found is None:
            raise InputError(f"There is no correction named {name} in {self.folder}.")
        return found

    def check(self) -> list[Sample]:
        """The samples, if images and masks belong together; reads none of them.

        Returns
        -------
        list of Sample
            At least one.

        Raises
        ------
        InputError
            If the folder is missing or empty, a mask has no image or an image no
            mask, or two files have one name.
        """
        if not self.folder.is_dir():
            raise InputError(f"There is no training set at {self.folder}.")
        with unchanging(self.folder):
            images = self._files("images", IMAGE_SUFFIXES, unique=True)
            masks = self._files("masks", MASK_SUFFIXES, unique=True)
        if not images and not masks:
            raise InputError(
                f"The training set {self.folder} is empty: put images into "
                "images/ and masks of the same names into masks/."
            )
        if lonely := sorted(masks.keys() - images.keys()):
            raise InputError(
                f"There is no image in images/ of the same name as {some(lonely)} in "
                f"{self.folder / 'masks'}."
            )
        if lonely := sorted(images.keys() - masks.keys()):
            raise InputError(
                f"There is no mask in masks/ of the same name as {some(lonely)} in "
                f"{self.folder / 'images'}."
            )
        return self.samples()

    def add(
        self,
        image: np.ndarray,
        labels: np.ndarray,
        prediction: np.ndarray | None = None,
        classes: Classes | None = None,
        object_classes: Mapping[int, int] | None = None,
        **info: Any,
    ) -> Sample:
        """Store a corrected image; all of its files appear, or none.

        Parameters
        ----------
        image : numpy.ndarray
            ``(Y, X)`` or ``(Y, X, C)``, any real dtype.
        labels : numpy.ndarray
            ``(Y, X)`` integer labels, 0 = background.
        prediction : numpy.ndarray, optional
            ``(Y, X)`` labels before the correction.
        classes : Classes, optional
            What the labels of the set mean from now on, for its ``classes.json``.
        object_classes : mapping, optional
            The class's label by the object's, for ``masks/NAME.classes.csv``. A sample
            that is replaced without them has no such table any more.
        **info
            What to write into ``samples.jsonl``. ``name`` is the name wished for: it
            is made safe for a file, and numbered if it is taken. A wished name with
            ``replace=True`` takes the place of that sample.

        Returns
        -------
        Sample
            The sample as it was stored.

        Raises
        ------
        InputError
            If what is given does not fit together or the set, or another program does
            not let go of the folder.
        OSError
            If the folder cannot be written; the set is as before.
        """
        image = np.asarray(image)
        said = None if prediction is None else np.asarray(prediction)
        # Encoded before anybody has to wait.
        files = encoded(image, np.asarray(labels), said, object_classes)
        replace = info.pop("replace", False)
        wished = composed(str(info.pop("name", "image")))
        about = {"shape": list(image.shape), "hash": content_hash(image)}
        with changing(self.folder) as change:
            name = safe_name(wished)
            if replace and wished in self._files("images", IMAGE_SUFFIXES):
                name = wished  # a file's name, perhaps a person's own
            if replace:
                self._put_aside(name, image, files, change)
            else:
                name = self._free_name(name)
            for (folder, ending), content in files.items():
                change.write(f"{folder}/{name}{ending}", content)
            if classes is not None and changed_classes(self.folder, classes):
                change.write(CLASSES_FILE, classes_bytes(classes))
            time = datetime.now(UTC).isoformat(timespec="seconds")
            line = {"name": name, **info, "time": time} | about
            change.write(LIST, changed_list(self._list, {name: line}))
        return self.sample(name)

    def remove(self, name: str) -> Sample:
        """Take a sample out; its files move to ``removed/``, so that nothing is lost.

        Parameters
        ----------
        name : str
            A sample's name.

        Returns
        -------
        Sample
            With the files where they are now, for `put_back`.

        Raises
        ------
        InputError
            If there is no such sample, or another program does not let go of the
            folder.
        OSError
            If the folder cannot be written; the set is as before.
        """
        with changing(self.folder) as change:
            sample = self.sample(name)
            paths = self.set_aside(name, sample.files.values(), change)
            moved = dict(zip(sample.files, paths, strict=True))
            target = moved["mask"].stem
            info = read_list(self._list).get(name, {})
            change.write(LIST, changed_list(self._list, {name: None}))
            if info:
                line = {target: info | {"name": target}}
                kept = changed_list(self._removed._list, line)
                change.write(f"{REMOVED}/{LIST}", kept)
        return Sample(name, **moved, info=info)

    def put_back(self, removed: Sample) -> Sample:
        """Put a removed sample back.

        Parameters
        ----------
        removed : Sample
            What `remove` returned.

        Returns
        -------
        Sample
            As it was; if its name has been taken since, with a number.

        Raises
        ------
        InputError
            If its files are gone, or another program does not let go of the folder.
        OSError
            If the folder cannot be written; the set is as before.
        """
        with changing(self.folder) as change:
            if not all(path.is_file() for path in removed.files.values()):
                raise InputError(f"The files of {removed.name} are gone from removed/.")
            name = self._free_name(removed.name)
            for path in removed.files.values():
                self._move(path, path.parent.name, name, change)
            if removed.info:
                kept = changed_list(self._removed._list, {removed.mask.stem: None})
                change.write(f"{REMOVED}/{LIST}", kept)
                line = removed.info | {"name": name}
                change.write(LIST, changed_list(self._list, {name: line}))
        return self.sample(name)

    def set_aside(self, name: str, paths: Iterable[Path], change: Change) -> list[Path]:
        """Move files of a sample to ``removed/``, under one stem that is free there."""
        target = self._removed._free_name(name)
        return [
            self._move(path, f"{REMOVED}/{path.parent.name}", target, change)
            for path in paths
        ]

    def fingerprint(self, classes: bool = False) -> str:
        """SHA-256 over the samples' names and the content of their files.

        Parameters
        ----------
        classes : bool
            Whether what tells classes counts too.
        """
        digest = hashlib.sha256()
        for sample in self.samples():
            digest.update(os.fsencode(sample.name))
            for path in (sample.image, sample.mask):
                digest.update(hashlib.sha256(path.read_bytes()).digest())
            if classes and sample.table is not None:
                content = sample.table.read_bytes()
                digest.update(hashlib.sha256(content).digest())
        if classes:
            digest.update((self.folder / CLASSES_FILE).read_bytes())
        return digest.hexdigest()

    @property
    def _list(self) -> Path:
        return self.folder / LIST

    @property
    def _removed(self) -> TrainingSet:
        return TrainingSet(self.folder / REMOVED)

    def _files(
        self, folder: str, suffixes: tuple[str, ...], unique: bool = False
    ) -> dict[str, Path]:
        return by_stem(self.folder / folder, suffixes, unique)

    def _free_name(self, wished: str) -> str:
        # Some disks take a name in capitals for the same.
        there = [self._files(folder, IMAGE_SUFFIXES) for folder in FOLDERS]
        there.append(tables_in(self.folder / "masks"))
        taken = {name.casefold() for names in there for name in names}
        name, number = wished, 1
        while name.casefold() in taken:
            number += 1
            name = f"{wished}-{number}"
        return name

    def _move(self, path: Path, folder: str, name: str, change: Change) -> Path:
        target = f"{folder}/{name}{ending_of(path)}"
        change.move(path.relative_to(self.folder).as_posix(), target)
        return self.folder / target

    def _put_aside(
        self,
        name: str,
        image: np.ndarray,
        files: Mapping[tuple[str, str], bytes],
        change: Change,
    ) -> None:
        """Move to ``removed/`` what a new version of a sample does not overwrite."""
        aside: list[Path] = []
        known = read_list(self._list).get(name, {}).get("hash")
        for folder in FOLDERS:
            old = self._files(folder, IMAGE_SUFFIXES).get(name)
            if old is None or ((folder, ".tif") in files and old.suffix == ".tif"):
                continue
            stored = self._files("images", IMAGE_SUFFIXES).get(name)
            if folder == "predictions" and shows(stored, known, image):
                continue  # of the same pixels, it is still what the model had said
            aside.append(old)
        table = tables_in(self.folder / "masks").get(name)
        kept = ("masks", TABLE_ENDING) in files and f"{name}{TABLE_ENDING}"
        if table is not None and table.name != kept:
            aside.append(table)  # it tells of other objects
        self.set_aside(name, aside, change)
