"""One image with its mask, and what is known of the two."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from napari_samsp.data.formats.orientation import turned
from napari_samsp.data.image_files import (
    as_labels,
    orientation,
    read_image,
    read_labels,
    tiff_bytes,
)
from napari_samsp.data.training_sets.class_tables import TABLE_ENDING, table_bytes
from napari_samsp.data.training_sets.transactions import unchanging
from napari_samsp.utils.errors import InputError, some
from napari_samsp.utils.notes import tell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """One image with its mask.

    Attributes
    ----------
    name : str
        Stem of the files, by which they belong together.
    image, mask : Path
        ``images/NAME.*`` and ``masks/NAME.*``.
    prediction : Path or None
        What the model had said before the correction.
    info : dict
        The sample's line of ``samples.jsonl``; empty for a set made by hand.
    table : Path or None
        ``masks/NAME.classes.csv``: the class of each object.
    """

    name: str
    image: Path
    mask: Path
    prediction: Path | None = None
    info: dict[str, Any] = field(default_factory=dict, compare=False)
    table: Path | None = None

    @property
    def files(self) -> dict[str, Path]:
        """The files that exist, by the name of their attribute."""
        paths = {
            "image": self.image,
            "mask": self.mask,
            "prediction": self.prediction,
            "table": self.table,
        }
        return {kind: path for kind, path in paths.items() if path is not None}

    def read(self, series: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Read the image and the mask.

        Parameters
        ----------
        series : int, optional
            Which image of a file that holds several, from 0; default: the largest.

        Returns
        -------
        tuple of numpy.ndarray
            The image as viewers show it, ``(Y, X)`` or ``(Y, X, C)``, and ``(Y, X)``
            int32 labels. A mask that fits only the pixels as they are stored is
            turned as the image is.

        Raises
        ------
        InputError
            If one is broken, or their sizes differ.
        """
        with unchanging(self.image.parent.parent):
            image = read_image(self.image, series=series)
            labels = read_labels(self.mask)
            if image.shape[:2] != labels.shape:
                labels = self._turned(image, labels, series)
        if image.ndim not in (2, 3) or image.shape[:2] != labels.shape:
            raise InputError(
                f"{self.name}: the image is {size_text(image.shape)} but its mask is "
                f"{size_text(labels.shape)}; they must have the same height and width."
            )
        return image, labels

    def _turned(
        self, image: np.ndarray, labels: np.ndarray, series: int | None
    ) -> np.ndarray:
        """A mask that was drawn on the image as it is stored, if this one was."""
        value = orientation(self.image, series)
        as_image = turned(labels, value)
        if image.shape[:2] != as_image.shape:
            return labels
        tell(
            f"{self.mask} fits {self.image.name} only as that is stored (orientation "
            f"{value}): it is turned as the image is."
        )
        return np.ascontiguousarray(as_image)


def encoded(
    image: np.ndarray,
    labels: np.ndarray,
    prediction: np.ndarray | None = None,
    object_classes: Mapping[int, int] | None = None,
) -> dict[tuple[str, str], bytes]:
    """The files of a sample, as `TrainingSet.add` stores them.

    Parameters
    ----------
    image, labels, prediction, object_classes
        As for `TrainingSet.add`.

    Returns
    -------
    dict
        Content by folder and ending, such as ``masks`` and ``.tif``.

    Raises
    ------
    InputError
        If the sizes differ, the labels are no integers, the image is no real numbers,
        or an object has no class.
    """
    labels = as_labels(labels, "of this correction")
    if image.dtype.kind not in "biuf" or not image.size:
        raise InputError(
            f"An image of {image.size} values of {image.dtype} cannot be kept."
        )
    if image.shape[:2] != labels.shape:
        raise InputError(
            f"The image is {size_text(image.shape)} but its mask is "
            f"{size_text(labels.shape)}."
        )
    files = {("images", ".tif"): tiff_bytes(image)}
    files["masks", ".tif"] = tiff_bytes(labels)
    if prediction is not None:
        files["predictions", ".tif"] = tiff_bytes(prediction.astype(np.int32))
    if object_classes is not None:
        there = set(np.unique(labels).tolist()) - {0}
        if lacking := sorted(there - object_classes.keys()):
            raise InputError(f"Object {some(list(map(str, lacking)))} has no class.")
        table = {label: object_classes[label] for label in there}
        files["masks", TABLE_ENDING] = table_bytes(table)
    return files


def shows(path: Path | None, known: object, image: np.ndarray) -> bool:
    """Whether a file is this image.

    Parameters
    ----------
    path : Path or None
        The file, if there is one.
    known : object
        A note of its `content_hash` saves reading it; None if there is none.
    image : numpy.ndarray
        Of any shape.
    """
    if known is not None:
        return known == content_hash(image)
    try:
        return path is not None and np.array_equal(read_image(path), image)
    except InputError:
        return False


def content_hash(image: np.ndarray) -> str:
    """What tells an image from any other: a hash of its shape, dtype and values.

    Parameters
    ----------
    image : numpy.ndarray
        Of any shape and dtype.

    Returns
    -------
    str
        ``xxh128:`` and 32 hexadecimal digits, the same on every computer.
    """
    values = np.ascontiguousarray(image, image.dtype.newbyteorder("<"))
    digest = xxhash.xxh3_128(f"{image.shape} {values.dtype.str} ".encode())
    digest.update(values.data)
    return f"xxh128:{digest.hexdigest()}"


def size_text(shape: Sequence[int]) -> str:
    """The first two sides of an image as a message gives them, such as "480 x 640"."""
    return " x ".join(str(n) for n in shape[:2])
