"""A prediction and its mask, slice by slice."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from napari_samsp.data.components import connected_parts, holds_one_value
from napari_samsp.data.image_files import as_labels
from napari_samsp.data.image_source import StoredImage, open_image
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def paired_slices(
    prediction: Path,
    mask: Path,
    components: str,
    split: dict[Path, None],
    series: int | None,
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Read a prediction and its mask slice by slice.

    Parameters
    ----------
    prediction, mask : Path
        Files of labels of equal shape.
    components : {"auto", "yes", "no"}
        Whether the connected parts of a label are the objects; ``auto``: in files of
        one value only.
    split : dict
        Takes the files whose labels were split into several parts.
    series : int or None
        Which image of a mask file that holds several, from 0; None: the largest.

    Yields
    ------
    tuple of str, numpy.ndarray and numpy.ndarray
        Name of the slice, such as `` t0 z12``, empty in 2D; and ``(Y, X)`` int32 labels
        of the prediction and of the mask.

    Raises
    ------
    InputError
        If a file cannot be read, or the shapes differ.
    """
    with ExitStack() as files:
        labels, truth = (
            _LabelFile(
                path,
                files.enter_context(open_image(path, mask=True, series=number)),
                components,
            )
            for path, number in ((prediction, None), (mask, series))
        )
        if labels.shape != truth.shape:
            sides = (" x ".join(map(str, file.shape)) for file in (labels, truth))
            raise InputError(
                "The prediction is {} but the mask is {}; sizes must be equal.".format(
                    *sides
                )
            )
        axes = truth.image.plane_axes.lower()
        for index in truth.image.planes():
            where = "".join(f" {a}{n}" for a, n in zip(axes, index, strict=True))
            yield where, labels.plane(index), truth.plane(index)
        split |= {file.path: None for file in (labels, truth) if file.parts > 1}


class _LabelFile:
    """A file of labels, slice by slice, and the most parts that one was split into."""

    def __init__(self, path: Path, image: StoredImage, components: str) -> None:
        self.path, self.image, self.shape = path, image, image.labels_shape
        self.parts = 0
        planes = (self._read(index) for index in image.planes())
        self._split = components == "yes" or (
            components == "auto" and holds_one_value(planes)
        )

    def plane(self, index: tuple[int, ...]) -> np.ndarray:
        """The labels of a slice, ``(Y, X)`` int32."""
        labels = self._read(index)
        if not self._split:
            return labels
        parts = connected_parts(labels)
        self.parts = max(self.parts, int(parts.max(initial=0)))
        return parts

    def _read(self, index: tuple[int, ...]) -> np.ndarray:
        return as_labels(np.asarray(self.image.plane(index)[0]), str(self.path))
