"""Which labels a plane has, and which a stroke of the brush or a click wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_samsp.data.plane_view import PlaneIndex


def labels_in(labels: np.ndarray) -> list[int]:
    """The labels that there are, without 0, in order."""
    import pandas as pd

    return sorted(set(pd.unique(np.asarray(labels).ravel()).tolist()) - {0})


def written_by(atom: Any, page: PlaneIndex | None) -> dict[int, int]:
    """How many pixels got which label, by a step of napari's undo.

    Parameters
    ----------
    atom : tuple
        napari's; since 0.9 there are two kinds.
    page : PlaneIndex or None
        Only pixels of this slice count.
    """
    cut = [(axis, n) for axis, n in enumerate(page or ()) if n is not None]
    if hasattr(atom, "new_value"):
        here = all(_is_at(atom.slice_key[axis], n) for axis, n in cut)
        count = int(np.size(atom.old_values))
        return {int(atom.new_value): count} if here and atom.new_value else {}
    indices, before, after = atom
    values = np.broadcast_to(np.asarray(after), np.shape(before))
    for axis, n in cut:
        values = np.where(np.asarray(indices[axis]) == n, values, 0)
    labels, counts = np.unique(values, return_counts=True)
    return {int(n): int(c) for n, c in zip(labels, counts, strict=True) if n}


def _is_at(part: slice | int, index: int) -> bool:
    return part.start <= index < part.stop if isinstance(part, slice) else part == index
