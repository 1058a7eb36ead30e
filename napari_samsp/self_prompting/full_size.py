"""Low-res maps brought to the pixels of the image that they are of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_samsp.self_prompting.letterbox import logits_to_image, stretch

if TYPE_CHECKING:
    from torch import Tensor


def full_size(
    logits: Tensor, size: int, valid: tuple[int, int], shape: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Bring low-res maps of a tile to its pixels and merge them by largest logit.

    Parameters
    ----------
    logits : Tensor
        ``(N, m, m)`` low-res logits of one tile.
    size, valid, shape
        As for `logits_to_image`.

    Returns
    -------
    tuple of Tensor
        ``(Y, X)`` float32 largest logit, -32 without a map, and ``(Y, X)`` int32: the
        map that it is of, from 1, where it is above 0. Of several maps the logits that
        are not above 0 are those of the low-res maximum.
    """
    best = torch.full(shape, -32.0, device=logits.device)
    which = torch.zeros(shape, dtype=torch.int32, device=logits.device)
    if len(logits) <= 1:
        if len(logits):
            best = logits_to_image(logits, size, valid, shape)[0]
        return best, (best > 0).int()
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits.float()
        side = logits.shape[-1]
        rows, cols = (
            stretch(side, size, *sides).to(logits.device)
            for sides in zip(valid, shape, strict=True)
        )
        # Where no map is positive, that of the largest is near enough.
        best = (rows @ logits.amax(0) @ cols.mT).clamp_(max=0)
        down, across = _Reach(rows), _Reach(cols)
        positive = logits > 0
        seen_rows, seen_cols = (_spans(positive.any(axis)) for axis in (2, 1))
        for n, (y, x) in enumerate(zip(seen_rows, seen_cols, strict=True)):
            if y[0] == y[1]:
                continue
            # Only there can the map be positive, and only these cells tell.
            (top, bottom), (left, right) = down.pixels(*y), across.pixels(*x)
            (a, b), (c, d) = down.cells(top, bottom), across.cells(left, right)
            values = rows[top:bottom, a:b] @ logits[n, a:b, c:d]
            values = values @ cols[left:right, c:d].mT
            here = (slice(top, bottom), slice(left, right))
            better = values > best[here].clamp(min=0)
            best[here] = torch.where(better, values, best[here])
            which[here] = torch.where(better, n + 1, which[here])
    return best, which


class _Reach:
    """Which pixels a span of cells reaches in one direction, and the other way."""

    def __init__(self, weights: Tensor) -> None:
        # Both ends only grow along the side.
        self._by_cell = _spans(weights.mT != 0)
        self._by_pixel = _spans(weights != 0)

    def pixels(self, first: int, end: int) -> tuple[int, int]:
        """The pixels that the cells have a part in, as start and stop of a slice."""
        reached = [span for span in self._by_cell[first:end] if span[0] < span[1]]
        return (reached[0][0], reached[-1][1]) if reached else (0, 0)

    def cells(self, first: int, end: int) -> tuple[int, int]:
        """The cells that have a part in the pixels, as start and stop of a slice."""
        if first == end:
            return 0, 0
        return self._by_pixel[first][0], self._by_pixel[end - 1][1]


def _spans(occupied: Tensor) -> list[tuple[int, int]]:
    """Where True begins and ends in each row, as a slice; (0, 0) if it is nowhere."""
    length = occupied.shape[-1]
    places = torch.arange(length, device=occupied.device)
    first = torch.where(occupied, places, length).amin(-1)
    end = torch.where(occupied, places + 1, 0).amax(-1)
    first = torch.minimum(first, end)
    return list(zip(first.tolist(), end.tolist(), strict=True))
