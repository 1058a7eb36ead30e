"""One image with its mask, and what is known of the two."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from napari_samsp.data.formats.orientation import turned
from napari_samsp.data.image_files import orientation, read_image, read_labels
from napari_samsp.data.training_sets.transactions import unchanging
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.notes import tell

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


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

    @property
    def files(self) -> dict[str, Path]:
        """The paths that there are, by attribute."""
        paths = {"image": self.image, "mask": self.mask, "prediction": self.prediction}
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
