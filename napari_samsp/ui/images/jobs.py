"""What the background thread does for a list: opens, segments, measures, saves."""

from __future__ import annotations

import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_samsp.data.tables.object_files import measure_file
from napari_samsp.data.tables.table_files import TableFile
from napari_samsp.ui.images.stored.edits import DRAFT, KEPT, Edits
from napari_samsp.ui.images.stored.opened import (
    Opened,
    open_path,
    read_edits,
    read_rounds,
)
from napari_samsp.ui.segment.segment_steps import explain
from napari_samsp.utils.cancellation import StoppedError
from napari_samsp.utils.errors import InputError, in_words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_samsp.batch.job import Outcome
    from napari_samsp.data.training_sets.class_tables import ClassNames
    from napari_samsp.inference.segmenter import Segmenter
    from napari_samsp.ui.images.image_list import Entry
    from napari_samsp.ui.images.stage import Changed
    from napari_samsp.ui.images.stored.results import Results, Wanted
    from napari_samsp.ui.models.workplace import Workplace


@dataclass(frozen=True)
class Desk:
    """What the jobs of a list share.

    Attributes
    ----------
    results : Results
        Stored results of the list.
    edits : Edits
        Stored edits of the images of all lists.
    workplace : Workplace
        Holds the loaded model.
    noted : callable
        Called with an entry and a line of the manifest, when that is new.
    """

    results: Results
    edits: Edits
    workplace: Workplace
    noted: Callable[[Entry, dict[str, Any]], None]

    def segmenter(self, wanted: Wanted) -> Segmenter:
        """The model of some settings, loaded if it is not.

        Raises
        ------
        InputError
            If it cannot be used.
        """
        return self.workplace.load(
            wanted.settings.model, wanted.adapter, threading.Event()
        ).segmenter

    def segment(
        self, entry: Entry, wanted: Wanted, check: Callable[[], None]
    ) -> Outcome:
        """Segment an image of the list, and tell.

        Raises
        ------
        InputError
            If the model cannot be used, or torch fails.
        OSError
            If the disk refuses the result.
        """
        assert entry.path is not None
        try:
            outcome = self.results.segment(
                entry.name, entry.path, wanted, self.segmenter(wanted), check
            )
        except (RuntimeError, MemoryError) as error:
            raise InputError(explain(error)) from error
        self.noted(entry, self.results.line(entry.name, wanted))
        return outcome

    def complete(
        self, opened: Opened, entry: Entry, wanted: Wanted, check: Callable[[], None]
    ) -> None:
        """Give an image that was read its labels; one that has none is segmented.

        A stack is not: that is for the user to begin.

        Raises
        ------
        InputError
            If it cannot be segmented.
        """
        read_edits(opened, self.edits)
        rounds = self.results.read(entry.name, opened.path, wanted)
        if rounds is None and opened.is_flat and opened.edited is None:
            outcome = self.segment(entry, wanted, check)
            if outcome.error:
                raise InputError(outcome.error)
            rounds = self.results.read(entry.name, opened.path, wanted)
        if rounds is not None:
            read_rounds(opened, rounds, wanted, check)

    def open(
        self,
        entry: Entry,
        wanted: Wanted,
        check: Callable[[], None],
        read: Callable[[Opened], None] | None = None,
    ) -> Opened:
        """Read an image and its labels.

        Parameters
        ----------
        entry, wanted, check
            As for `complete`.
        read : callable, optional
            Called with the image before its labels are there.

        Raises
        ------
        InputError
            If it cannot be read; if ``read`` was not called, the file is to blame.
        OSError
            If the disk refuses the result: no image is to blame.
        """
        assert entry.path is not None
        try:
            opened = open_path(entry.path, entry.name)
        except OSError as error:
            raise InputError(in_words(error)) from error
        try:
            if read is not None:
                read(opened)
            self.complete(opened, entry, wanted, check)
        except BaseException:
            if read is None:
                opened.close()
            raise
        return opened


@dataclass
class SegmentAll:
    """Segments the images of a list one by one; goes on where it was interrupted.

    Attributes
    ----------
    desk : Desk
        What opens and segments the images.
    entries : list of Entry
        The images, in the order in which they are segmented.
    wanted : Wanted
        How they are segmented.
    progress : callable
        Called with the number that is done.
    ended : callable
        Called at the end with a sentence if it failed as a whole, else nothing.
    done, failed : int
        How many so far.
    """

    desk: Desk
    entries: list[Entry]
    wanted: Wanted
    progress: Callable[[int], None]
    ended: Callable[[str], None]
    done: int = 0
    failed: int = 0

    def run(self, check: Callable[[], None]) -> None:
        """Do it, in the background."""
        reason = ""
        try:
            while self.done < len(self.entries):
                check()
                self._one(self.entries[self.done], check)
                self.done += 1
                self.progress(self.done)
        except (InputError, OSError) as error:
            reason = in_words(error)
        self.ended(reason)

    def _one(self, entry: Entry, check: Callable[[], None]) -> None:
        # What was corrected meanwhile stays as it is.
        if entry.path is None or entry.skipped or entry.corrected:
            return
        results, wanted = self.desk.results, self.wanted
        if results.is_done(entry.name, entry.path, wanted):
            self.desk.noted(entry, results.line(entry.name, wanted))
        elif self.desk.segment(entry, wanted, check).error:
            self.failed += 1


