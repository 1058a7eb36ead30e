"""A folder of images and masks: what the widget writes and the trainer reads."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from napari_samsp.core.atomic_files import write_atomically
from napari_samsp.core.errors import InputError
from napari_samsp.core.image_files import (
    IMAGE_SUFFIXES,
    as_labels,
    read_image,
    read_labels,
    write_image,
    write_labels,
)

MASK_SUFFIXES = (".tif", ".tiff", ".png")


@dataclass(frozen=True)
class Sample:
    """One image with its mask.

    Attributes
    ----------
    name : str
        The files' stem.
    image, mask : Path
        ``images/NAME.*`` and ``masks/NAME.*``.
    prediction : Path or None
        What the model had said before the correction.
    info : dict
        The sample's line of ``samples.jsonl``; empty for a set made by hand.
    """

    name: str
    image: Path
    mask: Path
    prediction: Path | None = None
    info: dict[str, Any] = field(default_factory=dict, compare=False)

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Read both files.

        Returns
        -------
        tuple of numpy.ndarray
            The image as stored, ``(Y, X)`` or ``(Y, X, C)``, and ``(Y, X)`` int32
            labels.

        Raises
        ------
        InputError
            If one is broken, or their sizes differ.
        """
        image, labels = read_image(self.image), read_labels(self.mask)
        if image.ndim not in (2, 3) or image.shape[:2] != labels.shape:
            raise InputError(
                f"{self.name}: the image is {_size(image)} but its mask is "
                f"{_size(labels)}; they must have the same height and width."
            )
        return image, labels


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
        images = self._files("images", IMAGE_SUFFIXES)
        masks = self._files("masks", MASK_SUFFIXES)
        predictions = self._files("predictions", MASK_SUFFIXES)
        lines = self._lines()
        return [
            Sample(
                name,
                images[name],
                masks[name],
                predictions.get(name),
                lines.get(name, {}),
            )
            for name in sorted(images.keys() & masks.keys())
        ]

    def check(self) -> list[Sample]:
        """The samples, if the set can be trained on.

        Returns
        -------
        list of Sample
            At least one, each readable, at least one with a labelled pixel.

        Raises
        ------
        InputError
            As `check_names`, or if a file is broken, sizes differ, or every mask is
            empty.
        """
        self.check_names()
        samples = self.samples()
        labelled = [bool(sample.read()[1].any()) for sample in samples]
        if not any(labelled):
            raise InputError(
                f"Every mask of {self.folder} is empty: label at least one object."
            )
        return samples

    def check_names(self) -> None:
        """Check, without reading a file, that each image has its mask.

        Raises
        ------
        InputError
            If the folder is missing or empty, a mask has no image or an image no
            mask.
        """
        if not self.folder.is_dir():
            raise InputError(f"There is no training set at {self.folder}.")
        images = self._files("images", IMAGE_SUFFIXES)
        masks = self._files("masks", MASK_SUFFIXES)
        if not images and not masks:
            raise InputError(
                f"The training set {self.folder} is empty: put images into "
                "images/ and masks of the same names into masks/."
            )
        if lonely := sorted(masks.keys() - images.keys()):
            raise InputError(
                f"{_some(lonely)} in {self.folder / 'masks'} without an image of the "
                "same name in images/."
            )
        if lonely := sorted(images.keys() - masks.keys()):
            raise InputError(
                f"{_some(lonely)} in {self.folder / 'images'} without a mask of the "
                "same name in masks/."
            )

    def add(
        self,
        image: np.ndarray,
        labels: np.ndarray,
        prediction: np.ndarray | None = None,
        **info: Any,
    ) -> Sample:
        """Store a corrected image.

        Parameters
        ----------
        image : numpy.ndarray
            ``(Y, X)`` or ``(Y, X, C)``, any real dtype.
        labels : numpy.ndarray
            ``(Y, X)`` integer labels, 0 = background.
        prediction : numpy.ndarray, optional
            ``(Y, X)`` labels before the correction.
        **info
            What to write into ``samples.jsonl``. ``name`` is the name wished for: it
            is made safe for a file, and numbered if it is taken. A wished name with
            ``replace=True`` overwrites that sample.

        Returns
        -------
        Sample
            As stored.

        Raises
        ------
        InputError
            If the sizes differ or the labels are no integers.
        OSError
            If the folder cannot be written; the set is as before.
        """
        labels = as_labels(np.asarray(labels), "of this correction")
        if image.shape[:2] != labels.shape:
            raise InputError(
                f"The image is {_size(image)} but its mask is {_size(labels)}."
            )
        replace = info.pop("replace", False)
        wished = re.sub(r"[^\w-]+", "_", str(info.pop("name", "image"))).strip("_")
        name = wished = wished[:80] or "image"
        for folder in ("images", "masks", "predictions"):
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
        if not replace:
            number = 1
            while self._taken(name):
                number += 1
                name = f"{wished}-{number}"
        if replace:
            self._drop_other_formats(name)
        # The mask last: a pair is a sample only once both files are there.
        write_image(self.folder / "images" / f"{name}.tif", np.asarray(image))
        if prediction is not None:
            write_labels(
                self.folder / "predictions" / f"{name}.tif", prediction.astype(np.int32)
            )
        write_labels(self.folder / "masks" / f"{name}.tif", labels)
        line = {
            "name": name,
            **info,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._write_lines(self._lines() | {name: line})
        return next(s for s in self.samples() if s.name == name)

    def remove(self, name: str) -> None:
        """Take a sample out; its files move to ``removed/``, so that nothing is lost.

        Parameters
        ----------
        name : str
            A sample's name.

        Raises
        ------
        InputError
            If there is no such sample.
        """
        sample = next((s for s in self.samples() if s.name == name), None)
        if sample is None:
            raise InputError(f"There is no correction named {name}.")
        for path in (sample.mask, sample.image, sample.prediction):
            if path is not None:
                target = self.folder / "removed" / path.parent.name
                target.mkdir(parents=True, exist_ok=True)
                shutil.move(path, target / path.name)
        lines = self._lines()
        lines.pop(name, None)
        self._write_lines(lines)

    def fingerprint(self) -> str:
        """SHA-256 over the samples' names and the content of their files."""
        digest = hashlib.sha256()
        for sample in self.samples():
            digest.update(sample.name.encode())
            for path in (sample.image, sample.mask):
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def _files(self, folder: str, suffixes: tuple[str, ...]) -> dict[str, Path]:
        place = self.folder / folder
        if not place.is_dir():
            return {}
        return {
            f.stem: f
            for f in sorted(place.iterdir())
            if f.suffix.lower() in suffixes and not f.name.startswith(".")
        }

    def _taken(self, name: str) -> bool:
        return any(
            name in self._files(folder, IMAGE_SUFFIXES)
            for folder in ("images", "masks")
        )

    def _drop_other_formats(self, name: str) -> None:
        for folder in ("images", "masks", "predictions"):
            path = self._files(folder, IMAGE_SUFFIXES).get(name)
            if path is not None and path.suffix != ".tif":
                path.unlink()

    def _lines(self) -> dict[str, dict[str, Any]]:
        path = self.folder / "samples.jsonl"
        lines: dict[str, dict[str, Any]] = {}
        if path.is_file():
            for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    line = json.loads(text)
                    lines[str(line["name"])] = line
                except (ValueError, TypeError, KeyError):
                    continue  # a broken note must not hide the images themselves
        return lines

    def _write_lines(self, lines: dict[str, dict[str, Any]]) -> None:
        text = "".join(json.dumps(line) + "\n" for line in lines.values())
        write_atomically(self.folder / "samples.jsonl", text.encode())


def _size(array: np.ndarray) -> str:
    return " x ".join(str(n) for n in array.shape[:2])


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{shown}{more} stand{'s' if len(names) == 1 else ''}"
