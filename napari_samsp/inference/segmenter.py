"""Prompt-free segmentation of an image, iteration by iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_samsp.data.lazy_rgb import LazyRGB
from napari_samsp.data.rgb import as_lazy_rgb, to_rgb8
from napari_samsp.inference.cleanup import Cleanup, Meaning, clean, without_missing
from napari_samsp.inference.interactive.prompt_segmenter import PromptSegmenter
from napari_samsp.inference.results import Iteration, Written
from napari_samsp.inference.sinks import InMemory, IntoArrays
from napari_samsp.inference.sliding_window import embed_picture, iterate_picture
from napari_samsp.sam.prompt_kind import check_iterations
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_samsp.data.rgb import Scaling
    from napari_samsp.inference.scale.field_of_view import Tiling

__all__ = ["Iteration", "Segmenter", "Written"]


class Segmenter(PromptSegmenter):
    """A model, with or without an adapter, that segments images without a prompt.

    Parameters
    ----------
    model : str or Path
        A model's name (``python -m napari_samsp.models``) or a checkpoint file.
    adapter : str or Path, optional
        An adapter's folder; it must have been made for this model.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``mps``, ...
    scaling : Scaling, optional
        Default: the adapter's, or else the 0.5th to 99.8th percentile.
    input_size : int, optional
        Side of the model's input in pixels, a multiple of 16; smaller is faster and
        sees less. Default: the adapter's, or else the model's own.
    cache : EmbeddingCache, optional
        Keeps what the model made of an image, so that the same image with other
        settings is segmented at once. Default: one in memory.

    Raises
    ------
    InputError
        If a file is missing, broken or does not fit.

    Examples
    --------
    >>> from skimage import data
    >>> iterations = Segmenter().segment(data.coins(), iterations=2)
    >>> iterations[-1].labels.shape
    (303, 384)
    """

    def segment(
        self,
        image: Any,
        iterations: int = 3,
        objects: bool = False,
        channel_axis: int | None = None,
        prompt: str | None = None,
        tile: Tiling = "auto",
        object_size: float | None = None,
        cleanup: Cleanup | None = None,
    ) -> list[Iteration]:
        """Segment an image and give every iteration.

        Parameters
        ----------
        image : array_like
            ``(Y, X)``, ``(Y, X, C)``, or with ``channel_axis`` any order; any real
            dtype.
        iterations : int
            How many, the prompt-free one included.
        objects : bool
            One prompt per connected component, and instances as a result.
        channel_axis : int, optional
            Where the channels are.
        prompt : str, optional
            Overrides what an iteration hands to the next, such as ``"box"``.
        tile : {"auto", "on", "off"}, int or tuple of int
            How much the model sees at once: what suits the objects that it finds in a
            few crops, with an adapter within what it was trained on; tiles as large as
            its input; the whole image; or tiles of so many pixels. Of two numbers: what
            suits the objects, from the first to the second.
        object_size : float, optional
            Width of a typical object in pixels of the image: how much the model sees
            at once then follows from it. Default: estimated, see ``Iteration.scale``.
        cleanup : Cleanup, optional
            Threshold, holes and least size of the labels, see
            `napari_samsp.inference.cleanup.Cleanup`. The logits stay as they are.

        Returns
        -------
        list of Iteration
            ``iterations`` of them. With an adapter that knows classes (`classes`),
            labels are the labels of the classes or, with objects, objects whose
            classes `Iteration.object_classes` gives.

        Raises
        ------
        InputError
            If the image cannot be segmented or a setting makes no sense.
        """
        if not isinstance(cleanup, Cleanup | None):
            raise InputError(f"cleanup must be a Cleanup, not {cleanup!r}.")
        picture = self._picture(image, channel_axis)
        steps = self.iterate(
            picture, iterations, objects, prompt=prompt, tile=tile,
            object_size=object_size,
        )  # fmt: skip
        if cleanup is None or cleanup.is_off:
            return list(steps)
        meaning = Meaning.of(objects, self.classes)
        cleaned: list[Iteration] = []
        for step in steps:
            before = cleaned[-1].labels if cleaned else None
            cleaned.append(
                clean(without_missing(step, picture), cleanup, meaning, before)
            )
        return cleaned

    def iterate(
        self,
        image: Any,
        iterations: int = 3,
        objects: bool = False,
        channel_axis: int | None = None,
        prompt: str | None = None,
        tile: Tiling = "auto",
        progress: Callable[[float], None] | None = None,
        before: Iteration | None = None,
        object_size: float | None = None,
    ) -> Iterator[Iteration]:
        """Segment an image and give each iteration as soon as it is ready.

        Parameters
        ----------
        image, iterations, objects, channel_axis, prompt, tile, object_size
            As for `segment`; or a `napari_samsp.data.lazy_rgb.LazyRGB`, whose
            intensities are scaled already.
        progress : callable, optional
            Called with the part that is done, 0 to 1, after every tile. An exception
            raised by it aborts the run.
        before : Iteration, optional
            The last one of the slice before in a stack, of equal height and width:
            its objects are iteration 0's prompts, see
            `napari_samsp.inference.slice_propagator.SlicePropagator`.

        Yields
        ------
        Iteration
            Iteration 0, 1, ...

        Raises
        ------
        InputError
            As `segment`.
        """
        model, tile = self._prepared(iterations, objects, prompt, tile, object_size)
        of_classes = objects and model.class_count > 1
        if before is not None and (before.object_classes is not None) != of_classes:
            raise InputError(
                "The slice before was segmented in another way: objects of classes "
                "follow objects of classes, and regions follow regions."
            )
        picture = self._picture(image, channel_axis)
        if before is not None and before.labels.shape != picture.shape[:2]:
            raise InputError(
                f"The slice before has shape {before.labels.shape}, not "
                f"{picture.shape[:2]}."
            )
        return iterate_picture(
            model, picture, InMemory(iterations), tile, Progress(progress),
            self._cache, before, object_size,
        )  # fmt: skip

    def embed(
        self,
        image: Any,
        objects: bool = False,
        channel_axis: int | None = None,
        tile: Tiling = "auto",
        scaling: Scaling | None = None,
        object_size: float | None = None,
    ) -> bool:
        """Do what takes long in segmenting an image: put its embeddings into the cache.

        Another thread may segment meanwhile.

        Parameters
        ----------
        image, objects, channel_axis, tile, object_size
            As it will be segmented.
        scaling : Scaling, optional
            Default: the segmenter's own.

        Returns
        -------
        bool
            Whether the cache has them all. False, with little or nothing done, if they
            are more than it should be filled with.

        Raises
        ------
        InputError
            As `segment`.
        """
        model, tile = self._prepared(1, objects, None, tile, object_size)
        picture = to_rgb8(image, channel_axis, scaling or self.scaling)
        return embed_picture(model, picture, self._cache, tile, object_size)

    def segment_into(
        self,
        image: Any,
        out: Any,
        iterations: int = 3,
        objects: bool = False,
        channel_axis: int | None = None,
        prompt: str | None = None,
        tile: Tiling = "auto",
        progress: Callable[[float], None] | None = None,
        object_size: float | None = None,
    ) -> Written:
        """Segment an image of any size and write the labels of the last iteration.

        The image is read window by window and the labels are written row by row: a
        strip of tiles is in memory, never the image. The labels are those of
        `segment`, whose other settings this takes too.

        Parameters
        ----------
        image : array_like
            As for `segment`; numpy, dask, zarr, or another array that gives windows.
        out : array_like
            ``(Y, X)`` int32 that takes windows, such as a zarr or numpy array. What
            it holds is not complete before the call returns.
        iterations, objects, channel_axis, prompt, tile, object_size
            As for `segment`. Tiles are at most 4096 pixels wide.
        progress : callable, optional
            Called with the part that is done, 0 to 1, often. What it raises ends the
            work.

        Returns
        -------
        Written
            How many objects, how much foreground, and more.

        Raises
        ------
        InputError
            As `segment`, and if ``out`` has another shape or too small a dtype.

        Examples
        --------
        >>> import zarr
        >>> image = zarr.open_array("image.zarr", mode="r")
        >>> labels = zarr.create_array(
        ...     "labels.zarr", shape=image.shape, dtype="int32", chunks=(1024, 1024)
        ... )
        >>> Segmenter().segment_into(image, labels, objects=True).objects
        1234
        """
        check_iterations(iterations)
        outs = [*[None] * (iterations - 1), out]
        (said,) = self.segment_each_into(
            image, outs, objects, channel_axis, prompt, tile, progress, object_size
        )
        return said

    def segment_each_into(
        self,
        image: Any,
        outs: Sequence[Any | None],
        objects: bool = False,
        channel_axis: int | None = None,
        prompt: str | None = None,
        tile: Tiling = "auto",
        progress: Callable[[float], None] | None = None,
        object_size: float | None = None,
    ) -> list[Written]:
        """Segment an image of any size and write the labels of several iterations.

        Parameters
        ----------
        outs : sequence of array_like or None
            For each iteration, the prompt-free one first, as ``out`` of
            `segment_into`; None if its labels are not wanted. Each that is wanted
            takes a strip of tiles in memory, and time to write.
        image, objects, channel_axis, prompt, tile, progress, object_size
            As for `segment_into`.

        Returns
        -------
        list of Written
            One per iteration that was wanted.

        Raises
        ------
        InputError
            As `segment_into`.
        """
        model, tile = self._prepared(len(outs), objects, prompt, tile, object_size)
        report = Progress(progress)
        picture = self._picture(image, channel_axis, report)
        sink = IntoArrays(outs, picture.shape[:2])
        steps = iterate_picture(
            model, picture, sink, tile, report, object_size=object_size
        )
        return list(steps)

    def _picture(
        self, image: Any, channel_axis: int | None, report: Progress | None = None
    ) -> LazyRGB:
        """An image as 8-bit RGB; with ``report`` it may be too large to hold."""
        if isinstance(image, LazyRGB):
            return image
        if report is None:
            return as_lazy_rgb(image, channel_axis, self.scaling)
        return LazyRGB(image, channel_axis, self.scaling, report.beat)
