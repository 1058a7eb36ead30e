"""What clicks wrote into a labels layer, step by step of its own undo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari.layers import Labels

    from napari_samsp.ui.correct.clicks.edits import Edit, Told
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


def write(labels: Labels, edits: Iterable[tuple[LabelledPlane, Edit]]) -> Step | None:
    """Make edits; in the GUI's thread.

    Parameters
    ----------
    labels : Labels
        Where.
    edits : iterable
        Planes of it, and what changes in each.

    Returns
    -------
    Step or None
        One step of the layer's undo for all of them; None if nothing was left to be
        changed.
    """
    places, values = [], []
    for pair, edit in edits:
        indices = _indices(pair, edit)
        # Somebody may have painted there while the model was at work.
        still = np.asarray(labels.data[indices]) == edit.before
        places.append(np.stack([part[still] for part in indices]))
        values.append(edit.after[still])
    step = Step(
        labels.data, tuple(np.concatenate(places, axis=1)), np.concatenate(values)
    )
    if not len(step.values):
        return None
    labels.data_setitem(step.indices, step.values)
    return step


def _indices(pair: LabelledPlane, edit: Edit) -> tuple[np.ndarray, ...]:
    """Where in the layer the pixels of an edit are."""
    inside: Iterator[np.ndarray] = iter((edit.rows, edit.columns))
    return tuple(
        next(inside) if at is None else np.full(len(edit.rows), at)
        for at in pair.of_labels
    )
