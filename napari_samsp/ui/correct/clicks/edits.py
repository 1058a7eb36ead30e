"""What a click does to the labels of a plane; in a worker, and touches no layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from skimage.draw import line

from napari_samsp.data.tiling import Tile
from napari_samsp.inference.interactive.cut import Clicks, Cut
from napari_samsp.inference.interactive.line_cut import cut_along
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_samsp.inference.interactive.clicks import ClickedImage
    from napari_samsp.ui.correct.labelled_plane import LabelledPlane

Place = tuple[int, int]
"""Row and column of a pixel of the plane."""


class Told(NamedTuple):
    """What was clicked so far of an object, and the pixels that it got."""

    cut: Cut
    points: tuple[tuple[float, float], ...]
    inside: tuple[bool, ...]


class Edit(NamedTuple):
    """Pixels that get other labels.

    Attributes
    ----------
    rows, columns : numpy.ndarray
        Of the plane.
    before, after : numpy.ndarray
        Labels; only a pixel that still is as before is changed.
    label : int
        Of the object that was made or changed; 0 if it is gone.
    said : str
        What was done, in a sentence.
    told : Told or None
        What the object was made from, where more clicks can follow.
    """

    rows: np.ndarray
    columns: np.ndarray
    before: np.ndarray
    after: np.ndarray
    label: int
    said: str
    told: Told | None = None


@dataclass(frozen=True)
class Plane:
    """The labels of a plane, and what they are of.

    Attributes
    ----------
    labels : numpy.ndarray
        ``(Y, X)``; read, never written.
    opened : callable
        Gives the image; takes long the first time.
    open_beside : callable
        Gives the image's slice of another pair of the same layers.
    unused : callable
        Gives a label that no object of the layer has.
    objects : bool
        Each object has its own label; else all are parts of one region.
    iterations : int
        Of every decoding.
    """

    labels: np.ndarray
    opened: Callable[[], ClickedImage]
    open_beside: Callable[[LabelledPlane], ClickedImage]
    unused: Callable[[], int]
    objects: bool
    iterations: int

    def object_at(self, place: Place) -> tuple[int, Cut]:
        """The label at a pixel, and the object: with one region, the connected part.

        Raises
        ------
        InputError
            If nothing is labelled there.
        """
        label = int(self.labels[place])
        if not label:
            raise InputError("There is no object: click on one, or use Add.")
        return label, self.parts_of(self.labels, label, place)

    def nearest(self, place: Place) -> Place:
        """The pixel itself if it is labelled, or else the nearest one that is.

        Raises
        ------
        InputError
            If nothing is labelled.
        """
        if self.labels[place]:
            return place
        rows, columns = np.nonzero(self.labels)
        if not len(rows):
            raise InputError("There is no object yet: use Add, or press Segment.")
        far = (rows - place[0]) ** 2 + (columns - place[1]) ** 2
        n = int(far.argmin())
        return int(rows[n]), int(columns[n])

    def parts_of(
        self, labels: np.ndarray, label: int, seeds: Place | np.ndarray
    ) -> Cut:
        """The object of a label: with one region, the connected parts at some pixels.

        Parameters
        ----------
        labels : numpy.ndarray
            ``(Y, X)``, of this plane or as they are going to be.
        label : int
            The object's, or the region's.
        seeds : tuple of int or numpy.ndarray
            A pixel, or a ``(Y, X)`` mask.
        """
        mask = labels == label
        if not self.objects:
            from scipy import ndimage

            parts, _ = ndimage.label(mask)
            mask &= np.isin(parts, parts[seeds])
        return Cut.of(mask)


def add(plane: Plane, clicks: Clicks) -> Edit:
    """Make an object of what is clicked, or in a box, and not labelled yet."""
    if clicks.points:
        row, column = clicks.points[0]
        if plane.labels[int(row), int(column)]:
            raise InputError(
                "There is an object already: use Fix to change it, or click beside it."
            )
    found = plane.opened().segment(clicks, plane.iterations)
    rows, columns = found.indices
    free = plane.labels[rows, columns] == 0
    rows, columns = rows[free], columns[free]
    if not len(rows):
        raise InputError("Nothing new was found there: drag a box round the object.")
    label = _region(plane) if not plane.objects else 0
    label = label or plane.unused()
    mask = np.zeros(plane.labels.shape, bool)
    mask[rows, columns] = True
    said = f"Added {_name(plane, label)}. Escape takes it back."
    object_ = _object_after(plane, label, mask, mask)
    told = Told(object_, clicks.points, clicks.inside)
    return _edit(plane, rows, columns, label, label, said, told)


def fix(plane: Plane, at: Place, belongs: bool, told: Told | None = None) -> Edit:
    """Change an object by a click.

    Parameters
    ----------
    plane : Plane
        Where.
    at : tuple of int
        The click; beside objects the nearest one is meant.
    belongs : bool
        Whether the pixel is to be the object's.
    told : Told, optional
        What was clicked before; counts if it was the same object, and nobody has
        changed it since.
    """
    nearest = plane.nearest(at)
    label, known = plane.object_at(nearest)
    height, width = plane.labels.shape
    whole = Tile(0, height, 0, width)
    if told is not None and (clicked := told.cut.within(whole))[nearest]:
        # A click may have taken a part of a region into several: all are the object.
        known = plane.parts_of(plane.labels, label, clicked)
    points: tuple[tuple[float, float], ...] = ((float(at[0]), float(at[1])),)
    inside: tuple[bool, ...] = (belongs,)
    if told is not None and _same(told.cut, known):
        points, inside = (*told.points, *points), (*told.inside, *inside)
    clicks = Clicks(points, inside, mask=known)
    found = plane.opened().segment(clicks, plane.iterations)
    mask, mine = found.within(whole), known.within(whole)
    mask &= mine | (plane.labels == 0)
    rows, columns = np.nonzero(mask != mine)
    if not len(rows):
        raise InputError("The model sees nothing to change there: click elsewhere.")
    after = np.where(mask[rows, columns], label, 0)
    told = Told(_object_after(plane, label, mask, mine), points, inside)
    if not told.cut:
        label = 0
    said = f"Fixed {_name(plane, label)}. Escape takes it back."
    return _edit(plane, rows, columns, after, label, said, told)


def split(plane: Plane, first: Place, second: Place) -> Edit:
    """Divide the object that two pixels are in."""
    _check_splits(plane)
    label, known = plane.object_at(first)
    if int(plane.labels[second]) != label or first == second:
        raise InputError("Click two places in the same object to split it.")
    points = tuple((float(row), float(column)) for row, column in (first, second))
    _, other = plane.opened().split(known, points)
    return _split_off(plane, label, other)


def split_along(plane: Plane, start: Place, end: Place) -> Edit:
    """Cut the object that most of a line lies in; needs no model."""
    _check_splits(plane)
    rows, columns = line(*start, *end)
    height, width = plane.labels.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    under = plane.labels[rows[inside], columns[inside]]
    crossed, counts = np.unique(under[under > 0], return_counts=True)
    if not len(crossed):
        raise InputError("The line crosses no object: drag it right across one.")
    label = int(crossed[counts.argmax()])
    _, other = cut_along(Cut.of(plane.labels == label), start, end)
    return _split_off(plane, label, other)


def merge(plane: Plane, first: Place, second: Place) -> Edit:
    """Give the object at the second pixel the label of that at the first."""
    label, _ = plane.object_at(first)
    other, known = plane.object_at(second)
    if other == label:
        raise InputError("Both clicks are in the same object: click two to merge.")
    return _edit(plane, *known.indices, label, label, f"Merged {other} into {label}.")


def find(plane: Plane, at: Place) -> Edit:
    """Make objects of all that is like the one at a pixel, and not labelled yet.

    What is not labelled there becomes an object as well.
    """
    if not plane.objects:
        raise InputError(
            "These labels are one region, which has no objects to look for: segment "
            "with Separate objects, then press Find."
        )
    parts: list[tuple[int, Cut]] = []
    if int(plane.labels[at]):
        label, known = plane.object_at(at)
    else:
        new = add(plane, Clicks(((float(at[0]), float(at[1])),), (True,)))
        assert new.told is not None
        label, known = new.label, new.told.cut
        parts.append((label, known))
    found = plane.opened().find_alike(known, plane.labels == 0)
    if not found:
        raise InputError(
            "Nothing else here is like that: click a more typical object, or use Add."
        )
    said = f"Found {len(found)} object{'s' if len(found) > 1 else ''} like {label}"
    said += ", which is new too." if parts else "."
    parts += [(plane.unused(), cut) for cut in found]
    places = [np.stack(cut.indices) for _, cut in parts]
    rows, columns = np.concatenate(places, axis=1)
    sizes = [place.shape[1] for place in places]
    after = np.repeat([number for number, _ in parts], sizes)
    return _edit(plane, rows, columns, after, label, f"{said} Escape takes them back.")


def erase(plane: Plane, at: Place) -> Edit:
    """Remove the object at a pixel."""
    label, known = plane.object_at(at)
    return _edit(plane, *known.indices, 0, 0, f"Erased {_name(plane, label)}.")


def difference(labels: np.ndarray, label: int, cut: Cut, taken: int = 0) -> Edit:
    """What makes an object what was found, and nothing else.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(Y, X)`` of the plane.
    label, cut
        The object's, and what it is to be; pixels of others stay theirs.
    taken : int
        The label of the same thing here, if it has another: what has this one gets it.
    """
    after = np.where(labels == (taken or label), 0, labels)
    if taken:
        after[labels == label] = taken
    mask = cut.within(Tile(0, labels.shape[0], 0, labels.shape[1]))
    after[mask & (after == 0)] = label
    rows, columns = where = np.nonzero(after != labels)
    said = f"Followed {label}."
    return Edit(rows, columns, labels[where], after[where], label, said)


def _check_splits(plane: Plane) -> None:
    if not plane.objects:
        raise InputError(
            "These labels are one region, which has nothing to split: erase a part of "
            "it, or segment with Separate objects."
        )


def _split_off(plane: Plane, label: int, other: Cut) -> Edit:
    new = plane.unused()
    said = f"Split {label} into {label} and {new}."
    return _edit(plane, *other.indices, new, label, said)


def _edit(
    plane: Plane,
    rows: np.ndarray,
    columns: np.ndarray,
    after: int | np.ndarray,
    label: int,
    said: str,
    told: Told | None = None,
) -> Edit:
    before = plane.labels[rows, columns].copy()
    values = np.broadcast_to(after, before.shape)
    return Edit(rows, columns, before, values, label, said, told)


def _object_after(plane: Plane, label: int, mask: np.ndarray, was: np.ndarray) -> Cut:
    """The object that an edit leaves: with one region it may have met other parts."""
    labels = np.where(was, 0, plane.labels)
    labels[mask] = label
    return plane.parts_of(labels, label, mask)


def _region(plane: Plane) -> int:
    """The label of the one region; 0 if there is none yet."""
    labelled = plane.labels[plane.labels > 0]
    return int(labelled.min()) if labelled.size else 0


def _name(plane: Plane, label: int) -> str:
    if not label:
        return "the object"
    return f"object {label}" if plane.objects else "a part of the region"


def _same(one: Cut, other: Cut) -> bool:
    return one.place == other.place and np.array_equal(one.mask, other.mask)
