"""Columns of a Labels layer's features: napari shows them, and others own some."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Set

    import pandas as pd
    from napari.layers import Labels


def put_columns(layer: Labels, found: pd.DataFrame, replaced: Set[str]) -> None:
    """Give a layer columns of features; those of others stay.

    Parameters
    ----------
    layer : Labels
        Its features get a column ``index`` of the label.
    found : pandas.DataFrame
        With the column ``index``, each label once.
    replaced : set of str
        Columns that are dropped, beside those that `found` has.
    """
    others = _others(layer.features, replaced | set(found.columns))
    if others is not None:
        found = found.merge(others, on="index", how="outer")
    layer.features = found.sort_values("index").reset_index(drop=True)


def _others(features: pd.DataFrame, ours: Set[str]) -> pd.DataFrame | None:
    """The columns of others with their labels, None if there are none."""
    kept = [n for n in features.columns if n not in ours and n != "index"]
    if not kept:
        return None
    others = features[kept].copy()
    said = others.notna().any(axis=1)
    # As napari takes it: without an index, the rows are those of the labels from 0.
    others["index"] = features["index"] if "index" in features else range(len(others))
    return others[said].drop_duplicates("index")
