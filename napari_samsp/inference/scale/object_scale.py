"""How large the objects of an image are, and how much of it the model should see.

SAM makes every image as large as its input. Objects of a few patches come out best:
those that are smaller lose their borders in the patches and in the low-res logits. The
field of view is the part of the image that the model sees at once, chosen such that a
typical object is `WIDTH_IN_PATCHES` wide in it.

Where nobody says how large the objects are, the model looks at crops of several sizes,
from the whole image down to its native resolution and beyond, in the places with most
structure. It is right about objects that it sees at a suitable size, and says so: there
its predicted IoU is high and the objects are many. A single look at a large image finds
clouds where there are nuclei, with a low predicted IoU.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite, pi
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_samsp.data.tiling import Grid, Tile
from napari_samsp.inference.scale.structure import Structure
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_samsp.data.lazy_rgb import LazyRGB

WIDTH_IN_PATCHES = 3.0 * 4 / pi
"""The best compromise of 2.5, 3, 3.5 and 4 times 4 / pi on training images of dsb2018,
nasa_superalloy and nasa_instances: closer is slower, and loses the surroundings."""
WORTH_IT = 1.5
"""A view less than this much closer than the whole image is not worth its tiles."""
CLOSEST = 4
"""Image pixels are not made larger than this many input pixels: they hold no more."""
SMALL = 2
"""An image up to so many times as wide as the model's input is looked at whole, and
closer only if its objects are too small to be seen so."""
SEEN = 0.25
"""Part of a view that the field of view for its objects is, at least, if the model sees
them well enough to tell their width."""
FEW = 2
"""So many objects per crop are half as convincing as many: a single one may be tissue,
a piece of an object, or dust."""
PLAIN = 0.5
"""With so much evidence from crops of one size, smaller ones are not looked at."""
PLAIN_REGION = 0.85
"""The same for one region: its predicted IoU."""
TOLERANCE = 0.1
"""A region's predicted IoU in a larger view may be so much below that in a smaller one:
without separate objects the image is better seen whole."""
TOLERANCE_TILED = 0.05
"""The same for all of an image, in the tiles that its region asks for. Of -0.1, 0, 0.05
and 0.1 the best mean Dice over 19 sets, 15 or 16 training images each."""
TILES_TO_COMPARE = 16
"""Most tiles to compare a region on; with more, the crops seen before must do."""
UNCERTAIN = 0.15
"""Evidence below it is no more than noise gives."""
UNCERTAIN_REGION = 0.5
"""The same for one region."""


@dataclass(frozen=True)
class ObjectScale:
    """How large the objects of an image are, and how much the model sees at once.

    Attributes
    ----------
    object_size : float or None
        Width of a typical object in image pixels, near its diameter; None if it is not
        known, as with a fixed size of tiles or where no object was found.
    field_of_view : int or None
        Side of the square that the model sees at once, in image pixels; None for the
        whole image.
    certain : bool
        False where the size was estimated and the model is not sure of it.
    """

    object_size: float | None
    field_of_view: int | None
    certain: bool = True


SEEN_WHOLE = ObjectScale(None, None)
"""For prompted objects, whose size nobody needs to know."""


class Seen(NamedTuple):
    """What the model makes of a crop.

    Attributes
    ----------
    labels : numpy.ndarray
        ``(h, w)`` integers of any resolution: 0 is background, n the n-th object.
    scores : numpy.ndarray
        ``(N,)`` predicted IoU of each object; of one region ``(1,)``.
    """

    labels: np.ndarray
    scores: np.ndarray


class _Evidence(NamedTuple):
    """What crops of one size say: objects of this width, and how convincingly."""

    side: int
    width: float
    strength: float


def mean_object_width(labels: np.ndarray) -> float:
    """Mean width of the objects, from their area and the length of their borders.

    It is the diameter of discs, and a quarter more than twice the width of filaments.
    Unlike the area of components it does not change when objects touch.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(Y, X)`` integers or bool, 0 = background. The image's own border is no
        border of an object.

    Returns
    -------
    float
        In pixels; 0 without objects, infinite if nothing but one is in sight.
    """
    return _width(*_area_and_border(labels))


def _width(area: float, border: float) -> float:
    # The border is counted in sides of pixels: 4 / pi of the length of a curve.
    if area == 0:
        return 0.0
    return 16 / pi * area / border if border else np.inf


def _area_and_border(labels: np.ndarray) -> tuple[int, int]:
    border = 0
    for a, b in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        differ = a != b
        border += int(np.count_nonzero(differ & (a > 0)))
        border += int(np.count_nonzero(differ & (b > 0)))
    return int(np.count_nonzero(labels)), border


def field_for(
    width: float, shape: tuple[int, int], input_size: int, patch_size: int
) -> int:
    """Side of the square that the model should see at once.

    Parameters
    ----------
    width : float
        Width of a typical object, in image pixels.
    shape : tuple of int
        Height and width of the image.
    input_size, patch_size : int
        Of the model, in input pixels.

    Returns
    -------
    int
        In image pixels. At least the image's longer side: no closer look is needed.
    """
    whole = max(shape)
    side = width * input_size / (WIDTH_IN_PATCHES * patch_size)
    side = max(side, input_size / CLOSEST)
    return whole if side * WORTH_IT > whole else round(side)


def check_object_size(size: float, shape: tuple[int, int] | None = None) -> None:
    """Check that an object's size makes sense.

    Parameters
    ----------
    size : float
        Width of a typical object in pixels of the image.
    shape : tuple of int, optional
        Height and width of the image.

    Raises
    ------
    InputError
        If it is no number above 0, or larger than the image.
    """
    number = isinstance(size, (int, float, np.integer, np.floating))
    if not number or isinstance(size, bool) or not (isfinite(size) and size > 0):
        raise InputError(
            f"The object size must be a number of pixels above 0, not {size!r}."
        )
    if shape is not None and size > max(shape):
        raise InputError(
            f"An object size of {size:g} pixels is more than the image has "
            f"({shape[0]} x {shape[1]}): give the width of a typical object."
        )


def estimate_field_of_view(
    see: Callable[[Sequence[Tile]], Sequence[Seen]],
    picture: np.ndarray | LazyRGB,
    input_size: int,
    patch_size: int,
    objects: bool,
) -> ObjectScale:
    """Find out how large the objects of an image are.

    Parameters
    ----------
    see : callable
        Gives what the model makes of each of some crops of equal size.
    picture : numpy.ndarray or LazyRGB
        ``(Y, X, 3)`` uint8.
    input_size, patch_size : int
        Of the model, in input pixels.
    objects : bool
        Whether separate objects are wanted; if not, one region, which may fill the
        image.

    Returns
    -------
    ObjectScale
        With a field of view of the image's longer side where no closer look is needed.
    """
    shape = (picture.shape[0], picture.shape[1])
    whole, structure = max(shape), None
    looks: list[_Evidence] = []
    for side in _sides(whole, input_size):
        if looks and not _is_worth_a_look(looks, input_size, patch_size, objects):
            break
        places = [Tile(0, shape[0], 0, shape[1])]
        if side < whole:
            structure = structure or Structure(picture)
            places = structure.places(side)
        looks.append(_weigh(see(places), side, objects))
    best = _best(looks, objects)
    if best is None:
        # Single objects may be too small to be seen at once.
        return ObjectScale(None, input_size if objects else whole, certain=False)
    size = min(best.width, float(whole))
    certain = best.strength >= (UNCERTAIN if objects else UNCERTAIN_REGION)
    field = field_for(best.width, shape, input_size, patch_size)
    if not certain and whole > SMALL * input_size:
        # A guess that does not magnify pixels, which would take long.
        field = max(field, input_size)
    if not objects and field < whole:
        tiles = Grid(shape, field).tiles
        if len(tiles) <= TILES_TO_COMPARE:
            tiled = _weigh(see(tiles), field, objects).strength
            seen_whole = looks[0].strength >= tiled - TOLERANCE_TILED
        else:
            seen_whole = not certain
        field = whole if seen_whole else field
    return ObjectScale(size, field, certain)


def _sides(whole: int, input_size: int) -> Iterator[int]:
    """Sides of the crops to look at: the whole image, then smaller by halves."""
    yield whole
    side = input_size / CLOSEST
    smaller = []
    while side * WORTH_IT < whole:
        smaller.append(ceil(side))
        side *= 2
    yield from reversed(smaller)


def _is_worth_a_look(
    looks: list[_Evidence], input_size: int, patch_size: int, objects: bool
) -> bool:
    """Whether it is worth looking at smaller crops than those of the last look."""
    whole, last = looks[0].side, looks[-1]
    wanted = last.width * input_size / (WIDTH_IN_PATCHES * patch_size)
    visible = wanted >= SEEN * last.side
    if whole <= SMALL * input_size:
        # As cheaply as possible, since all of the work does not take long.
        return not visible and (last.width > 0 or last.side > input_size * WORTH_IT)
    if visible and last.strength >= (PLAIN if objects else PLAIN_REGION):
        return False
    if last.side > input_size:
        return True
    # What is smaller than a pixel of the input was not seen; nor is noise magnified.
    if not any(one.width for one in looks):
        return True
    return last.strength >= UNCERTAIN and wanted < last.side / 2


def _weigh(seen: Sequence[Seen], side: int, objects: bool) -> _Evidence:
    area = border = 0.0
    scores: list[np.ndarray] = []
    count = full = 0
    for labels, predicted in seen:
        sure = predicted > 0.5
        if objects and sure.any():
            labels = np.where(np.append(False, sure)[labels], labels, 0)
        pixel = side / max(labels.shape)
        a, b = _area_and_border(labels)
        area, border = area + a * pixel**2, border + b * pixel
        full += a > 0
        count += int(sure.sum())
        scores.append(predicted)
    width = _width(area, border)
    known = np.concatenate(scores)
    strength = float(known.mean()) if len(known) else 0.0
    if objects:
        each = count / max(full, 1)
        strength *= each / (each + FEW)
    return _Evidence(side, width, strength)


def _best(looks: list[_Evidence], objects: bool) -> _Evidence | None:
    found = [one for one in looks if one.width > 0]
    if not found:
        return None
    highest = max(one.strength for one in found)
    if objects:
        return next(one for one in found if one.strength == highest)
    # The first ones are the largest.
    return next(one for one in found if one.strength >= highest - TOLERANCE)
