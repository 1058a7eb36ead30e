"""Puts an image of the list and its labels into the viewer, and takes them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer

from napari_samsp.ui.images.reuse import fits, take_over_image, take_over_labels
from napari_samsp.ui.images.stored.opened import whole_labels
from napari_samsp.ui.placement import labels_placement
from napari_samsp.ui.planes import Channels, first_scale
from napari_samsp.ui.result_layers import (
    Source,
    forget_image,
    remember_source,
    source_of,
)
from napari_samsp.ui.segment.run_results import RunResults
from napari_samsp.ui.widgets.layer_chooser import MAP_KEY
from napari_samsp.ui.widgets.object_classes import (
    area_classes,
    object_pages,
    put_pages,
)

if TYPE_CHECKING:
    import napari

    from napari_samsp.ui.images.image_list import Entry
    from napari_samsp.ui.images.stored.opened import Opened
    from napari_samsp.ui.segment.segment_panel import SegmentPanel
    from napari_samsp.ui.widgets.object_classes import Pages


@dataclass(frozen=True)
class Changed:
    """Labels of an image that a person changed.

    Attributes
    ----------
    labels : numpy.ndarray
        Of all planes of the image; a copy.
    before : numpy.ndarray or None
        The same without the changes, if that is known and no class was changed.
    classes : dict
        Names of the objects' classes, by slice and label.
    areas : dict
        Names of the classes that the labels themselves are; empty for objects.
    """

    labels: np.ndarray
    before: np.ndarray | None
    classes: Pages
    areas: dict[int, str]


class Stage:
    """What is shown of a list: one image with its labels.

    For the GUI's thread. Layers of others are left alone.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer that shows the images.
    segmenting : SegmentPanel
        The panel whose table and choosers show the result.
    """

    def __init__(self, viewer: napari.viewer.Viewer, segmenting: SegmentPanel) -> None:
        self._viewer, self._segmenting = viewer, segmenting
        self.entry: Entry | None = None
        self.opened: Opened | None = None
        self.shown_classes: Pages = {}
        self._shape: tuple[int, ...] = ()
        self._changed: Labels | None = None
        self._watched: list[Labels] = []
        self._unsaved = False
        self._going: list[Layer] = []
        self._fit = False
        self._last: Labels | None = None
        self._spare_image: Image | None = None
        self._spare_labels: Labels | None = None
        self._closing: list[Opened] = []

    @property
    def is_open(self) -> bool:
        """Whether the image is in the viewer."""
        return self.opened is not None and self.opened.layer in self._viewer.layers

    def show_image(self, entry: Entry, opened: Opened, channel: int) -> None:
        """Add the image; what was shown before is gone by now.

        Parameters
        ----------
        entry : Entry
            The image to show.
        opened : Opened
            As it was read.
        channel : int
            Which of its channels is shown first.
        """
        self.entry, self.opened = entry, opened
        layer, spare = opened.layer, self._spare_image
        shape = tuple(first_scale(layer).shape)
        if spare is not None and spare in self._viewer.layers and fits(spare, layer):
            take_over_image(spare, layer)
            opened.layer, layer, self._spare_image = spare, spare, None
        else:
            self.clear_rest()
            self._viewer.add_layer(layer)
        axis = opened.channel_axis
        if axis is not None:
            at = layer.data_to_world([channel, *[0] * (layer.ndim - 1)])[axis]
            self._viewer.dims.set_point(axis + self._viewer.dims.ndim - layer.ndim, at)
        self._fit = shape != self._shape
        if self._fit:
            self._viewer.reset_view()
        self._shape = shape
        self._segmenting.image.choose(layer)
        self._segmenting.refresh_axes()

    def show_labels(self) -> None:
        """Add what is known of the image's labels."""
        opened = self.opened
        if opened is None or not self.is_open:
            return
        last: Labels | None = None
        if opened.shown is not None:
            last = self._show_rounds(opened)
        if opened.edited is not None:
            if last is None:
                last = self._add_plain(opened)
            self._put(opened, last)
        self._last = last
        if last is not None:
            self.shown_classes = object_pages(last)
            self._viewer.layers.selection.active = last
            self.watch(last)
            self._segmenting.labelled.emit(last)

    def watch(self, layer: Labels) -> None:
        """Notice when a person changes a layer of the image."""
        source = source_of(layer)
        if (
            self.opened is None
            or layer in self._watched
            or source is None
            or str(source.image_id) != str(self.opened.layer.unique_id)
        ):
            return
        self._watched.append(layer)
        layer.events.paint.connect(self._on_paint)
        layer.events.data.connect(self._on_paint)

    def unsaved(self) -> Changed | None:
        """The changes since this was asked last, None without any."""
        if not self._unsaved:
            return None
        self._unsaved = False
        return self.changes()

    def changes(self, layer: Labels | None = None) -> Changed | None:
        """The labels of a layer of the image.

        Parameters
        ----------
        layer : Labels, optional
            Default: the one that was changed last; without one there are no changes.
        """
        layer = layer if layer is not None else self._changed
        opened = self.opened
        if layer is None or opened is None or layer.multiscale:
            return None
        source = source_of(layer)
        plane = source.plane if source is not None else None
        labels = whole_labels(opened, first_scale(layer), plane)
        if labels is None:
            return None
        before = opened.edited if opened.was_kept else None
        if before is None and source is not None and source.prediction is not None:
            before = whole_labels(opened, source.prediction, plane)
        classes = object_pages(layer)
        if classes != self.shown_classes:
            before = None
        return Changed(labels, before, classes, area_classes(layer))

    def note_classed(self, layer: Labels) -> None:
        """A person gave objects of a layer other classes."""
        if layer in self._watched:
            self._changed, self._unsaved = layer, True

    def clear(self, later: bool = False) -> None:
        """Take the image and its labels out of the viewer.

        Parameters
        ----------
        later : bool
            Hide them now: the next image takes them over, and `clear_rest` takes out
            what it does not need.
        """
        opened, self.entry, self.opened = self.opened, None, None
        self._changed, self._unsaved = None, False
        for layer in self._watched:
            layer.events.paint.disconnect(self._on_paint)
            layer.events.data.disconnect(self._on_paint)
        self._watched.clear()
        if opened is None:
            return
        image, last, self._last = opened.layer, self._last, None
        self._going += [la for la in self._viewer.layers if _is_of(la, image)]
        for layer in self._going:
            layer.visible = False
            if isinstance(layer, Labels):
                # The image's layer shows the next image before that has labels.
                forget_image(layer)
        self._closing.append(opened)
        if not later or not opened.is_flat:
            self.clear_rest()
            return
        if image in self._going:
            self._going.remove(image)
            self._spare_image = image
        if last is not None and last in self._going:
            self._going.remove(last)
            self._spare_labels = last

    def clear_rest(self) -> None:
        """Take out what was hidden, and is not used again."""
        going, self._going = self._going, []
        going += [
            la for la in (self._spare_image, self._spare_labels) if la is not None
        ]
        self._spare_image = self._spare_labels = None
        for layer in going:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        for opened in self._closing:
            opened.close()
        self._closing.clear()
        if self._fit and self.is_open:
            self._fit = False
            self._viewer.reset_view()  # without those that were hidden

    def _show_rounds(self, opened: Opened) -> Labels | None:
        shown, segmenting = opened.shown, self._segmenting
        assert shown is not None
        results = RunResults(self._viewer, opened.layer, shown.request, shown.along)
        results.classes = shown.classes
        segmenting.result.begin(results)
        adapter = shown.request.adapter
        name = adapter.parent.name if adapter is not None else None
        model = shown.request.model
        last = results.add_stored(shown.steps, model, name, self._add)
        for summary in results.summaries:
            segmenting.result.add(summary)
        segmenting.result.end()
        return last

    def _add_plain(self, opened: Opened) -> Labels:
        """A layer of labels whose prediction is not known."""
        image, axis = opened.layer, opened.channel_axis
        channels = Channels(axis, (0,)) if axis is not None else None
        count = image.ndim - len(opened.axes)
        along = tuple(range(count, image.ndim - 2))
        plane = (*[0] * (image.ndim - 2), None, None)
        layer = Labels(
            np.zeros([1] * count + list(opened.stored.labels_shape), np.int32),
            name=f"SAM-SP · {image.name}",
            **labels_placement(image, plane, along, channels),
        )
        fixed = plane if not along else None
        source = Source(image.unique_id, fixed, channels=channels, by_slice=bool(along))
        remember_source(layer, source)
        return self._add(layer)

    def _add(self, made: Labels) -> Labels:
        """Add labels, or show them in the layer of those before."""
        spare, self._spare_labels = self._spare_labels, None
        if spare is None or spare not in self._viewer.layers or spare.ndim != made.ndim:
            if spare is not None:
                self._going.append(spare)
            self._viewer.add_layer(made)  # which gives a proxy of it
            return made
        take_over_labels(spare, made)
        return spare

    def _put(self, opened: Opened, layer: Labels) -> None:
        """Let a layer show what a person made of it."""
        data = first_scale(layer)
        assert opened.edited is not None
        data[...] = opened.edited.reshape(data.shape)
        layer.refresh()
        put_pages(layer, opened.classes)

    def _on_paint(self, event: Any) -> None:
        self._changed, self._unsaved = event.source, True


def _is_of(layer: Any, image: Image) -> bool:
    """Whether a layer is an image, or was made of it by us."""
    if isinstance(layer, Labels):
        source = source_of(layer)
        return source is not None and str(source.image_id) == str(image.unique_id)
    drawn = layer.metadata.get(MAP_KEY) and layer.name.endswith(f" · {image.name}")
    return layer is image or bool(drawn)
