"""Results of a list's images on disk: labels of every round, and a manifest of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.batch.fingerprint import fingerprint
from napari_samsp.batch.job import Job, Outcome, Settings
from napari_samsp.batch.manifest import Manifest, State, read_manifest
from napari_samsp.batch.segment_file import segment_file
from napari_samsp.data.image_source import open_image
from napari_samsp.data.rgb import Scaling
from napari_samsp.data.training_sets.class_tables import (
    TABLE_ENDING,
    ClassNames,
    read_class_table,
)
from napari_samsp.data.training_sets.classes import parse_classes
from napari_samsp.sam import registry as models
from napari_samsp.sam.adapters.adapter_card import WEIGHTS_FILE
from napari_samsp.ui.images.stored.edits import path_key
from napari_samsp.utils.atomic_files import remove_leftovers, write_atomically
from napari_samsp.utils.cancellation import interruptible
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.file_names import safe_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_samsp.inference.segmenter import Segmenter

SKIPPED_FILE = "skipped.json"


@dataclass(frozen=True)
class Wanted:
    """How images are segmented, as the widget is set.

    Attributes
    ----------
    settings : Settings
        Of every round the labels are written.
    scaling : Scaling
        Of the intensities; ``predict`` takes the adapter's.
    """

    settings: Settings
    scaling: Scaling = field(default_factory=Scaling)

    @property
    def adapter(self) -> Path | None:
        """The adapter's folder."""
        return Path(self.settings.adapter) if self.settings.adapter else None

    def depends_on(self) -> dict[str, Any]:
        """What labels depend on, for a manifest; reads the model's file once.

        Raises
        ------
        InputError, OSError
            If a file is gone.
        """
        name, adapter = self.settings.model, None
        model = _sha256(models.path(name) if name in models.names() else Path(name))
        if self.adapter is not None:
            adapter = _sha256(self.adapter / WEIGHTS_FILE)
        beside = models.decoder_file(name)
        decoder = _sha256(beside) if beside else None
        found = fingerprint(self.settings, model, adapter, decoder=decoder)
        return found | {"scaling": str(self.scaling)}


@dataclass(frozen=True)
class Rounds:
    """The stored result of an image.

    Attributes
    ----------
    labels : list of numpy.ndarray
        Of each round, of all planes.
    scores : list of list of float
        SAM's predicted IoU of each plane, round by round.
    classes : dict
        Of the last round's objects, their classes' names by plane and label.
    """

    labels: list[np.ndarray]
    scores: list[list[float]]
    classes: dict[tuple[int, ...], dict[int, str]] = field(default_factory=dict)


class Results:
    """The results of one list.

    For one thread. Two windows with one list may both write: a line of a manifest is
    written as a whole.

    Parameters
    ----------
    folder : Path
        Where results are stored; made when needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._manifest: tuple[Wanted, Manifest] | None = None

    @classmethod
    def of(cls, place: str, home: Path) -> Results:
        """Of a folder or pattern, which the name of the results' folder tells.

        Parameters
        ----------
        place : str
            Absolute path of the folder or pattern of the list.
        home : Path
            The folder that holds the results of all lists.
        """
        name = safe_name(Path(place).name)[:40]
        return cls(home / f"{name}-{path_key(Path(place))}")

    def lines(self) -> dict[str, dict[str, Any]]:
        """The manifest, by name; empty if it cannot be read."""
        try:
            return {str(line["name"]): line for line in read_manifest(self.folder)}
        except InputError:
            return {}

    def skipped(self) -> set[str]:
        """Names of the images that the user left out."""
        try:
            found = json.loads((self.folder / SKIPPED_FILE).read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return set()
        return {str(name) for name in found} if isinstance(found, list) else set()

    def skip(self, names: set[str]) -> None:
        """Note which images are left out."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(sorted(names))
        write_atomically(self.folder / SKIPPED_FILE, text.encode())

    def read(self, name: str, image: Path, wanted: Wanted) -> Rounds | None:
        """The result of an image with these settings, None if there is none.

        Parameters
        ----------
        name : str
            Name of the entry.
        image : Path
            Its file, which did not change since.
        wanted : Wanted
            How it must have been segmented.
        """
        if not self.is_done(name, image, wanted):
            return None
        scores = self._of(wanted).line(name).get("scores")
        if not isinstance(scores, list):
            return None
        labels = []
        classes: dict[tuple[int, ...], dict[int, str]] = {}
        try:
            if wanted.settings.object_classes:
                classes = read_class_table(self.folder / f"{name}{TABLE_ENDING}")
            for t in range(wanted.settings.iterations):
                file = self.folder / f"{name}.iter{t}.tif"
                with open_image(file, mask=True) as stored:
                    labels.append(np.asarray(stored.array).astype(np.int32))
        except InputError:
            return None
        return Rounds(labels, scores, classes)

    def is_done(self, name: str, image: Path, wanted: Wanted) -> bool:
        """Whether an image was segmented with these settings, as it is now."""
        return self.folder.is_dir() and self._of(wanted).is_done(name, image)

    def line(self, name: str, wanted: Wanted) -> dict[str, Any]:
        """What the manifest says of an image, in these settings or others."""
        return self._of(wanted).line(name)

    def labels_of(self, line: dict[str, Any]) -> Path | None:
        """The labels that a line of the manifest tells, if they are there."""
        files = line.get("files")
        if line.get("status") != "done" or not isinstance(files, list) or not files:
            return None
        place = self.folder / str(files[0])
        inside = place.resolve().is_relative_to(self.folder.resolve())
        return place if inside and place.exists() else None

    def names_of(self, line: dict[str, Any]) -> ClassNames | None:
        """Names of the classes of a result's labels; None if a file beside tells them.

        A result without such a file may lie beside one of an earlier adapter: what
        areas mean, its own line tells.
        """
        files = line.get("files")
        told = isinstance(files, list) and any(
            str(file).endswith(TABLE_ENDING) for file in files
        )
        if told:
            return None
        try:
            meaning = parse_classes(line.get("classes"))
        except ValueError:
            return ClassNames({})
        areas = meaning.kind == "semantic"
        return ClassNames.of_areas(meaning) if areas else ClassNames({})

    def segment(
        self,
        name: str,
        image: Path,
        wanted: Wanted,
        segmenter: Segmenter,
        check: Callable[[], None],
    ) -> Outcome:
        """Segment an image and note what came of it.

        Parameters
        ----------
        name, image, wanted
            As for `read`.
        segmenter : Segmenter
            Of these settings; others may use it meanwhile.
        check : callable
            Called often. An exception raised by it aborts the run; then nothing is
            noted.

        Returns
        -------
        Outcome
            With an error if the file is to blame.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        manifest = self._of(wanted)
        job = Job(image, self.folder / name)
        try:
            state = State.of(image)
        except OSError:
            state = None
        try:
            with interruptible(segmenter.networks, check):
                outcome = segment_file(
                    job, wanted.settings, lambda _: check(), segmenter, wanted.scaling
                )
        finally:
            parent = job.labels.parent
            if parent.is_dir():
                remove_leftovers(parent, (f"{job.labels.name}.labels",))
        manifest.add(name, outcome, state)
        return outcome

    def _of(self, wanted: Wanted) -> Manifest:
        # Of the last settings alone: a line of others would go unnoticed.
        if self._manifest is None or self._manifest[0] != wanted:
            self._manifest = wanted, Manifest(self.folder, wanted.depends_on())
        return self._manifest[1]


def _sha256(path: Path) -> str:
    state = path.stat()
    return _hash(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=16)
def _hash(path: Path, _modified: int, _size: int) -> str:
    return models.file_sha256(path)
