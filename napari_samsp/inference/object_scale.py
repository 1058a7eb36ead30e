"""How much of an image the model should see at once.

SAM makes every image as large as its input. Objects of a few patches come out best:
those that are smaller lose their borders in the patches and in the low-res logits. The
closer look shows the model a part of the image instead, in which a typical object is
`WIDTH_IN_PATCHES` wide.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from napari_samsp.data.tiling import Grid, Tile

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH_IN_PATCHES = 3.0
"""Of 2.5, 3, 3.5 and 4 the best compromise on training images of dsb2018,
nasa_superalloy and nasa_instances: closer is slower, and loses what is around."""
WORTH_IT = 1.5
"""A view less than this much closer than the whole image is not worth its tiles."""
CLOSEST = 4
"""Image pixels are not made larger than this many input pixels: they hold no more."""
LOOKS = 3


def typical_width(labels: np.ndarray) -> float:
    """How wide the objects are: four times their area by their border.

    That is near the diameter of discs and twice the width of filaments, and unlike
    the area of components it does not change when objects touch.

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
    area = int(np.count_nonzero(labels))
    if area == 0:
        return 0.0
    border = 0
    for a, b in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        differ = a != b
        border += int(np.count_nonzero(differ & (a > 0)))
        border += int(np.count_nonzero(differ & (b > 0)))
    return 4 * area / border if border else np.inf


def field_for(
    width: float, shape: tuple[int, int], input_size: int, patch_size: int
) -> int:
    """Side of the square that the model should see at once.

    Parameters
    ----------
    width : float
        Of a typical object, in image pixels.
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


def look(
    see: Callable[[Tile], np.ndarray],
    shape: tuple[int, int],
    input_size: int,
    patch_size: int,
) -> int | None:
    """Find the field of view for an image of which nothing is known yet.

    Starts from the whole image and goes to where most foreground is, until the
    objects there are of the right size: in a very large image a first look sees
    little of them, or nothing at all.

    Parameters
    ----------
    see : callable
        Gives what the model takes for foreground in a tile, ``(h, w)`` bool of any
        resolution, or integers where it tells its objects apart.
    shape : tuple of int
        Height and width of the image.
    input_size, patch_size : int
        Of the model, in input pixels.

    Returns
    -------
    int or None
        In image pixels, see `field_for`; None if no foreground was found.
    """
    place, width = Tile(0, shape[0], 0, shape[1]), 0.0
    for _ in range(LOOKS):
        side = max(place.shape)
        seen = see(place)
        width = typical_width(seen) * side / max(seen.shape)
        if width == 0 and side <= input_size * WORTH_IT:
            return None
        # What is a few cells wide was hardly seen: once more from nearer.
        nearer = -(-side // CLOSEST)
        if field_for(width, shape, input_size, patch_size) >= nearer:
            break
        place = _fullest(place, seen, nearer)
    return field_for(width, shape, input_size, patch_size)


def _fullest(place: Tile, seen: np.ndarray, field: int) -> Tile:
    """The part of a place, ``field`` wide, that holds most foreground."""
    per_pixel = np.array(seen.shape) / np.array(place.shape)

    def amount(tile: Tile) -> float:
        top, left = (np.array([tile.top, tile.left]) * per_pixel).astype(int)
        bottom, right = np.array([tile.bottom, tile.right]) * per_pixel
        return float((seen[top : ceil(bottom), left : ceil(right)] > 0).mean())

    best = max(Grid(place.shape, field).tiles, key=amount)
    return Tile(
        place.top + best.top,
        place.top + best.bottom,
        place.left + best.left,
        place.left + best.right,
    )
