"""What clicks wrote into a labels layer, step by step of its own undo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.layers import Labels

    from napari_samsp.ui.correct.click_edits import Edit, Told
    from napari_samsp.ui.correct.labelled_plane import LabelledPlane


class Step(NamedTuple):
    """What one click wrote."""

    data: Any
    indices: tuple[np.ndarray, ...]
    values: np.ndarray

    def stands(self, labels: Labels) -> bool:
        """Whether it is there: napari's own undo may have been pressed."""
        same = labels.data is self.data
        return same and np.array_equal(labels.data[self.indices], self.values)


@dataclass
class Pending:
    """The object that was clicked last, and what its clicks wrote."""

    labels: Labels
    steps: list[Step]
    told: Told | None


def write(pair: LabelledPlane, edit: Edit) -> Step | None:
    """Make an edit; in the GUI's thread.

    Parameters
    ----------
    pair : LabelledPlane
        Where.
    edit : Edit
        Of its plane.

    Returns
    -------
    Step or None
        One step of the layer's undo; None if nothing was left to be changed.
    """
    labels = pair.labels
    inside: Iterator[np.ndarray] = iter((edit.rows, edit.columns))
    indices = tuple(
        next(inside) if at is None else np.full(len(edit.rows), at)
        for at in pair.of_labels
    )
    # Somebody may have painted there while the model was at work.
    still = np.asarray(labels.data[indices]) == edit.before
    if not still.any():
        return None
    step = Step(labels.data, tuple(part[still] for part in indices), edit.after[still])
    labels.data_setitem(step.indices, step.values)
    return step
