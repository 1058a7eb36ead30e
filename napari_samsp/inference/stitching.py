"""The results of tiles, put together row by row.

Only the rows that tiles still to come can change are held: a strip as high as a tile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_samsp.data.blocks import blocks, chunk_sides
from napari_samsp.inference.relabelling import Joiner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_samsp.data.tiling import Grid, Tile

    Missing = Callable[[tuple[slice, slice]], np.ndarray | None]


class Stitcher:
    """Blends logits and joins objects of tiles, and writes labels where they belong.

    The image's foreground is where the blended logits are above 0. Those of several
    classes are blended apart, and each pixel is of the class with the largest.

    Parameters
    ----------
    grid : Grid
        Grid of the tiles, which come in its order.
    labels : array_like
        ``(Y, X)`` of at least 32-bit integers, numpy, zarr or the like: what takes
        ``labels[window] = ...`` and, with instances, gives ``labels[window]``.
    instances : bool
        Objects, numbered 1, 2, ...; else the labels are those of the classes.
    logits : numpy.ndarray, optional
        ``(Y, X)`` float32 that receives the blended logits, of the surest class.
    missing : callable, optional
        Gives ``(h, w)`` bool of a window, or None: where there is no data, and never
        foreground.
    classes : sequence of int
        The label of each class.
    """

    def __init__(
        self,
        grid: Grid,
        labels: Any,
        instances: bool,
        logits: np.ndarray | None = None,
        missing: Missing | None = None,
        classes: Sequence[int] = (1,),
    ) -> None:
        self._grid, self._labels, self._logits = grid, labels, logits
        self._missing = missing
        self._top = 0
        self._classes = np.array(classes, np.int32)
        strip = (len(classes), grid.height, grid.shape[1])
        self._blend = np.zeros(strip, np.float32)
        self._votes = np.zeros((1024, len(classes)), np.int64)
        self.object_classes: np.ndarray | None = None
        self._joiner = Joiner() if instances else None
        self._numbers: np.ndarray | None = None
        self._last_row: tuple[np.ndarray, np.ndarray] | None = None
        self.foreground = 0

    def add(self, tile: Tile, logits: np.ndarray, objects: np.ndarray | None) -> None:
        """Add the result of the next tile.

        Parameters
        ----------
        tile : Tile
            The next of the grid.
        logits : numpy.ndarray
            ``(Y, X)`` float32; with several classes ``(K, Y, X)``.
        objects : numpy.ndarray or None
            ``(Y, X)`` int32, the tile's objects 1, 2, ...; None if it does not tell
            them apart: instances are then the connected components of the whole.
        """
        if tile.top > self._top:
            self._write(tile.top)
        rows, cols = tile.window
        here = slice(rows.start - self._top, rows.stop - self._top), cols
        self._blend[:, *here] += self._grid.weight(tile) * logits
        if objects is None or self._joiner is None:
            return
        if self._numbers is None:
            self._numbers = np.zeros(self._blend.shape[1:], np.int32)
        seen = self._numbers[here]
        new = self._joiner.number(objects, self._grid.inner_borders(tile))
        covered = self._grid.covered_before(tile)
        self._joiner.compare(
            *(
                np.concatenate([view[w].ravel() for w in covered])
                for view in (seen, new)
            )
        )
        better = seen == 0
        core = self._grid.core(tile)
        better[core] |= self._joiner.is_cut(seen[core]) & (new[core] > 0)
        np.copyto(seen, new, where=better)

    def finish(self, tick: Callable[[], None] | None = None) -> int:
        """Write what is left, and give the objects their final labels.

        Parameters
        ----------
        tick : callable, optional
            Called now and then. An exception raised by it aborts the run.

        Returns
        -------
        int
            How many objects there are, or whether there is foreground.
        """
        self._write(self._grid.shape[0])
        if self._joiner is None:
            return int(self.foreground > 0)
        table = self._joiner.table()
        if len(self._classes) > 1:
            self.object_classes = self._elect(table)
        rows, columns = chunk_sides(self._labels) or (1, 1)
        for window in blocks(self._grid.shape, 4, (rows, columns)):
            if tick is not None:
                tick()
            self._labels[window] = table[np.asarray(self._labels[window])]
        return int(table.max())

    def _write(self, bottom: int) -> None:
        """Let go of the rows above ``bottom``: no other tile reaches them."""
        rows, count = slice(self._top, bottom), bottom - self._top
        nothing = self._missing((rows, slice(None))) if self._missing else None
        blend = self._blend[:, :count]
        if nothing is not None:
            np.copyto(blend, -np.abs(blend), where=nothing)
        if self._joiner is not None and self._numbers is None:
            surest, best = self._surest(blend)
            labels = self._components(np.where(best > 0, surest + 1, 0), self._joiner)
            self._vote(labels, surest)
            self._write_part(rows, slice(None), labels, best)
        else:
            # What is written at once is copied several times on its way.
            chunk = (count, (chunk_sides(self._labels) or (1, 1))[1])
            for _, columns in blocks((count, self._grid.shape[1]), 4, chunk):
                surest, best = self._surest(blend[..., columns])
                labels = (best > 0).astype(np.int32)
                if self._joiner is None:
                    labels *= self._classes[surest]
                elif self._numbers is not None:
                    labels *= self._numbers[:count, columns]
                    self._joiner.use(labels)
                    self._vote(labels, surest)
                self._write_part(rows, columns, labels, best)
        self._blend[:, :-count] = self._blend[:, count:]
        self._blend[:, -count:] = 0
        if self._numbers is not None:
            self._numbers[:-count] = self._numbers[count:]
            self._numbers[-count:] = 0
        self._top = bottom

    @staticmethod
    def _surest(blend: np.ndarray) -> tuple[Any, np.ndarray]:
        """The index of each pixel's class in ``(K, Y, X)``, and that class's logit."""
        if len(blend) == 1:
            return 0, blend[0]
        surest = blend.argmax(0)
        return surest, np.take_along_axis(blend, surest[None], 0)[0]

    def _vote(self, numbers: np.ndarray, surest: Any) -> None:
        """Count the classes of each object's pixels."""
        count = len(self._classes)
        if count == 1:
            return
        inside = numbers > 0
        pairs, pixels = np.unique(
            numbers[inside].astype(np.int64) * count + surest[inside],
            return_counts=True,
        )
        while len(pairs) and pairs[-1] >= self._votes.size:
            self._votes = np.concatenate([self._votes, np.zeros_like(self._votes)])
        self._votes.reshape(-1)[pairs] += pixels

    def _elect(self, table: np.ndarray) -> np.ndarray:
        """The label of each object's class: the one that most of its pixels have."""
        votes = np.zeros((int(table.max()) + 1, len(self._classes)), np.int64)
        some = min(len(table), len(self._votes))
        np.add.at(votes, table[:some], self._votes[:some])
        elected = self._classes[votes.argmax(1)]
        elected[0] = 0
        return elected

    def _write_part(
        self, rows: slice, columns: slice, labels: np.ndarray, best: np.ndarray
    ) -> None:
        self.foreground += int(np.count_nonzero(best > 0))
        self._labels[rows, columns] = labels
        if self._logits is not None:
            self._logits[rows, columns] = best

    def _components(self, kinds: np.ndarray, joiner: Joiner) -> np.ndarray:
        """Number each class's components of a strip; link them with the strip above."""
        labels = joiner.number(_components_of(kinds))
        joiner.use(labels)
        if self._last_row is not None:
            last, last_kinds = self._last_row
            both = (last > 0) & (labels[0] > 0) & (last_kinds == kinds[0])
            joiner.link(last[both], labels[0][both])
        self._last_row = labels[-1].copy(), kinds[-1].copy()
        return labels


def _components_of(kinds: np.ndarray) -> np.ndarray:
    """Number the connected parts of each class in ``(Y, X)``, 0 = background."""
    found = np.zeros(kinds.shape, np.int32)
    for kind in range(1, int(kinds.max(initial=0)) + 1):
        parts, _ = ndimage.label(kinds == kind)
        found += np.where(parts > 0, parts + found.max(initial=0), 0).astype(np.int32)
    return found
