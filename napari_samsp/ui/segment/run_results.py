"""The layers of one run, and the image that they are of."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_samsp.ui.placement import labels_placement
from napari_samsp.ui.planes import first_scale, shown_plane
from napari_samsp.ui.result_layers import (
    RESULT_KEY,
    Source,
    layer_by_id,
    remember_source,
    result_layer,
    weakly,
)
from napari_samsp.ui.segment.result_classes import show_classes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import napari

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.data.rgb import Scaling
    from napari_samsp.data.training_sets.classes import LabelClass
    from napari_samsp.inference.results import Iteration
    from napari_samsp.ui.segment.segment_steps import Refused, Segmented, SegmentRequest
    from napari_samsp.ui.segment.summary import Summary

REDRAW_3D_S = 2.0
"""Seconds at least between redrawings of a volume, which is uploaded as a whole."""


class RunResults:
    """Turns the results of a run into layers, one per iteration.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Viewer that shows the layers.
    image : Image
        The image that is segmented.
    request : SegmentRequest
        Image, settings and planes of the run.
    along : tuple of int
        The axes of the image along which several planes lie.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        image: Image,
        request: SegmentRequest,
        along: tuple[int, ...] = (),
    ) -> None:
        self._viewer, self.image, self.request = viewer, image, request
        self._along = along
        self._data = first_scale(image)
        self._ids: list[Any] = []
        self._made_by: tuple[str, str | None] = ("", None)
        self._waiting: dict[int, list[Segmented]] = {}
        self._scalings: dict[PlaneIndex, dict[str, Any]] = {}
        self._drawn = 0.0
        self._went_to: PlaneIndex | None = None
        self.summaries: list[Summary] = []
        self.done = 0
        self.skipped: list[Refused] = []
        self.found: list[Iteration] = []  # before they were cleaned up
        self.classes: tuple[LabelClass, ...] = ()  # of labels, or of objects

    @property
    def layers(self) -> list[Labels | None]:
        """One per iteration; None where the user removed it."""
        found = [layer_by_id(self._viewer, unique_id) for unique_id in self._ids]
        return [layer if isinstance(layer, Labels) else None for layer in found]

    @property
    def problem(self) -> str:
        """Why the run makes no sense any more; empty if it does."""
        name = self.image.name
        if self.image not in self._viewer.layers:
            return "The image was removed: segmenting stopped."
        if first_scale(self.image) is not self._data:
            return f"{name} got other pixels: segmenting stopped. Press Segment again."
        if self._ids and not any(layer is not None for layer in self.layers):
            return "The result was removed: segmenting stopped."
        return ""

    def add(self, step: Segmented, model: str, adapter: str | None) -> Labels | None:
        """Show a result of the run.

        Parameters
        ----------
        step : Segmented
            An iteration of a plane.
        model, adapter : str, str or None
            Names of what made it.

        Returns
        -------
        Labels or None
            The layer, if it is a new one.
        """
        new, t = step.summary, step.summary.iteration
        self._note_scaling(step.plane, step.scaling)
        if t == len(self._ids):
            for layer in self.layers:
                if layer is not None:
                    layer.visible = False
            self.summaries.append(new)
            made = self._make_layer(step, model, adapter)
            self._ids.append(made.unique_id)
            if step.found is not None:
                self.found.append(step.found)
        else:
            made = None
            self.summaries[t] = self.summaries[t].with_another(new, self.done)
        stack = self.request.stack
        if stack is not None:
            stack.show(t, step.plane, step.labels)
            self._update(t, step)
        if new.iteration == self.request.iterations - 1:
            self.done += 1
        return self._viewer.add_layer(made) if made is not None else None

    def add_stored(
        self,
        steps: Sequence[Segmented],
        model: str,
        adapter: str | None,
        add: Callable[[Labels], Labels],
    ) -> Labels | None:
        """Show a result of before: the last round; the others wait until asked for.

        Parameters
        ----------
        steps : sequence of Segmented
            All rounds of all planes.
        model, adapter : str, str or None
            Names of what made it.
        add : callable
            Puts the last round's layer into the viewer, and gives the one that is
            there then.

        Returns
        -------
        Labels or None
            The last round's layer; None if there are no steps.
        """
        self._made_by = model, adapter
        for step in steps:
            t = step.summary.iteration
            self._note_scaling(step.plane, step.scaling)
            if t == len(self.summaries):
                self.summaries.append(step.summary)
                self._ids.append(None)
            else:
                mean = self.summaries[t].with_another(step.summary, self.done)
                self.summaries[t] = mean
            self._waiting.setdefault(t, []).append(step)
            self.done += t == self.request.iterations - 1
        return self._fetch(len(self.summaries) - 1, add) if self.summaries else None

    def fetch_all(self) -> None:
        """Add the layers that wait."""
        for number in tuple(self._waiting):
            self._fetch(number)

    def _fetch(
        self, number: int, add: Callable[[Labels], Labels] | None = None
    ) -> Labels | None:
        steps = self._waiting.pop(number, None)
        if steps is None:
            return None
        if (stack := self.request.stack) is not None:
            for step in steps:
                stack.show(number, step.plane, step.labels)
        made = self._make_layer(steps[-1], *self._made_by)
        for step in steps[:-1] if self.request.objects else ():
            self._show_classes(made, step)
        made.visible = number == len(self._ids) - 1
        if add is not None:
            made = add(made)
        else:
            self._viewer.add_layer(made)
        self._ids[number] = made.unique_id
        return made

    def show_only(self, number: int) -> bool:
        """Show one iteration alone.

        Parameters
        ----------
        number : int
            Number of the iteration, from 0.

        Returns
        -------
        bool
            False if its layer was removed.
        """
        self._fetch(number)
        layers = self.layers
        if number >= len(layers) or layers[number] is None:
            return False
        for n, layer in enumerate(layers):
            if layer is not None:
                layer.visible = n == number
        self._viewer.layers.selection.active = layers[number]
        return True

    def go_to_next_slice(self, kept: set[PlaneIndex]) -> str:
        """Show the slice of which the model is least sure, or from it the next one.

        Parameters
        ----------
        kept : set of PlaneIndex
            Slices that were corrected, and are left out.

        Returns
        -------
        str
            What is shown, in a sentence.
        """
        stack, dims = self.request.stack, self._viewer.dims
        ranked = stack is not None and stack.is_ranked
        if stack is None or not ranked or self.image not in self._viewer.layers:
            return "No slice is ranked yet."
        ranking = stack.ranking(kept)
        if not ranking:
            return "Every slice is kept: fine-tune, and segment again."
        shown = shown_plane(self.image, dims, self.request.read.channels)
        at = ranking.index(shown) if shown in ranking else -1
        # Whoever looked elsewhere meanwhile starts again with the worst.
        rank = (at + 1) % len(ranking) if self._went_to == shown else 0
        plane = self._went_to = ranking[rank]
        extra = dims.ndim - self.image.ndim
        world = self.image.data_to_world([index or 0 for index in plane])
        for axis in self._along:
            dims.set_point(axis + extra, world[axis])
        where = ", ".join(str(plane[axis]) for axis in self._along)
        return (
            f"Slice {where}: confidence {stack.scores[plane]:.2f}, number {rank + 1} "
            f"of {len(ranking)}: unsure ones, each unlike those before, come first."
        )

    def redraw(self) -> None:
        """Draw what is in sight again."""
        for layer in self.layers:
            if layer is not None and layer.visible:
                layer.refresh(extent=False)

    def _make_layer(self, step: Segmented, model: str, adapter: str | None) -> Labels:
        request, image = self.request, self.image
        channels, stack = request.read.channels, request.stack
        about: dict[str, Any] = {
            "model": model,
            "adapter": adapter,
            "objects": request.objects,
        }
        if self.classes:
            about["classes"] = [asdict(one) for one in self.classes]
        if request.objects and step.summary.object_size is not None:
            about["object_size"] = step.summary.object_size
        labels: Any
        if stack is not None:
            labels = stack.labels[step.summary.iteration]
        else:
            cut = tuple(n for n, index in enumerate(step.plane) if index is not None)
            labels = np.expand_dims(step.labels, cut)
        if self._along:
            about["slices"] = self.done if self._made_by[0] else self.done + 1
        elif image.ndim > 2:
            about["slice"] = list(step.plane)
        layer = result_layer(
            image,
            self.summaries[step.summary.iteration],
            labels,
            multiscale=isinstance(labels, list),
            metadata=about,
            **labels_placement(image, step.plane, self._along, channels),
        )
        linked = request.link_axis is not None or request.follow_axis is not None
        source = Source(
            image_id=image.unique_id,
            plane=None if self._along else step.plane,
            prediction=None if stack is not None else np.array(step.labels),
            channels=channels,
            scalings=self._scalings,
            stack=stack,
            iteration=step.summary.iteration,
            pixels=weakly(self._data),
            window=None if request.region is None else request.region.window,
            by_slice=bool(self._along) and not linked,
        )
        remember_source(layer, source)
        self._show_classes(layer, step)
        return layer

    def _show_classes(self, layer: Labels, step: Segmented) -> None:
        show_classes(layer, step, self.classes, self.request.objects)

    def _note_scaling(self, plane: PlaneIndex, seen: Scaling) -> None:
        noted: dict[str, Any] = {"scaling": str(self.request.scaling)}
        if seen.kind == "limits":
            noted["limits"] = [seen.low, seen.high]
        self._scalings[plane] = noted

    def _update(self, t: int, step: Segmented) -> None:
        layer, plane = self.layers[t] if t < len(self._ids) else None, step.plane
        if layer is None:
            return
        if self.request.objects:
            self._show_classes(layer, step)
        about = layer.metadata[RESULT_KEY]
        about.update(self.summaries[t].as_dict())
        if "slices" in about:
            about["slices"] = self.done + 1
        if not layer.visible:
            return
        dims = self._viewer.dims
        if dims.ndisplay == 2:
            in_sight = plane == shown_plane(
                self.image, dims, self.request.read.channels
            )
        else:
            in_sight = time.monotonic() - self._drawn > REDRAW_3D_S
        if in_sight:
            layer.refresh(extent=False)
            self._drawn = time.monotonic()