@dataclass
class SaveTable:
    """Measures the objects of all images of a list, as the list shows their labels.

    Attributes
    ----------
    desk : Desk
        What opens and segments the images.
    entries : list of Entry
        In this order; those without labels are left out.
    path : Path
        Of the table; what is there is replaced.
    ended : callable
        Called at the end with a sentence, and whether it failed.
    """

    desk: Desk
    entries: list[Entry]
    path: Path
    progress: Callable[[int], None]
    ended: Callable[[str, bool], None]
    done: int = 0
    rows: int = 0
    images: int = 0
    problems: list[str] = field(default_factory=list)
    _table: TableFile | None = None
    _open: ExitStack = field(default_factory=ExitStack)

    def run(self, check: Callable[[], None]) -> None:
        """Do it, in the background."""
        try:
            if self._table is None:
                self._table = self._open.enter_context(TableFile(self.path, True))
            lines = self.desk.results.lines()
            while self.done < len(self.entries):
                check()
                self._one(self.entries[self.done], lines, self._table)
                self.done += 1
                self.progress(self.done)
            self._table.write()
        except StoppedError:
            raise
        except (InputError, OSError) as error:
            self._open.close()
            self.ended(in_words(error), True)
            return
        self._open.close()
        self.ended(self._summary(), False)

    def _one(
        self, entry: Entry, lines: dict[str, dict[str, Any]], table: TableFile
    ) -> None:
        if entry.path is None or entry.skipped:
            return
        try:
            labels, names = self._labels(entry, lines.get(entry.name, {}))
            if labels is None:
                return
            found = list(measure_file(labels, entry.path, names=names))
        except (InputError, OSError) as error:
            self.problems.append(in_words(error))
            return
        for columns in found:
            table.add(entry.name, columns)
            self.rows += len(columns["label"])
        self.images += 1

    def _labels(
        self, entry: Entry, line: dict[str, Any]
    ) -> tuple[Path | None, ClassNames | None]:
        edits, results = self.desk.edits, self.desk.results
        assert entry.path is not None
        if entry.corrected or entry.drafted:
            with ExitStack() as stack:
                opened = open_path(entry.path, entry.name)
                stack.callback(opened.close)
                content, depth = opened.content, len(opened.axes) - 2
            for kind in (DRAFT, KEPT):
                file = edits.file(kind, entry.path, content)
                if file.is_file():
                    return file, edits.names(kind, entry.path, content, depth)
        return results.labels_of(line), results.names_of(line)

    def _summary(self) -> str:
        text = f"Saved {self.rows:,} objects of {self.images:,} images: {self.path}"
        left = sum(not one.skipped for one in self.entries) - self.images
        if self.problems:
            text += f"\n{len(self.problems)} were left out: {self.problems[0]}"
        elif left:
            text += f"\n{left} images have no labels yet: Segment all, or Next."
        return text


@dataclass(frozen=True)
class SaveEdit:
    """Stores what a person made of an image, in the background.

    Attributes
    ----------
    edits : Edits
        Where they are stored.
    entry : Entry
        The image that they are of.
    opened : Opened
        As it was read.
    changes : Changed
        The labels and their classes; those that are equal to what was there before are
        no draft.
    kind : {"draft", "kept"}
        What they are stored as.
    ended : callable
        Called with how many objects there are; with -1 if nothing was stored.
    failed : callable
        Called with a sentence.
    """

    edits: Edits
    entry: Entry
    opened: Opened
    changes: Changed
    kind: str
    ended: Callable[[int], None]
    failed: Callable[[str], None]

    def run(self, _check: Callable[[], None]) -> None:
        """Write the labels; called in the background."""
        opened, changes = self.opened, self.changes
        before = changes.before if self.kind == DRAFT else None
        at = self.kind, opened.path, opened.content
        try:
            if before is not None and (changes.labels == before).all():
                with suppress(OSError):
                    self.edits.remove(*at)
                self.ended(-1)
                return
            edit = self.edits.write(
                *at, changes.labels, opened.axes, opened.stored.voxels,
                changes.classes, changes.areas,
            )  # fmt: skip
            self.ended(edit.objects)
        except OSError as error:
            self.failed(
                f"The edits of {self.entry.name} are not stored yet, do not close "
                f"napari: {in_words(error)}"
            )
