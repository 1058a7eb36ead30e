"""Edits of the image that is shown: on disk soon, and kept when the user keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_samsp.ui.images.background import SAVE, Background, tell
from napari_samsp.ui.images.jobs import SaveEdit
from napari_samsp.ui.images.stored.edits import DRAFT, KEPT
from napari_samsp.ui.images.stored.listing import edits_of_all

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_samsp.ui.images.image_list import Entry
    from napari_samsp.ui.images.stage import Changed, Stage

SAVE_MS = 1000
"""Edits are on disk after a stroke within so many milliseconds."""


class Drafts(QObject):
    """Stores what is edited on a stage.

    Signals: ``changed`` when more is known of an entry, ``failed`` with a sentence.

    Parameters
    ----------
    stage : Stage
        What shows the image that is edited.
    background : Background
        The thread that writes them.
    parent : QObject
        Owner of this object.
    """

    changed = Signal()
    failed = Signal(str)
    _stored = Signal(object, str, int)

    def __init__(self, stage: Stage, background: Background, parent: QObject) -> None:
        super().__init__(parent)
        self._stage, self._background = stage, background
        self._edits = edits_of_all()
        self._timer = QTimer(self)
        self._timer.setInterval(SAVE_MS)
        self._timer.timeout.connect(self.save)
        self._timer.start()
        self._stored.connect(self._on_stored)

    def save(self, at_the_end: bool = False) -> bool:
        """Store edits that are not stored yet.

        Parameters
        ----------
        at_the_end : bool
            The image is left: edits that were taken back count too.

        Returns
        -------
        bool
            Whether there are edits that were not kept.
        """
        stage = self._stage
        changes = stage.unsaved()
        if changes is None and at_the_end:
            changes = stage.changes()
        if changes is None:
            return False
        self._store(changes, DRAFT)
        before = changes.before
        return before is None or bool((changes.labels != before).any())

    def keep(self, layer: Labels) -> bool:
        """Take labels for those of the image from now on.

        Parameters
        ----------
        layer : Labels
            The edited labels of the image.

        Returns
        -------
        bool
            False if they are of another size, and nothing is stored.
        """
        stage, opened = self._stage, self._stage.opened
        changes = stage.changes(layer)
        if changes is None or opened is None:
            return False
        stage.unsaved()
        self._store(changes, KEPT)
        opened.edited, opened.was_kept = changes.labels, True
        opened.classes = changes.classes
        stage.shown_classes = changes.classes
        return True

    def _store(self, changes: Changed, kind: str) -> None:
        entry, opened = self._stage.entry, self._stage.opened
        if entry is None or opened is None:
            return
        job = SaveEdit(
            self._edits, entry, opened, changes, kind,
            lambda *found: tell(self._stored, *found),
            lambda text: tell(self.failed, text),
        )  # fmt: skip
        self._background.submit(SAVE, job.run)

    def _on_stored(self, entry: Entry, kind: str, objects: Any) -> None:
        entry.drafted = kind == DRAFT and objects >= 0
        entry.corrected |= kind == KEPT
        if objects >= 0:
            entry.objects = objects
        self.changed.emit()
