"""The classes of the objects of the chosen labels: set by a key, kept with the mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_samsp.ui.correct.class_list import CLASS_KEY
from napari_samsp.ui.correct.painted import labels_in, written_by
from napari_samsp.ui.planes import PlaneReader, first_scale, shown_plane
from napari_samsp.ui.result_layers import source_of
from napari_samsp.ui.widgets.class_colors import color_objects
from napari_samsp.ui.widgets.object_classes import (
    classes_of,
    follow_class,
    pages_of,
    rename_class,
    set_classes,
    turn_to,
)
from napari_samsp.ui.widgets.ties import Ties
from napari_samsp.utils.errors import InputError, some

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import napari

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.ui.correct.class_list import ClassList
    from napari_samsp.ui.correct.clicks.edits import Edit
    from napari_samsp.ui.correct.clicks.work import ClickJob
    from napari_samsp.ui.widgets.layer_chooser import LayerChooser


class ObjectClasses(QObject):
    """Listens to the chosen labels while the list of classes is of objects.

    Signals: ``said`` (a line for the user), ``classed`` (a layer: the user gave objects
    of it classes).

    Parameters
    ----------
    parent : QObject
        Qt's.
    viewer : napari.viewer.Viewer
        Whose slices and cursor.
    labels : LayerChooser
        Chooses the layer.
    class_list : ClassList
        The classes, and which one is chosen.
    """

    said = Signal(str)
    classed = Signal(object)

    def __init__(
        self,
        parent: QObject,
        viewer: napari.viewer.Viewer,
        labels: LayerChooser,
        class_list: ClassList,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._labels, self._list = viewer, labels, class_list
        self._watched: Labels | None = None
        self._painted: dict[int, int] = {}
        self._brush = 0
        # Some edits are told before they are made.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self.settle)
        labels.changed.connect(self.follow)
        class_list.changed.connect(self.follow)
        class_list.chosen.connect(self._on_chosen)
        class_list.renamed.connect(self._on_renamed)
        class_list.rest_button.clicked.connect(self.class_rest)
        self._ties = Ties(self)
        self._ties.connect(viewer.dims.events.current_step, self._on_moved)
        self._ties.add(self._unwatch)

    def set_under_cursor(self) -> None:
        """Give the object under the cursor the chosen class."""
        layer, choice = self._layer, self._list.choice
        if layer is None or choice is None:
            self._say(
                "Open Classes…, and say that labels are objects: then this key gives "
                "the object under the cursor the chosen class."
            )
            return
        label = self._label_at(layer, self._viewer.cursor.position)
        if not label:
            self._say("There is no object under the cursor: point at one.")
            return
        self.settle()
        set_classes(layer, classes_of(layer) | {label: choice.name})
        self._color()
        self.classed.emit(layer)
        self._say(
            f"Object {label}: {choice.name}. If that is wrong, choose another class "
            f"and press {CLASS_KEY} again."
        )

    def class_rest(self) -> None:
        """Give all objects in sight that have no class the chosen one."""
        layer, choice = self._layer, self._list.choice
        if layer is None or choice is None:
            return
        if layer.multiscale:
            self._say(f"{layer.name} is too large to look for white objects: point.")
            return
        self.settle()
        rest = self._without_class(layer, self._numbers(layer))
        set_classes(layer, classes_of(layer) | dict.fromkeys(rest, choice.name))
        self._color()
        self.classed.emit(layer)
        many = f"{len(rest)} object{'' if len(rest) == 1 else 's'}"
        self._say(f"{choice.name}: {many} that had no class.")

    def table(self, labels: np.ndarray) -> dict[int, int] | None:
        """The classes of objects that are about to be kept.

        Parameters
        ----------
        labels : numpy.ndarray
            ``(Y, X)``, as corrected, of the slice in sight.

        Returns
        -------
        dict or None
            The class's label by the object's; None if labels are no objects with
            classes.

        Raises
        ------
        InputError
            If an object has none.
        """
        layer, choice = self._layer, self._list.choice
        if layer is None or choice is None:
            return None
        self.settle()
        found = labels_in(labels)
        if rest := self._without_class(layer, found):
            one = len(rest) == 1
            raise InputError(
                f"{'Object' if one else 'Objects'} {some([str(n) for n in rest])} "
                f"{'has' if one else 'have'} no class (white): point at "
                f"{'it' if one else 'each'} and press {CLASS_KEY}, or press Class the "
                f"rest to make {'it' if one else 'them'} {choice.name}."
            )
        numbers = {one.name: one.label for one in self._list.of_objects}
        names = classes_of(layer)
        return {label: numbers[names[label]] for label in found}

    def follow(self, *_: Any) -> None:
        """Look again which labels are chosen, and what classes there are."""
        self.settle()
        self._watch(self._layer)
        if self._watched is not None:
            self._turn(self._watched)
            self._color()

    def settle(self) -> None:
        """Give new objects their class: the chosen one."""
        self._soon.stop()
        painted, self._painted = self._painted, {}
        layer, choice = self._watched, self._list.choice
        if layer is None or choice is None or not painted:
            return
        known, plane = classes_of(layer), self._plane(layer)
        flat = plane.size == np.prod(first_scale(layer).shape)
        fresh = {}
        for label, pixels in painted.items():
            if label in known and not (flat or self._page(layer)):
                continue  # it may have more pixels in other slices
            if label not in known or np.count_nonzero(plane == label) <= pixels:
                fresh[label] = choice.name
        if fresh:
            set_classes(layer, known | fresh)
        self._color()

    def on_edit(self, job: ClickJob, edit: Edit) -> None:
        """Let what a click made be of the class of what it was made from.

        Find: all are like one; Split: the parts are of one class.
        """
        layer = job.pair.labels
        if layer is not self._layer:
            return
        self.settle()
        classes = classes_of(layer)
        made = set(np.unique(edit.after).tolist()) - {0}
        before = set(np.unique(edit.before).tolist()) - {0}
        if len(made) > 1:  # found
            like = classes.get(edit.label)
        elif made and len(before) == 1 and made != before and edit.told is None:
            (source,) = before  # split off
            # What was merged is one of the object it was merged into.
            like = classes.get(source) if self._is_whole(layer, made, edit) else None
        else:
            return
        if like is not None:
            set_classes(layer, classes | dict.fromkeys(made, like))
            self._color()

    def on_followed(
        self, layer: Labels, label: int, planes: Sequence[PlaneIndex]
    ) -> None:
        """Let an object keep its class in the slices that it was followed into."""
        if layer is self._layer and self._page(layer) is not None:
            self.settle()
            if follow_class(layer, label, planes):
                self._color()

    @property
    def _layer(self) -> Labels | None:
        """The chosen labels, if they are objects with classes."""
        layer = self._labels.layer
        there = isinstance(layer, Labels) and layer in self._viewer.layers
        return layer if there and self._list.of_objects else None

    def _is_whole(self, layer: Labels, made: set[int], edit: Edit) -> bool:
        (label,) = made
        pixels = int(np.count_nonzero(self._plane(layer) == label))
        return pixels <= len(edit.after)

    def _watch(self, layer: Labels | None) -> None:
        if layer is self._watched:
            return
        self._unwatch()
        self._watched = layer
        if layer is not None:
            layer.events.paint.connect(self._on_paint)
            layer.events.selected_label.connect(self._on_selected)

    def _unwatch(self) -> None:
        if self._watched is not None:
            self._watched.events.paint.disconnect(self._on_paint)
            self._watched.events.selected_label.disconnect(self._on_selected)
        self._watched = None
        self._painted.clear()

    def _on_paint(self, event: Any) -> None:
        page = None if self._watched is None else self._page(self._watched)
        for atom in event.value:
            for label, pixels in written_by(atom, page).items():
                self._painted[label] = self._painted.get(label, 0) + pixels
        self._soon.start()

    def _on_selected(self, event: Any) -> None:
        # Other colours make napari say this too.
        if event.source.selected_label != self._brush:
            self._color()

    def _on_moved(self, _event: Any = None) -> None:
        layer = self._layer
        if layer is not None and self._turn(layer):
            self._color()

    def _on_chosen(self) -> None:
        layer, choice = self._layer, self._list.choice
        if layer is None or choice is None:
            return
        self._color()
        self._say(
            f"{choice.name}: {CLASS_KEY} gives it to the object under the cursor; new "
            "objects get it too."
        )

    def _on_renamed(self, before: str, after: str) -> None:
        for layer in self._viewer.layers:
            if isinstance(layer, Labels):
                rename_class(layer, before, after)

    def _turn(self, layer: Labels) -> bool:
        """Let the features tell of the slice in sight; whether they did not before."""
        page = self._page(layer)
        self.settle()
        if not turn_to(layer, page):
            return False
        if page is not None:
            self._class_followed(layer, page)
        return True

    def _class_followed(self, layer: Labels, page: PlaneIndex) -> None:
        """What was followed into this slice is of the class that it has elsewhere."""
        source = source_of(layer)
        predicted = source.prediction_of(page) if source is not None else None
        known = classes_of(layer)
        if layer.multiscale or predicted is None:
            return
        new = set(labels_in(self._plane(layer))) - known.keys()
        if new:
            new -= set(labels_in(predicted))  # another object in each slice
        found: dict[int, set[str]] = {}
        for _, classes in pages_of(layer):
            for label in new & classes.keys():
                found.setdefault(label, set()).add(classes[label])
        sure = {label: next(iter(one)) for label, one in found.items() if len(one) == 1}
        if sure:
            set_classes(layer, known | sure)

    def _page(self, layer: Labels) -> PlaneIndex | None:
        source = source_of(layer)
        if source is None or not source.by_slice:
            return None
        return shown_plane(layer, self._viewer.dims)

    def _plane(self, layer: Labels) -> np.ndarray:
        return PlaneReader.of(layer)(shown_plane(layer, self._viewer.dims))

    def _numbers(self, layer: Labels) -> list[int]:
        return labels_in(self._plane(layer))

    def _without_class(self, layer: Labels, labels: list[int]) -> list[int]:
        names, known = {one.name for one in self._list.of_objects}, classes_of(layer)
        return [label for label in labels if known.get(label) not in names]

    def _label_at(self, layer: Labels, position: Any) -> int:
        at = np.floor(np.array(layer.world_to_data(position)) + 0.5).astype(int)
        data = first_scale(layer)
        if (at < 0).any() or (at >= data.shape).any():
            return 0
        return int(np.asarray(data[tuple(at)]))

    def _color(self) -> None:
        layer, choice = self._layer, self._list.choice
        if layer is None or choice is None:
            return
        ahead: Mapping[int, str] = {}
        brush = self._brush = int(layer.selected_label)
        # As it will be when it is painted; a pyramid cannot be.
        if (
            not layer.multiscale
            and brush not in classes_of(layer)
            and not (self._plane(layer) == brush).any()
        ):
            ahead = {brush: choice.name}
        color_objects(layer, self._list.of_objects, ahead)

    def _say(self, text: str) -> None:
        self._viewer.status = text
        self.said.emit(text)
