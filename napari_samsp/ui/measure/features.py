"""Measured objects as features of their Labels layer."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from napari_samsp.data.tables.object_table import CLASS
from napari_samsp.ui.widgets.layer_features import put_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Labels

    from napari_samsp.data.tables.object_table import Columns

# Which columns of a layer's features are ours, and may be replaced.
_ours: WeakKeyDictionary[Labels, frozenset[str]] = WeakKeyDictionary()


def show_features(labels: Labels, tables: Sequence[Columns], where: int = 0) -> None:
    """Let a layer know its objects: napari shows them in tooltips and in its table.

    Parameters
    ----------
    labels : Labels
        Its features get a column ``index`` of the label; columns of others stay.
    tables : sequence of dict
        From `napari_samsp.ui.measure.measuring.measure_parts`, at least one.
    where : int
        Which of them counts for a label that is in several.
    """
    import pandas as pd

    # The class is not ours: it may have changed since.
    frames = [
        pd.DataFrame({k: v for k, v in table.items() if k != CLASS})
        for table in (tables[where], *tables)
    ]
    found = pd.concat([frame for frame in frames if len(frame)] or frames[:1])
    found = found.drop_duplicates("label").rename(columns={"label": "index"})
    names = frozenset(found.columns) - {"index"}
    put_columns(labels, found, _ours.get(labels, frozenset()))
    _ours[labels] = names
