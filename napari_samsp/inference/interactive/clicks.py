"""One object at a time, from clicks, a box or a mask: what interactive tools call.

Of an image that was segmented before, the embeddings are in the cache: a click then
costs a few decodings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.data.shared_limits import resolve_percentiles
from napari_samsp.data.tiling import Grid, Tile
from napari_samsp.inference.interactive.alike import choose
from napari_samsp.inference.interactive.click_view import ClickView
from napari_samsp.inference.interactive.cut import Clicks, Cut
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from napari_samsp.data.rgb import Scaling
    from napari_samsp.inference.embedding_cache import ModelCache
    from napari_samsp.inference.interactive.alike import Candidate
    from napari_samsp.inference.scale.field_of_view import Tiling
    from napari_samsp.self_prompting.model import SelfPrompting

__all__ = ["ClickedImage", "Clicks", "Cut"]

WHOLE_PIXELS = 2**24
"""Of a larger image only a part round the click is read."""
PART = 4096
"""Side of that part in pixels."""
LIMITS_WINDOWS = 4
"""The intensity limits of a large image are those of so many windows by so many."""
LIMITS_SIDE = 256


class ClickedImage:
    """An image whose objects are segmented from clicks, one call at a time.

    Parameters
    ----------
    model : SelfPrompting
        In evaluation mode, on its device.
    image : array_like
        ``(Y, X)`` or ``(Y, X, C)``; of a large one windows are read.
    scaling : Scaling
        How intensities become 0 to 255.
    tile : {"auto", "on", "off"}, int or tuple of int
        How much the model sees at once, as for `Segmenter.segment`.
    cache : ModelCache, optional
        Where embeddings are looked up, and kept.
    object_size : float, optional
        Width of a typical object in pixels, as for `Segmenter.segment`.
    """

    def __init__(
        self,
        model: SelfPrompting,
        image: Any,
        scaling: Scaling,
        tile: Tiling = "auto",
        cache: ModelCache | None = None,
        object_size: float | None = None,
    ) -> None:
        self._object_size = object_size
        self._model, self._image, self._tile = model, image, tile
        self._cache, self._scaling = cache, scaling
        self.shape: tuple[int, int] = (int(image.shape[0]), int(image.shape[1]))
        large = self.shape[0] * self.shape[1] > WHOLE_PIXELS
        self._grid = Grid(self.shape, PART if large else None)
        if large:
            self._scaling = resolve_percentiles(
                scaling, self._read, _spread(self.shape)
            )
        self._place: Tile | None = None
        self._view: ClickView | None = None

    @property
    def is_read(self) -> bool:
        """Whether a part of it is in memory, and how it is seen is known."""
        return self._view is not None

    def tile_of(self, clicks: Clicks) -> Tile:
        """The part of the image that the model is shown first for some clicks.

        Raises
        ------
        InputError
            If the image cannot be segmented, or nothing is said.
        """
        view, clicks, corner = self._near(clicks)
        return view.first(clicks).shifted(*corner)

    def prepare(self, clicks: Clicks | None = None) -> None:
        """Encode what clicks are seen in.

        Parameters
        ----------
        clicks : Clicks, optional
            Default: one in the middle of the image.

        Raises
        ------
        InputError
            If the image cannot be segmented.
        """
        middle = (self.shape[0] / 2, self.shape[1] / 2)
        view, clicks, _ = self._near(clicks or Clicks((middle,), (True,)))
        view.prepare(clicks)

    def segment(self, clicks: Clicks, iterations: int = 1) -> Cut:
        """Segment the object that was clicked.

        Parameters
        ----------
        clicks : Clicks
            What the user says of it. Where a mask is known, each click is in the result
            if it is inside and not if it is outside, whatever the model says.
        iterations : int
            How many, where points alone are said; each later one is prompted by what
            the one before says of the object, and by the points, which stay. A box, or
            a click that mends a mask, is decoded once: prompted by its own output the
            model goes back to what it would have said without.

        Returns
        -------
        Cut
            Of the last iteration the parts that hold a click, or else lie on the known
            mask, or else the largest one. Empty if nothing was found.

        Raises
        ------
        InputError
            If the image cannot be segmented, or nothing is said.
        """
        view, clicks, corner = self._near(clicks)
        return view.segment(clicks, iterations).shifted(*corner)

    def follow(self, before: Cut, iterations: int = 1) -> Cut:
        """Find an object of a neighbouring slice again.

        Parameters
        ----------
        before : Cut
            Its mask there, placed in the image.
        iterations : int
            How many. The first is prompted by the object as it was, each later one by
            the one before.

        Returns
        -------
        Cut
            Empty where the object is not, or of more than twice or less than half its
            size.

        Raises
        ------
        InputError
            If the image cannot be segmented.
        """
        view, clicks, corner = self._near(Clicks(mask=before))
        assert clicks.mask is not None
        return view.follow(clicks.mask, iterations).shifted(*corner)

    def split(self, mask: Cut, points: tuple[tuple[float, float], ...]) -> list[Cut]:
        """Divide an object among clicks in it.

        Parameters
        ----------
        mask : Cut
            The object to split.
        points : tuple
            Row and column of each click, at least two, in different pixels of it.

        Returns
        -------
        list of Cut
            One a click, which it holds; together they are the object.

        Raises
        ------
        InputError
            If the image cannot be segmented.
        """
        said = Clicks(points, (True,) * len(points), mask=mask)
        view, said, corner = self._near(said)
        return [part.shifted(*corner) for part in view.split(said)]

    def find_alike(self, known: Cut, free: np.ndarray) -> list[Cut]:
        """Find all objects of the image that are like one of them.

        They are told by the embedding of the image, and are at most twice as wide, and
        at least half as wide, as the one.

        Parameters
        ----------
        known : Cut
            Mask of that one, placed in the image.
        free : numpy.ndarray
            ``(Y, X)`` bool: the pixels that are nobody's yet.

        Returns
        -------
        list of Cut
            Pixels of ``free`` that are none of ``known``, each in one object at most.

        Raises
        ------
        InputError
            If the image cannot be segmented, or was not opened for separate objects.
        """
        if not self._model.objects:
            raise InputError("One region has no objects: open the image with objects.")
        free = free & ~known.within(Tile(0, self.shape[0], 0, self.shape[1]))
        view, said, _ = self._near(Clicks(mask=known))
        assert said.mask is not None
        query = view.ask(said.mask)
        found: list[Candidate] = []
        for place in self._grid.tiles:
            view = self._view_of(place)
            for one in view.find_alike(query, free[place.window]):
                if not self._is_cut(one.cut, place):
                    cut = one.cut.shifted(place.top, place.left)
                    found.append(one._replace(cut=cut))
        return choose(found, free)

    def _is_cut(self, cut: Cut, place: Tile) -> bool:
        """Whether a part of a large image ends at an object, and the image does not."""
        mask = cut.within(Tile(0, place.shape[0], 0, place.shape[1]))
        return any(mask[line].any() for line in self._grid.inner_borders(place))

    def _near(self, clicks: Clicks) -> tuple[ClickView, Clicks, tuple[int, int]]:
        """The part of the image that holds clicks, these in it, and its corner."""
        place = self._grid.at(*clicks.middle)
        view = self._view_of(place)
        corner = (place.top, place.left)
        return view, clicks.shifted(-place.top, -place.left), corner

    def _view_of(self, place: Tile) -> ClickView:
        if self._view is None or self._place != place:
            self._view = None  # before another part is read
            self._view = ClickView(
                self._model,
                self._read(place.window),
                self._scaling,
                self._tile,
                self._cache,
                self._object_size,
            )
            self._place = place
        return self._view

    def _read(self, window: tuple[slice, slice]) -> np.ndarray:
        return np.asarray(self._image[window])


def _spread(shape: tuple[int, int]) -> list[tuple[slice, slice]]:
    """Windows that are evenly spread over an image."""
    rows, columns = (
        [
            slice(int(start), int(start) + LIMITS_SIDE)
            for start in np.linspace(0, max(0, side - LIMITS_SIDE), LIMITS_WINDOWS)
        ]
        for side in shape
    )
    return [(row, column) for row in rows for column in columns]
