"""The class of an object that has several: of a stack, or of what tells it slice wise.

Needs no torch.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

K = TypeVar("K", int, str)


class ClassElection(Generic[K]):
    """Gives each object one class: that of most of its pixels.

    Classes are numbers or names; 0 and the empty name are none. Of two with as many
    pixels the one that was counted first wins.
    """

    def __init__(self) -> None:
        self._pixels: dict[int, Counter[K]] = {}
        self.elected: dict[int, K] = {}

    def count(self, labels: np.ndarray, classes: Mapping[int, K]) -> dict[int, K]:
        """Count the pixels of a slice.

        Parameters
        ----------
        labels : numpy.ndarray
            ``(Y, X)`` integers; a label is one object in all slices.
        classes : mapping
            Class of the objects of this slice, by label; those without one may be left
            out, and do not vote.

        Returns
        -------
        dict
            Class by label, of all objects of all slices so far that have any. It is
            the same dict each time.
        """
        found = np.unique(labels, return_counts=True)
        for label, pixels in zip(*(part.tolist() for part in found), strict=True):
            if label and (of := classes.get(label)):
                votes = self._pixels.setdefault(label, Counter())
                votes[of] += pixels
                self.elected[label] = votes.most_common(1)[0][0]
        return self.elected
