"""Step 2: keep what the user corrected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from napari.layers import Labels, Shapes
from qtpy.QtCore import QEvent, Signal
from qtpy.QtWidgets import (
    QFormLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_samsp.data.training_sets.likeness import difference
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.data.training_sets.versions import version_of
from napari_samsp.ui.correct.class_list import ClassList
from napari_samsp.ui.correct.corrections import (
    ORIGIN,
    check_painted,
    check_sight,
    collect,
    same_pixels,
)
from napari_samsp.ui.correct.kept import kept_planes
from napari_samsp.ui.correct.kept_list import OPEN, REMOVE, REPLACE, UNDO, KeptList
from napari_samsp.ui.correct.labelled_plane import LabelledPlane
from napari_samsp.ui.correct.object_classes import ObjectClasses
from napari_samsp.ui.correct.open_sample import open_sample, show_classes
from napari_samsp.ui.correct.undoing import Undoing
from napari_samsp.ui.result_layers import image_to_label
from napari_samsp.ui.widgets.layer_chooser import LayerChooser
from napari_samsp.ui.widgets.plain_text import show_error
from napari_samsp.utils.errors import InputError, in_words

if TYPE_CHECKING:
    from pathlib import Path

    import napari
    from napari.layers import Image

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.data.training_sets.sample import Sample
    from napari_samsp.ui.session import Session


class CorrectPanel(QWidget):
    """Stores corrected labels with their image, and lists what is stored.

    Signals: ``changed`` when the set or its folder changed, ``kept`` (the layer and the
    sample) after a correction was stored.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer whose layers are kept.
    session : Session
        Its image is that of labels that are not ours; its corrections are shown.
    """

    changed = Signal()
    kept = Signal(object, object)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        session: Session,
    ) -> None:
        super().__init__()
        self._viewer, self._session = viewer, session
        self._undoable = Undoing()
        self.labels = LayerChooser(
            viewer, Labels, tooltip="What you corrected; follows the selected layer"
        )
        self.region = LayerChooser(
            viewer,
            Shapes,
            nothing="Whole image",
            tooltip="Draw a rectangle in a Shapes layer to keep only what is under it",
        )
        self.keep_button = QPushButton("Keep correction")
        self.keep_button.setObjectName("samsp_keep")
        self.keep_button.setToolTip("Writes image and labels into the correction set")
        self.class_list = ClassList(self.labels)
        self.object_classes = ObjectClasses(self, viewer, self.labels, self.class_list)
        self.message = QLabel()
        self.message.setObjectName("samsp_keep_message")
        self.message.setWordWrap(True)
        self.message.hide()
        self.kept_list = KeptList()
        self.list = self.kept_list.tree
        self.folder_label = self.kept_list.folder_label
        self._lay_out()
        self.keep_button.clicked.connect(self.keep)
        self.labels.changed.connect(self.update_keep)
        self.kept_list.asked.connect(self._on_asked)
        self.refresh()

    @property
    def training_set(self) -> TrainingSet:
        """The corrections that are shown."""
        return self._session.training_set

    @property
    def selected(self) -> str | None:
        """Name of the correction that is selected in the list."""
        return self.kept_list.selected

    def add_tools(self, tools: QWidget) -> None:
        """Place what changes the chosen labels above the button that keeps them."""
        layout = cast("QVBoxLayout", self.layout())
        layout.insertWidget(layout.indexOf(self.keep_button), tools)

    def shown_pair(self) -> LabelledPlane:
        """The chosen labels and their image, as far as the viewer shows them.

        Raises
        ------
        InputError
            If there are none, or they do not belong together.
        """
        labels = self.labels.layer
        if labels is None or labels not in self._viewer.layers:
            raise InputError(
                "There are no labels to correct: press Segment, or add a layer with "
                "napari's New labels button."
            )
        return LabelledPlane.shown(
            labels, self._image_of(labels), self._viewer.dims, self._session.channels
        )

    def keep(self, *_: Any, name: str | None = None) -> None:
        """Store the chosen labels with their image.

        Parameters
        ----------
        name : str, optional
            Replace the correction of this name.
        """
        try:
            labels = self.labels.layer
            image, channels = self._image_of(labels), self._session.channels
            check_sight(image, self._viewer.dims, channels)
            correction = collect(
                labels if labels in self._viewer.layers else None,
                image,
                self._viewer.dims,
                self.region.layer,
                channels,
            )
            meaning = self.class_list.meaning
            check_painted(correction.labels, meaning)
            object_classes = self.object_classes.table(correction.labels)
            again, info = name, correction.info
            if again is None and (
                same := same_pixels(self.training_set, correction.image, info["layer"])
            ):
                # Opened from the set, it may carry another layer's name by now.
                origin = {k: v for k, v in same.info.items() if k in ORIGIN}
                again, info = same.name, info | origin
            before = None
            if again is not None:
                before = version_of(self.training_set, again, image_stays=name is None)
            sample = self.training_set.add(
                correction.image,
                correction.labels,
                correction.prediction,
                meaning,
                object_classes,
                name=again or info["layer"],
                replace=again is not None,
                **info,
            )
        except (InputError, OSError) as error:
            self._refuse(error)
            return
        if before is not None:
            self._undoable.note(before.beside(sample))
        self.refresh(select=sample.name)
        self._tell(f"{'Replaced' if again else 'Kept'} {sample.name}.")
        self._warn_of_difference(sample)
        self.changed.emit()
        self.kept.emit(labels, sample)

    def open_selected(self, *_: Any) -> None:
        """Add the selected correction as an image and a labels layer."""
        if self.selected is None:
            return
        try:
            sample = self.training_set.sample(self.selected)
            layer = open_sample(self._viewer, sample)
            self.labels.choose(layer)
            show_classes(layer, sample)
            self.object_classes.follow()
        except (InputError, OSError) as error:
            self._refuse(error)

    def replace_selected(self, *_: Any) -> None:
        """Store the chosen labels in place of the selected correction."""
        if self.selected is not None:
            self.keep(name=self.selected)

    def remove_selected(self, *_: Any) -> None:
        """Take the selected correction out of the set."""
        if self.selected is None:
            return
        try:
            removed = self.training_set.remove(self.selected)
        except (InputError, OSError) as error:
            self._refuse(error)
            return
        self._undoable.note(removed)
        self.refresh()
        self._tell(f"Removed {removed.name}; its files are in removed/.")
        self.changed.emit()

    def undo(self, *_: Any) -> None:
        """Put back what was removed or replaced last."""
        if not self._undoable:
            return
        try:
            back, said = self._undoable.put_back(self.training_set)
        except (InputError, OSError) as error:
            self._refuse(error)
            return
        self.refresh(select=back.name)
        self._tell(said)
        self.changed.emit()

    def set_folder(self, folder: Path) -> None:
        """Use another correction set.

        Parameters
        ----------
        folder : Path
            Folder of the set; the first correction creates it.
        """
        self._session.training_set = TrainingSet(folder)
        self._undoable.clear()
        self.refresh()
        self.changed.emit()

    def refresh(self, select: str | None = None) -> None:
        """Read the folder again.

        Parameters
        ----------
        select : str, optional
            Name of the correction to select.
        """
        try:
            samples = self.training_set.samples()
        except (InputError, OSError) as error:
            samples = []
            self._tell(in_words(error))
        try:
            self.class_list.read(self.training_set.folder)
        except InputError as error:
            self._tell(in_words(error))
        self.kept_list.fill(samples, self.training_set.folder, select)
        self.kept_list.allow_undo(bool(self._undoable))
        self.update_keep()

    def follow_selection(self) -> None:
        """Choose the viewer's active layer, if it is one of ours to choose."""
        active = self._viewer.layers.selection.active
        if isinstance(active, Labels):
            self.labels.choose(active)
        elif isinstance(active, Shapes):
            self.region.choose(active)

    def event(self, event: QEvent | None) -> bool:
        """Read the set again when the window is activated: it may have changed."""
        if event is not None and event.type() == QEvent.Type.WindowActivate:
            self.refresh(select=self.selected)
            self.changed.emit()
        return bool(super().event(event))

    def kept_slices(self, image: Image, regions: bool = False) -> set[PlaneIndex]:
        """The slices of an image that are in the set; with regions, also parts."""
        try:
            return kept_planes(self.training_set.samples(), image, regions)
        except (InputError, OSError):
            return set()

    def update_keep(self, *_: Any) -> None:
        """Enable Keep if there are labels, and the image that they belong to."""
        labels = self.labels.layer
        there = labels is not None and self._image_of(labels) is not None
        self.keep_button.setEnabled(there)

    def _image_of(self, labels: Labels | None) -> Image | None:
        if labels is None:
            return self._session.image
        return image_to_label(self._viewer, labels, self._session.image)

    def _warn_of_difference(self, sample: Sample) -> None:
        others = [s for s in self.training_set.samples() if s.name != sample.name]
        if said := difference(sample, others):
            self._tell(
                f"{self.message.text()} Of another kind than all else in this project: "
                f"{said}. A model learns best from one kind; Project > New project… "
                "keeps them apart."
            )

    def _tell(self, text: str, failed: bool = False) -> None:
        self.message.setText(text)
        self.message.show()
        if failed:
            show_error(text)

    def _refuse(self, error: InputError | OSError) -> None:
        text = in_words(error)
        # The folder may have changed: another window, or a hand, was there.
        self.refresh(select=self.selected)
        self.changed.emit()
        self._tell(text, failed=True)

    def _on_asked(self, what: str) -> None:
        steps = {OPEN: self.open_selected, REPLACE: self.replace_selected}
        (steps | {REMOVE: self.remove_selected, UNDO: self.undo})[what]()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Labels", self.labels.native)
        form.addRow("Region", self.region.native)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.class_list)
        layout.addWidget(self.keep_button)
        layout.addWidget(self.message)
        layout.addWidget(self.kept_list)
