"""Outlines of labels along the edges of pixels, and labels from outlines.

A pixel belongs to a polygon if its centre does. Outlines that run along pixel edges are
therefore exact: drawing what was traced gives the same labels, holes and touching
objects included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Polygon = list[np.ndarray]
"""Rings of ``(N, 2)`` x and y, the outer one first, then holes. Pixel ``[0, 0]``
reaches from (0, 0) to (1, 1); a ring is not closed by its first point."""

MOST_CROSSINGS = 50_000_000
"""Crossings of a polygon's edges with rows of pixels: the outline of a real object has
no more than its image has pixels."""


@dataclass(frozen=True)
class Outline:
    """An object as polygons.

    Attributes
    ----------
    label : int
        0 if the file does not number its objects.
    polygons : list of Polygon
        Its pieces; what any of them covers belongs to the object.
    """

    label: int
    polygons: list[Polygon]


def trace(labels: np.ndarray) -> Iterator[Outline]:
    """Find the outlines of all objects.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(Y, X)`` integers, 0 = background.

    Yields
    ------
    Outline
        By label; pieces that only meet at corners are separate polygons.
    """
    from scipy import ndimage

    numbers, flat = np.unique(labels, return_inverse=True)
    packed = flat.reshape(labels.shape).astype(np.int32)
    if numbers.size and numbers[0] > 0:
        packed += 1  # no background: find_objects leaves 0 out
        numbers = np.concatenate([[0], numbers])
    for n, box in enumerate(ndimage.find_objects(packed), start=1):
        if box is None:
            continue
        rows, cols = box
        pieces, count = ndimage.label(packed[box] == n)
        polygons = _polygons(pieces, count, cols.start, rows.start)
        yield Outline(int(numbers[n]), polygons)


def draw(outlines: Iterable[Outline], shape: tuple[int, int]) -> np.ndarray:
    """Draw outlines as a label image.

    Parameters
    ----------
    outlines : iterable of Outline
        Where two overlap, the later one covers the earlier. If each has a number of
        its own, these are the labels, else they are numbered from 1.
    shape : tuple of int
        Height and width; what lies outside is cut off.

    Returns
    -------
    numpy.ndarray
        ``(Y, X)`` int32.

    Raises
    ------
    InputError
        If coordinates are not finite, or an outline is too complex.
    """
    outlines = list(outlines)
    labels = np.zeros(shape, np.int32)
    for label, outline in zip(own_numbers(outlines), outlines, strict=True):
        for polygon in outline.polygons:
            fill(labels, polygon, label)
    return labels


def own_numbers(outlines: Iterable[Outline]) -> list[int]:
    """The outlines' labels if they are all different and positive, else 1, 2, ..."""
    numbers = [outline.label for outline in outlines]
    most = np.iinfo(np.int32).max
    fit = all(0 < number <= most for number in numbers)
    if fit and len(set(numbers)) == len(numbers):
        return numbers
    return list(range(1, len(numbers) + 1))


def fill(labels: np.ndarray, polygon: Polygon, label: int) -> None:
    """Fill a polygon by the even-odd rule.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(Y, X)``, changed in place.
    polygon : Polygon
        What is filled; its holes stay free.
    label : int
        Value of the filled pixels.

    Raises
    ------
    InputError
        As `draw`.
    """
    height, width = labels.shape
    starts = [np.asarray(ring, np.float64).reshape(-1, 2) for ring in polygon]
    starts = [ring for ring in starts if len(ring) > 2]
    if not starts:
        return
    begin = np.concatenate(starts)
    if not np.isfinite(begin).all():
        raise InputError("A polygon has coordinates that are not finite.")
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in starts])
    # Rows of pixels whose centre line an edge crosses; its lower end does not count.
    limits = np.clip(np.stack([begin[:, 1], end[:, 1]]), -1, height + 1)
    first = np.ceil(limits.min(axis=0) - 0.5).clip(0).astype(np.int64)
    last = np.ceil(limits.max(axis=0) - 0.5).clip(None, height).astype(np.int64)
    counts = (last - first).clip(0)
    total = int(counts.sum())
    if total == 0:
        return
    if total > MOST_CROSSINGS:
        raise InputError(
            f"A polygon of {len(begin):,} points crosses the rows of the image "
            f"{total:,} times, too often for the outline of an object."
        )
    edge = np.repeat(np.arange(len(begin)), counts)
    row = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    (x0, y0), (x1, y1) = begin[edge].T, end[edge].T
    with np.errstate(over="ignore", invalid="ignore"):
        x = x0 + (row + 0.5 - y0) / (y1 - y0) * (x1 - x0)
    x = np.nan_to_num(x, nan=0, posinf=width, neginf=0).clip(0, width)
    column = np.ceil(x - 0.5).clip(0).astype(np.int64)
    top, left = int(row.min()), int(column.min())
    size = int(row.max()) - top + 1, int(column.max()) - left + 1
    flat = (row - top) * size[1] + column - left
    crossings = np.bincount(flat, minlength=size[0] * size[1]).reshape(size)
    inside = np.cumsum(crossings, axis=1) % 2 == 1
    window = labels[top : top + size[0], left : left + size[1]]
    window[inside[:, : window.shape[1]]] = label


