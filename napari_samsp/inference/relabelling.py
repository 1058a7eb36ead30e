"""Objects that overlapping tiles have seen, joined in time linear in the area."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components


class Joiner:
    """Gives every object of every tile a number, and knows which are the same.

    Numbers run from 1 in the order in which they are given. `table` says in the end
    which label each becomes. What it holds grows with the objects, not with the image.

    An object that its tile shows whole, and another one of that tile, stay two: where
    others disagree, or a corner that a third tile cuts off would join them, the link
    with fewest pixels is left out.
    """

    def __init__(self) -> None:
        self._count = 1  # 0 is background
        self._areas = np.zeros(1024, np.int64)
        self._cut = np.zeros(1024, np.bool_)
        self._used = np.zeros(1024, np.bool_)
        self._tiles = np.zeros(1024, np.int32)  # 0: parts of it may meet elsewhere
        self._tile = 0
        self._pairs: list[np.ndarray] = []
        self._shared: list[np.ndarray] = []

    def number(self, objects: np.ndarray, borders: list[Any] | None = None) -> Any:
        """Give the objects of a tile numbers of their own.

        Parameters
        ----------
        objects : numpy.ndarray
            ``(Y, X)`` integers, 0 is background, else 1, 2, ...
        borders : list, optional
            Indices of the lines at which the tile cuts objects. Without any list, what
            `link` says of them is not questioned.

        Returns
        -------
        numpy.ndarray
            ``(Y, X)`` int32.
        """
        areas = np.bincount(objects.ravel(), minlength=1)
        first, self._count = self._count, self._count + len(areas) - 1
        while self._count > len(self._areas):
            for name in ("_areas", "_cut", "_used", "_tiles"):
                table = getattr(self, name)
                setattr(self, name, np.concatenate([table, np.zeros_like(table)]))
        self._areas[first : self._count] = areas[1:]
        if borders is not None:
            self._tile += 1
            self._tiles[first : self._count] = self._tile
        for line in borders or ():
            touching = objects[line]
            self._cut[touching[touching > 0] + (first - 1)] = True
        return np.where(objects > 0, objects + (first - 1), 0).astype(np.int32)

    def compare(self, earlier: np.ndarray, later: np.ndarray) -> None:
        """Find which objects of two views of the same pixels are the same.

        They are if they share more than half of the smaller one's pixels: of an
        object that its tile cuts, those that both views cover; of a whole one, all.
        A whole object is matched once, with what it shares most with: where one view
        parts what the other does not, no third object is drawn in.

        Parameters
        ----------
        earlier, later : numpy.ndarray
            ``(N,)`` int32 numbers, 0 where a view shows no object.
        """
        both = (earlier > 0) & (later > 0)
        if not both.any():
            return
        # Of these the numbers lie close together: tables over them are short.
        a0, b0 = int(earlier[both].min()), int(later[both].min())
        ones, others = earlier[both] - a0, later[both] - b0
        shared = sparse.coo_matrix(
            (np.ones(len(ones), np.int64), (ones, others))
        ).tocsr()  # adds up entries of the same pair
        best_a, best_b = (shared.max(axis=n).toarray().ravel() for n in (1, 0))
        pairs = shared.tocoo()
        a, b, pixels = pairs.row, pairs.col, pairs.data
        smaller = np.minimum(
            self._extent(earlier, a0, len(best_a))[a],
            self._extent(later, b0, len(best_b))[b],
        )
        same = 2 * pixels > smaller
        same &= (pixels == best_a[a]) | self._cut[b + b0]
        same &= (pixels == best_b[b]) | self._cut[a + a0]
        self.link(a[same] + a0, b[same] + b0, pixels[same])

    def _extent(self, view: np.ndarray, first: int, count: int) -> np.ndarray:
        """How large the numbers from ``first`` on are for a comparison."""
        inside = (view >= first) & (view < first + count)
        covered = np.bincount(view[inside] - first, minlength=count)
        numbers = slice(first, first + count)
        return np.where(self._cut[numbers], covered, self._areas[numbers])

    def is_cut(self, numbers: np.ndarray) -> np.ndarray:
        """Whether each number's tile cuts its object; bool of the same shape."""
        return self._cut[numbers]

    def link(
        self, ones: np.ndarray, others: np.ndarray, shared: np.ndarray | None = None
    ) -> None:
        """Say that numbers belong to the same objects, pair by pair.

        Parameters
        ----------
        ones, others : numpy.ndarray
            ``(N,)`` integers.
        shared : numpy.ndarray, optional
            ``(N,)`` pixels that speak for it, of pairs that are all different.
        """
        if not len(ones):
            return
        pairs = np.stack([ones, others]).astype(np.int32)
        if shared is None:
            pairs = np.unique(pairs, axis=1)
            shared = np.zeros(pairs.shape[1], np.int64)
        self._pairs.append(pairs)
        self._shared.append(shared)

    def use(self, numbers: np.ndarray) -> None:
        """Note which numbers are in the result; others get no label in the `table`."""
        self._used[numbers] = True

    def table(self) -> np.ndarray:
        """The label of each number: 1, 2, ... without gaps, 0 for background.

        Returns
        -------
        numpy.ndarray
            ``(numbers + 1,)`` int32.
        """
        pairs = np.concatenate([np.zeros((2, 0), np.int32), *self._pairs], axis=1)
        group = self._groups(pairs)
        torn = self._torn(group)[group[pairs[0]]]
        if torn.any():
            shared = np.concatenate(self._shared)[torn]
            kept = self._without_bridges(pairs[:, torn], shared)
            group = self._groups(np.concatenate([pairs[:, ~torn], kept], axis=1))
        groups = int(group.max()) + 1
        used = np.zeros(groups, np.bool_)
        used[group[np.flatnonzero(self._used[: self._count])]] = True
        used[group[0]] = False
        labels = np.where(used, used.cumsum(), 0)
        # Groups are numbered in the order of their first members.
        return labels[group].astype(np.int32)

    def _groups(self, pairs: np.ndarray) -> np.ndarray:
        """The group of each number if ``(2, N)`` pairs are the same objects."""
        graph = sparse.coo_matrix(
            (np.ones(pairs.shape[1], np.bool_), (pairs[0], pairs[1])),
            (self._count, self._count),
        )
        return np.asarray(connected_components(graph, directed=False)[1])

    def _torn(self, group: np.ndarray) -> np.ndarray:
        """Of each group, whether it joins what a tile shows apart, one of it whole."""
        torn = np.zeros(int(group.max()) + 1, np.bool_)
        known = np.flatnonzero(self._tiles[: self._count])
        views, view, count = np.unique(
            group[known].astype(np.int64) * (self._tile + 1) + self._tiles[known],
            return_inverse=True,
            return_counts=True,
        )
        whole = np.bincount(view[~self._cut[known]], minlength=len(views)) > 0
        torn[views[whole & (count > 1)] // (self._tile + 1)] = True
        return torn

    def _without_bridges(self, pairs: np.ndarray, shared: np.ndarray) -> np.ndarray:
        """Leave out links so that no group is torn, those of fewest pixels first.

        As Kruskal's spanning tree grows: from the strongest link on, each joins two
        groups unless a tile shows them apart.
        """
        numbers = np.unique(pairs).tolist()
        parent = {n: n for n in numbers}
        # Of each group the tiles that show it, and whether any of it is whole there.
        shown = {n: {int(self._tiles[n]): not self._cut[n]} for n in numbers}

        def root(n: int) -> int:
            while parent[n] != n:
                parent[n] = n = parent[parent[n]]
            return n

        kept = np.zeros(pairs.shape[1], np.bool_)
        for k in np.argsort(-shared, kind="stable").tolist():
            one, other = (root(n) for n in pairs[:, k].tolist())
            if one == other:
                continue
            if len(shown[one]) < len(shown[other]):
                one, other = other, one
            mine, more = shown[one], shown[other]
            if any(
                tile in mine and (whole or mine[tile]) for tile, whole in more.items()
            ):
                continue
            parent[other] = one
            for tile, whole in shown.pop(other).items():
                mine[tile] = whole or mine.get(tile, False)
            kept[k] = True
        return pairs[:, kept]
