"""What tiles say about an image, put together row by row.

Only the rows that tiles still to come can change are held: a strip as high as a tile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_samsp.data.blocks import blocks, chunk_sides
from napari_samsp.inference.relabelling import Joiner

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_samsp.data.tiling import Grid, Tile

    Missing = Callable[[tuple[slice, slice]], np.ndarray | None]


class Mosaic:
    """Blends logits and joins objects of tiles, and writes labels where they belong.

    The image's foreground is where the blended logits are above 0.

    Parameters
    ----------
    grid : Grid
        Whose tiles will come, in its order.
    labels : array_like
        ``(Y, X)`` of at least 32-bit integers, numpy, zarr or the like: what takes
        ``labels[window] = ...`` and, with instances, gives ``labels[window]``.
    instances : bool
        Objects, numbered 1, 2, ...; else the labels are 0 and 1.
    logits : numpy.ndarray, optional
        ``(Y, X)`` float32 that receives the blended logits.
    missing : callable, optional
        Gives ``(h, w)`` bool of a window, or None: where there is no data, and never
        foreground.
    """

    def __init__(
        self,
        grid: Grid,
        labels: Any,
        instances: bool,
        logits: np.ndarray | None = None,
        missing: Missing | None = None,
    ) -> None:
        self._grid, self._labels, self._logits = grid, labels, logits
        self._missing = missing
        self._top = 0
        self._blend = np.zeros((grid.height, grid.shape[1]), np.float32)
        self._joiner = Joiner() if instances else None
        self._numbers: np.ndarray | None = None
        self._last_row: np.ndarray | None = None
        self.foreground = 0

    def add(self, tile: Tile, logits: np.ndarray, objects: np.ndarray | None) -> None:
        """Take what the next tile says.

        Parameters
        ----------
        tile : Tile
            The next of the grid.
        logits : numpy.ndarray
            ``(Y, X)`` float32.
        objects : numpy.ndarray or None
            ``(Y, X)`` int32, the tile's objects 1, 2, ...; None if it does not tell
            them apart: instances are then the connected components of the whole.
        """
        if tile.top > self._top:
            self._write(tile.top)
        rows, cols = tile.window
        here = slice(rows.start - self._top, rows.stop - self._top), cols
        self._blend[here] += self._grid.weight(tile) * logits
        if objects is None or self._joiner is None:
            return
        if self._numbers is None:
            self._numbers = np.zeros(self._blend.shape, np.int32)
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
            Called now and then; what it raises ends the work.

        Returns
        -------
        int
            How many objects there are, or whether there is foreground.
        """
        self._write(self._grid.shape[0])
        if self._joiner is None:
            return int(self.foreground > 0)
        table = self._joiner.table()
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
        if nothing is not None:
            blend = self._blend[:count]
            np.copyto(blend, -np.abs(blend), where=nothing)
        if self._joiner is not None and self._numbers is None:
            labels = self._components(self._blend[:count] > 0, self._joiner)
            self._write_part(rows, slice(None), labels)
        else:
            # What is written at once is copied several times on its way.
            chunk = (count, (chunk_sides(self._labels) or (1, 1))[1])
            for _, columns in blocks((count, self._grid.shape[1]), 4, chunk):
                labels = (self._blend[:count, columns] > 0).astype(np.int32)
                if self._joiner is not None and self._numbers is not None:
                    labels *= self._numbers[:count, columns]
                    self._joiner.use(labels)
                self._write_part(rows, columns, labels)
        for held in (self._blend, self._numbers):
            if held is not None:
                held[:-count] = held[count:]
                held[-count:] = 0
        self._top = bottom

    def _write_part(self, rows: slice, columns: slice, labels: np.ndarray) -> None:
        blended = self._blend[: rows.stop - rows.start, columns]
        self.foreground += int(np.count_nonzero(blended > 0))
        self._labels[rows, columns] = labels
        if self._logits is not None:
            self._logits[rows, columns] = blended

    def _components(self, foreground: np.ndarray, joiner: Joiner) -> np.ndarray:
        """Number the components of a strip, and link them with the strip above."""
        labels = joiner.number(ndimage.label(foreground)[0])
        joiner.use(labels)
        if self._last_row is not None:
            both = (self._last_row > 0) & (labels[0] > 0)
            joiner.link(self._last_row[both], labels[0][both])
        self._last_row = labels[-1].copy()
        return labels