def joined(polygons: list[Polygon]) -> np.ndarray:
    """Join pieces and holes to one ring, for formats that know no others.

    Parameters
    ----------
    polygons : list of Polygon
        The parts of one object.

    Returns
    -------
    numpy.ndarray
        ``(N, 2)``; the bridges between the rings are passed there and back, and so
        cover nothing.
    """
    rings = [ring for polygon in polygons for ring in polygon]
    first = rings[0][:1]
    parts = [rings[0]]
    for ring in rings[1:]:
        parts += [first, ring, ring[:1]]
    return np.concatenate([*parts, first] if len(rings) > 1 else parts)


def _polygons(pieces: np.ndarray, count: int, left: int, top: int) -> list[Polygon]:
    """The rings of each piece, its outer one first."""
    offset = np.array([left, top])
    inside = np.pad(pieces > 0, 1)
    core = inside[1:-1, 1:-1]
    # Directed so that the object is on the right: x, y and the step to the next corner.
    sides = (
        (core & ~inside[:-2, 1:-1], (0, 0), (1, 0)),
        (core & ~inside[1:-1, 2:], (1, 0), (0, 1)),
        (core & ~inside[2:, 1:-1], (1, 1), (-1, 0)),
        (core & ~inside[1:-1, :-2], (0, 1), (0, -1)),
    )
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    order: list[tuple[tuple[int, int], tuple[int, int]]] = []
    for found, (dx, dy), step in sides:
        ys, xs = np.nonzero(found)
        for corner in zip((xs + dx).tolist(), (ys + dy).tolist(), strict=True):
            steps.setdefault(corner, []).append(step)
            order.append((corner, step))
    outer: list[list[np.ndarray]] = [[] for _ in range(count)]
    holes: list[list[np.ndarray]] = [[] for _ in range(count)]
    for corner, step in order:
        if step not in steps[corner]:
            continue
        ring = _ring(corner, step, steps)
        piece = _right_of(corner, step)
        x, y = ring.T
        area = np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))
        (outer if area > 0 else holes)[pieces[piece] - 1].append(ring + offset)
    return [[*a, *b] for a, b in zip(outer, holes, strict=True)]


def _ring(
    corner: tuple[int, int],
    step: tuple[int, int],
    steps: dict[tuple[int, int], list[tuple[int, int]]],
) -> np.ndarray:
    """Follow the edges from one back to itself, and take them out; corners only."""
    start = corner
    points = []
    before = None
    while True:
        steps[corner].remove(step)
        if step != before:
            points.append(corner)
        before = step
        corner = (corner[0] + step[0], corner[1] + step[1])
        if corner == start and not _goes_on(step, steps[corner]):
            break
        # Where pixels meet at a corner, turn right: stay at the same pixel.
        right = (-step[1], step[0])
        step = right if right in steps[corner] else steps[corner][0]
    if before == _direction(points):
        points = points[1:]  # the first corner was in the middle of a side
    return np.array(points, np.int64)


def _goes_on(step: tuple[int, int], left: list[tuple[int, int]]) -> bool:
    """Whether the ring passes its first corner, to come back to it once more."""
    return (-step[1], step[0]) in left


def _direction(points: list[tuple[int, int]]) -> tuple[int, int]:
    (x0, y0), (x1, y1) = points[:2]
    return int(np.sign(x1 - x0)), int(np.sign(y1 - y0))


def _right_of(corner: tuple[int, int], step: tuple[int, int]) -> tuple[int, int]:
    """Row and column of the pixel on the right of an edge."""
    x, y = corner
    dx, dy = step
    return y + min(dy, 0) + min(dx, 0), x + min(dx, 0) + min(-dy, 0)
