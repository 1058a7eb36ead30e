"""What is done with all images of a list: they are segmented, and measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_samsp.ui.images.background import ALL, Background, tell
from napari_samsp.ui.images.jobs import Desk, SaveTable, SegmentAll

if TYPE_CHECKING:
    from pathlib import Path

    from napari_samsp.ui.images.image_list import Entry
    from napari_samsp.ui.images.stored.results import Wanted


class WholeList(QObject):
    """Segments and measures in the background, image by image.

    Signals: ``progress`` (done and all of Segment all; 0 and 0 at its end), ``said`` (a
    line, and whether it is an error).

    Parameters
    ----------
    background : Background
        The thread that does the work.
    parent : QObject
        Owner of this object.
    """

    progress = Signal(int, int)
    said = Signal(str, bool)
    _ended = Signal(object, str)

    def __init__(self, background: Background, parent: QObject) -> None:
        super().__init__(parent)
        self._background = background
        self._run: SegmentAll | None = None
        self._ended.connect(self._on_ended)

    @property
    def running(self) -> bool:
        """Whether images are segmented, or wait for others to be."""
        return self._run is not None

    def segment(self, desk: Desk, entries: list[Entry], wanted: Wanted) -> None:
        """Segment what is neither corrected nor skipped nor done in these settings."""
        if self._run is not None:
            return
        entries = [one for one in entries if not one.skipped]
        count = len(entries)
        run = SegmentAll(
            desk,
            entries,
            wanted,
            lambda done: self._report(run, done, count),
            lambda reason: tell(self._ended, run, reason),
        )
        self._run = run
        self.progress.emit(0, count)
        self._background.submit(ALL, run.run)

    def stop(self) -> None:
        """End it; what is done stays done."""
        if self._run is not None:
            self._background.cancel(ALL)
            self._on_ended(self._run, "Stopped. Segment all goes on from here.")

    def save_table(self, desk: Desk, entries: list[Entry], path: Path) -> None:
        """Measure the objects of all images that have labels, and save a row for each.

        Parameters
        ----------
        desk, entries
            What opens the images, and which.
        path : Path
            A ``.csv`` or ``.parquet`` file; one that is there is replaced.
        """
        count = len(entries)
        job = SaveTable(
            desk,
            list(entries),
            path,
            lambda done: tell(self.said, f"Measured {done:,} of {count:,}…", False),
            lambda text, failed: tell(self.said, text, failed),
        )
        self._background.submit(ALL, job.run)

    def _report(self, run: SegmentAll, done: int, count: int) -> None:
        if run is self._run:
            tell(self.progress, done, count)

    def _on_ended(self, run: SegmentAll, reason: str) -> None:
        if run is not self._run:
            return
        self._run = None
        self.progress.emit(0, 0)
        if not reason:
            good = run.done - run.failed
            reason = f"{good:,} images have labels."
            if run.failed:
                reason += f" {run.failed:,} failed: point at them to see why."
        self.said.emit(reason, False)
