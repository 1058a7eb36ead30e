"""Keeps results on the validation images as small pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_samsp.data import judged_pictures

if TYPE_CHECKING:
    from pathlib import Path

    from napari_samsp.inference.results import Iteration
    from napari_samsp.train.examples.example import Example


class Pictures:
    """Collects results of validation, and writes them where the widget looks.

    Parameters
    ----------
    run : Path
        The run's folder.
    names : list of str
        Of all images that judge; of at most `judged_pictures.MOST` something is kept.
    classes : int
        K: with several, the labels in the pictures are classes.
    """

    def __init__(self, run: Path, names: list[str], classes: int = 1) -> None:
        self._run, self._classes = run, classes
        self._chosen = set(judged_pictures.chosen(names))
        self._seen: dict[str, np.ndarray] = {}
        self._examples: dict[str, Example] = {}

    def see(self, example: Example, last: Iteration) -> None:
        """Note the last iteration of an image."""
        if example.name not in self._chosen:
            return
        labels = last.labels
        if self._classes > 1 and last.object_classes is not None:
            labels = last.object_classes[labels]
        self._seen[example.name] = judged_pictures.small_labels(labels)
        self._examples[example.name] = example

    def keep(self, kind: str) -> None:
        """Write what was seen since the last call.

        Parameters
        ----------
        kind : str
            `judged_pictures.BEFORE`, with the images themselves, or
            `judged_pictures.AFTER`.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        for name, labels in self._seen.items():
            if kind == judged_pictures.BEFORE:
                example = self._examples[name]
                truth = example.labels
                if self._classes > 1:
                    truth = np.where(truth > 0, (truth - 1) % self._classes + 1, 0)
                judged_pictures.write_image(self._run, name, example.image, truth)
            judged_pictures.write_labels(self._run, name, kind, labels)
        self.forget()

    def forget(self) -> None:
        """Drop what was seen."""
        self._seen.clear()
        self._examples.clear()
