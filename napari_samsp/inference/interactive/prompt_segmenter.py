"""A model that segments what a user points at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_samsp.data.rgb import to_rgb8
from napari_samsp.inference.adapted_model import AdaptedModel
from napari_samsp.inference.interactive.clicks import ClickedImage
from napari_samsp.inference.interactive.prompted import read_prompts, segment_prompted

if TYPE_CHECKING:
    from napari_samsp.data.rgb import Scaling
    from napari_samsp.inference.results import Iteration
    from napari_samsp.inference.scale.field_of_view import Tiling


class PromptSegmenter(AdaptedModel):
    """The part of `napari_samsp.inference.segmenter.Segmenter` that takes prompts."""

    def prompt(
        self,
        image: Any,
        points: Any = None,
        point_labels: Any = None,
        boxes: Any = None,
        masks: Any = None,
        iterations: int = 1,
        channel_axis: int | None = None,
    ) -> list[Iteration]:
        """Segment N objects from points, boxes or masks, as SAM is usually used.

        The image is seen whole. With one iteration the logits are those of
        ``segment_anything.SamPredictor``.

        Parameters
        ----------
        image : array_like
            As for `segment`.
        points : array_like, optional
            ``(N, P, 2)`` row and column in the image's pixels, as napari has them; NaN
            where an object has fewer than P points.
        point_labels : array_like, optional
            ``(N, P)`` 1 for points inside the object, 0 for points outside of it.
            Default: all inside.
        boxes : array_like, optional
            ``(N, 4)`` row0, column0, row1, column1.
        masks : array_like, optional
            ``(N, Y, X)`` bool or integers: what is known of each object.
        iterations : int
            How many. Each later one is prompted by what the one before says of the
            object, and by the points and boxes, which stay.
        channel_axis : int, optional
            Where the channels are.

        Returns
        -------
        list of Iteration
            ``iterations`` of them; the n-th object has label n + 1.

        Raises
        ------
        InputError
            If the image cannot be segmented, or the prompts do not fit it or each
            other.

        Examples
        --------
        >>> from skimage import data
        >>> (step,) = Segmenter().prompt(data.coins(), points=[[[60, 56]]])
        >>> step.labels[60, 56]
        1
        """
        model, _ = self._prepared(iterations, False, None, "off")
        picture = to_rgb8(image, channel_axis, self.scaling)
        asked = read_prompts(picture.shape[:2], points, point_labels, boxes, masks)
        steps = segment_prompted(model, picture, asked, iterations, self._cache)
        return list(steps)

    def clicked(
        self,
        image: Any,
        objects: bool = True,
        tile: Tiling = "auto",
        scaling: Scaling | None = None,
        object_size: float | None = None,
    ) -> ClickedImage:
        """Open an image whose objects are then segmented from clicks, one by one.

        Parameters
        ----------
        image : array_like
            ``(Y, X)`` or ``(Y, X, C)``, any real dtype; numpy, dask, zarr or the like.
            More than 16 million pixels are read in part.
        objects, tile, object_size
            As the image was segmented: then its embeddings are found in the cache.
        scaling : Scaling, optional
            Default: the segmenter's own.

        Returns
        -------
        ClickedImage
            Keeps the embedding of what was clicked last.

        Examples
        --------
        >>> from skimage import data
        >>> from napari_samsp.inference.interactive.clicks import Clicks
        >>> coins = Segmenter().clicked(data.coins())
        >>> coins.segment(Clicks(((60, 56),), (True,))).mask.any()
        True
        """
        model, tile = self._prepared(1, objects, None, tile, object_size)
        return ClickedImage(
            model, image, scaling or self.scaling, tile, self._cache, object_size
        )
