"""Edits of the image that is shown: on disk soon, and kept when the user keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_samsp.ui.images.background import SAVE, Background, tell
from napari_samsp.ui.images.jobs import SaveEdit
from napari_samsp.ui.images.stored.edits import DRAFT, KEPT
from napari_samsp.ui.images.stored.listing import edits_of_all

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Labels

    from napari_samsp.ui.images.image_list import Entry
    from napari_samsp.ui.images.stage import Changed, Stage

SAVE_MS = 1000
"""Edits are on disk after a stroke within so many milliseconds."""
RETRY_MS = 5000
"""From one try to store what the disk refused to the next."""


class Drafts(QObject):
    """Stores what is edited on a stage.

    What the disk refuses stays in memory, where `Edits` finds it, and is tried again.

    Signals: ``changed`` when more is known of an entry, ``failed`` with a sentence,
    ``recovered`` with a sentence when what failed has been stored.

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
    recovered = Signal(str)
    _stored = Signal(object, int)
    _refusal = Signal(object, str)

    def __init__(self, stage: Stage, background: Background, parent: QObject) -> None:
        super().__init__(parent)
        self._stage, self._background = stage, background
        self._edits = edits_of_all()
        self._timer = QTimer(self)
        self._timer.setInterval(SAVE_MS)
        self._timer.timeout.connect(self.save)
        self._timer.start()
        self._stored.connect(self._on_stored)
        self._refused: dict[Path, SaveEdit] = {}
        self._refusal.connect(self._on_refusal)
        self._retry = QTimer(self)
        self._retry.setInterval(RETRY_MS)
        self._retry.timeout.connect(self._try_again)

    def has_refused(self, entry: Entry) -> bool:
        """Whether edits of an image are in memory only: the disk took them not yet."""
        return any(job.entry is entry for job in self._refused.values())

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
            lambda objects: tell(self._stored, job, objects),
            lambda text: tell(self._refusal, job, text),
        )  # fmt: skip
        if _place(job) in self._refused:
            self._refused[_place(job)] = job
        self._background.submit(SAVE, job.run)

    def _try_again(self) -> None:
        for job in self._refused.values():
            self._background.submit(SAVE, job.run)

    def _on_refusal(self, job: SaveEdit, text: str) -> None:
        is_known = _place(job) in self._refused
        self._refused.setdefault(_place(job), job)
        self._retry.start()
        if not is_known:
            self.failed.emit(text)

    def _on_stored(self, job: SaveEdit, objects: int) -> None:
        entry, kind = job.entry, job.kind
        if self._refused.get(_place(job)) is job:
            del self._refused[_place(job)]
            self.recovered.emit(f"The edits of {entry.name} are stored now.")
        if not self._refused:
            self._retry.stop()
        entry.drafted = kind == DRAFT and objects >= 0
        entry.corrected |= kind == KEPT
        if objects >= 0:
            entry.objects = objects
        self.changed.emit()


def _place(job: SaveEdit) -> Path:
    """The file that a job writes."""
    return job.edits.file(job.kind, job.opened.path, job.opened.content)
