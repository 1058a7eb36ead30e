"""What the image list does: opens, keeps, goes on, segments all, saves a table."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import QObject, QTimer, Signal

from napari_samsp.batch.job import Settings
from napari_samsp.ui.images import background
from napari_samsp.ui.images.edits import DRAFT, KEPT
from napari_samsp.ui.images.image_list import Entry, ImageList
from napari_samsp.ui.images.jobs import Desk, SaveEdit, SaveTable, SegmentAll
from napari_samsp.ui.images.listing import edits_of_all, read_list, tell_result
from napari_samsp.ui.images.results import Results, Wanted
from napari_samsp.ui.images.stage import Stage
from napari_samsp.ui.result_layers import image_to_label
from napari_samsp.ui.widgets.plain_text import show_error
from napari_samsp.utils.cancellation import StoppedError
from napari_samsp.utils.errors import InputError, in_words
from napari_samsp.utils.paths import images_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from napari.layers import Labels

    from napari_samsp.data.training_sets.sample import Sample
    from napari_samsp.ui.correct.correct_panel import CorrectPanel
    from napari_samsp.ui.images.opened import Opened
    from napari_samsp.ui.segment.segment_panel import SegmentPanel

SAVE_MS = 1000
"""Edits are on disk so soon after the last stroke."""


@dataclass(frozen=True)
class _Ready:
    """An image that was read ahead, or is being read."""

    entry: Entry
    wanted: Wanted
    opened: Opened | None = None

    def is_for(self, entry: Entry, wanted: Wanted) -> bool:
        return self.entry is entry and self.wanted == wanted


class ImagesControl(QObject):
    """Moves through a list of images; its methods are for the GUI's thread.

    Signals: ``changed`` (entries or their order), ``said`` (a line, and whether it is
    an error), ``progress`` (done and all of Segment all; 0 and 0 at its end), ``moved``
    (the entry that is open).

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where images go.
    segmenting : SegmentPanel
        Says how to segment, and shows results.
    correcting : CorrectPanel
        Keeps corrections.
    parent : QObject
        Qt's; the background ends with it.
    """

    changed = Signal()
    said = Signal(str, bool)
    progress = Signal(int, int)
    moved = Signal(object)
    _listed = Signal(str, object, str)
    _read = Signal(int, object)
    _completed = Signal(int, object, str)
    _ahead = Signal(object, object, object, str)
    _noted = Signal(object, object)
    _stored = Signal(object, str, int)
    _all_ended = Signal(object, str)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        segmenting: SegmentPanel,
        correcting: CorrectPanel,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self.images = ImageList()
        self.place = ""
        self._viewer, self._segmenting, self._correcting = (
            viewer,
            segmenting,
            correcting,
        )
        self.stage = Stage(viewer, segmenting)
        self.background = background.Background()
        self._desk: Desk | None = None
        self._ready: _Ready | None = None
        self._reading: _Ready | None = None
        self._token = 0
        self._all: SegmentAll | None = None
        self._kept = self._resumes = False
        self._saver = QTimer(self)
        self._saver.setInterval(SAVE_MS)
        self._saver.timeout.connect(self._save_draft)
        self._listed.connect(self._on_listed)
        self._read.connect(self._on_read)
        self._completed.connect(self._on_completed)
        self._ahead.connect(self._on_ahead)
        self._noted.connect(self._on_noted)
        self._stored.connect(self._on_stored)
        self._all_ended.connect(self._on_all_ended)
        segmenting.labelled.connect(self.stage.watch)
        segmenting.run.ended.connect(self._on_segmented)
        correcting.kept.connect(self._on_kept)
        self.destroyed.connect(self.background.close)

    @property
    def can_segment_all(self) -> bool:
        """Whether the list is of files."""
        return self._desk is not None

    @property
    def segments_all(self) -> bool:
        """Whether Segment all is at work, or waits for others."""
        return self._all is not None

    def open_place(self, place: str, at: str = "") -> None:
        """List a folder, a file or a pattern; ``changed`` follows.

        Parameters
        ----------
        place : str
            As for `read_list`.
        at : str
            Name of the image to begin with when *Next* is pressed; empty: the first.
        """
        self.said.emit("Reading the folder…", False)

        def read(_check: Callable[[], None]) -> None:
            try:
                self._tell(self._listed, place, read_list(place), at)
            except (InputError, OSError) as error:
                self._tell(self._listed, place, in_words(error), at)

        self.background.submit(background.OPEN, read)

    def refresh(self) -> None:
        """Look what is in the folder now."""
        if self._desk is not None:
            self.open_place(self.place)

    def open_layers(self) -> None:
        """List the images that are open in the viewer."""
        self.leave()
        layers = [
            la
            for la in self._viewer.layers
            if isinstance(la, Image) and not la.metadata.get("samsp_map")
        ]
        self._desk, self.place = None, ""
        self.images.replace(
            Entry(layer.name, layer=str(layer.unique_id)) for layer in layers
        )
        self.changed.emit()

    def close_list(self) -> None:
        """Show no list; its image is left."""
        self.leave()
        self._desk, self.place = None, ""
        self.images.replace(())
        self.said.emit("", False)
        self.changed.emit()

    def go(self, entry: Entry | None) -> None:
        """Show an image with its labels; the one before is left.

        Parameters
        ----------
        entry : Entry or None
            Of the list; None leaves all as it is.
        """
        if entry is None or (entry is self.images.current and self.stage.is_open):
            return
        self.leave()
        self._begin(entry)

    def step(self, step: int) -> None:
        """Go to the next image, or with -1 to the one before."""
        at = self.images.current
        # What the last session ended with is not open yet.
        target = at if self._resumes else self.images.after(at, step)
        if target is None:
            self.said.emit(self._end_of_list(step), False)
        else:
            self.go(target)

    def keep_and_next(self) -> None:
        """Keep the labels that are shown as they are, and go on."""
        entry, layer = self.images.current, self._correcting.labels.layer
        if entry is None or layer is None:
            return
        if not self._is_shown(layer):
            self.said.emit("Choose the labels of this image first.", True)
            return
        changes = self.stage.changes(layer)
        if changes is not None and not changes.labels.any():
            self._store(changes.labels, None, KEPT)
            entry.corrected = True
            self.said.emit(f"{entry.name}: no objects, noted; not for training.", False)
        else:
            self._kept = False
            self._correcting.keep()
            if not self._kept:
                return
        self.step(1)

    def skip(self, entry: Entry, skipped: bool) -> None:
        """Leave an image out of Segment all, the ranking and the table, or not."""
        entry.skipped = skipped
        desk = self._desk
        if desk is not None:
            names = {one.name for one in self.images.entries if one.skipped}

            def write(_check: Callable[[], None]) -> None:
                with suppress(OSError):
                    desk.results.skip(names)

            self.background.submit(background.SAVE, write)
        self.changed.emit()

    def rank(self, ranked: bool) -> None:
        """Sort by what is to be corrected first, or by name."""
        self.images.sort(ranked)
        self._drop_ahead()
        self.changed.emit()
        self._look_ahead()

    def segment_all(self) -> None:
        """Segment what is neither corrected nor done with these settings."""
        wanted, desk = self._wanted(), self._desk
        if wanted is None or desk is None or self._all is not None:
            return
        entries = [one for one in self.images.entries if not one.skipped]
        count = len(entries)
        run = SegmentAll(
            desk,
            entries,
            wanted,
            lambda done: self._tell(self.progress, done, count),
            lambda reason: self._tell(self._all_ended, run, reason),
        )
        self._all = run
        self.progress.emit(0, count)
        self.background.submit(background.ALL, run.run)

    def stop_all(self) -> None:
        """End Segment all; what is done stays done."""
        run = self._all
        if run is not None:
            self.background.cancel(background.ALL)
            self._on_all_ended(run, "Stopped; Segment all goes on from here.")

    def save_table(self, path: Path) -> None:
        """Measure all objects and save them."""
        if self._desk is None:
            return
        self._save_draft()
        entries = list(self.images.entries)
        count = len(entries)
        job = SaveTable(
            self._desk,
            entries,
            path,
            lambda done: self._tell(self.said, f"Measured {done} of {count}…", False),
            lambda text, failed: self._tell(self.said, text, failed),
        )
        self.background.submit(background.ALL, job.run)

    def leave(self) -> None:
        """Take the image out of the viewer; edits that were not kept become a draft."""
        self._token += 1
        self.background.cancel(background.OPEN)
        entry, self.images.current = self.images.current, None
        if self.stage.entry is not None:
            if self._segmenting.run.running:
                self._segmenting.run.stop()
            drafted = self._save_draft(at_the_end=True)
            self.stage.clear()
            if drafted and entry is not None:
                self.said.emit(f"The edits of {entry.name} are kept as a draft.", False)
        self._saver.stop()

    def _begin(self, entry: Entry) -> None:
        self.images.current, self._resumes = entry, False
        self.moved.emit(entry)
        if entry.layer:
            self._show_layer(entry)
            return
        wanted = self._wanted()
        if wanted is None or self._desk is None:
            return
        self._token += 1
        ready, self._ready = self._ready, None
        if ready is not None and ready.is_for(entry, wanted) and ready.opened:
            self._on_read(self._token, ready.opened)
            self._on_completed(self._token, ready.opened, "")
            return
        if ready is not None and ready.opened is not None:
            ready.opened.close()
        if self._reading is not None and self._reading.is_for(entry, wanted):
            self.said.emit(f"Opening {entry.name}…", False)
            return  # it is about to be ready
        self._drop_ahead()
        self.said.emit(f"Opening {entry.name}…", False)
        token, desk = self._token, self._desk

        def run(check: Callable[[], None]) -> None:
            begun: list[Opened] = []
            opened: Opened | None

            def read(opened: Opened) -> None:
                begun.append(opened)
                self._tell(self._read, token, opened)

            try:
                opened, reason = desk.open(entry, wanted, check, read), ""
            except InputError as error:
                opened, reason = begun[0] if begun else None, str(error)
            self._tell(self._completed, token, opened, reason)

        self.background.submit(background.OPEN, run)

    def _show_layer(self, entry: Entry) -> None:
        layers = [la for la in self._viewer.layers if str(la.unique_id) == entry.layer]
        if not layers:
            entry.reason = "The layer was removed."
            self.changed.emit()
            return
        others = {one.layer for one in self.images.entries} - {entry.layer}
        for layer in self._viewer.layers:
            if str(layer.unique_id) in others:
                layer.visible = False
        layers[0].visible = True
        self._viewer.layers.selection.active = layers[0]
        self._segmenting.image.choose(layers[0])
        if not entry.segmented:
            self._segmenting.segment()
        self.changed.emit()

    def _on_listed(self, place: str, found: Any, at: str) -> None:
        if isinstance(found, str):
            self.said.emit(found, True)
            return
        same = place == self.place and self._desk is not None
        if same:
            self.images.merge(found)
        else:
            self.leave()
            self._drop_ahead()
            self.stop_all()
            self.place = place
            self._desk = Desk(
                Results.of(place, images_folder()),
                edits_of_all(),
                self._segmenting.run.workplace,
                lambda entry, line: self._tell(self._noted, entry, line),
            )
            self.images.replace(found)
            self.images.current = self.images.find(at) if at else None
            self._resumes = self.images.current is not None
        self.said.emit("", False)
        self.changed.emit()

    def _on_read(self, token: int, opened: Opened) -> None:
        entry = self.images.current
        if token != self._token or entry is None:
            opened.close()
            return
        wanted = self._wanted()
        picked = wanted.settings.single_channels if wanted is not None else None
        self.stage.show_image(entry, opened, picked[0] if picked else 0)
        self._saver.start()
        self.said.emit("Segmenting…" if opened.is_flat else "", False)

    def _on_completed(self, token: int, opened: Opened | None, reason: str) -> None:
        entry = self.images.current
        if token != self._token or entry is None:
            return
        if opened is None:
            entry.reason = reason
            self.changed.emit()
            self._pass_over(entry)
            return
        entry.reason = ""
        self.stage.show_labels()
        if reason:
            self.said.emit(reason, True)
        else:
            self.said.emit(self._welcome(entry, opened), False)
        self.changed.emit()
        self._look_ahead()

    def _welcome(self, entry: Entry, opened: Opened) -> str:
        if opened.edited is not None:
            return (
                f"{entry.name}: the labels that you kept."
                if opened.was_kept
                else f"{entry.name}: your edits are back; they are not kept yet."
            )
        if opened.shown is None:
            return "Press Segment for what is shown, or Segment all."
        return ""

    def _pass_over(self, entry: Entry) -> None:
        """A file that cannot be read stops nothing."""
        following = self.images.after(entry)
        show_error(entry.reason)
        if following is None:
            self.said.emit(f"{entry.name} cannot be shown, and was the last one.", True)
        else:
            self.said.emit(f"{entry.name} cannot be shown: passed over.", False)
            self._begin(following)

    def _on_ahead(
        self, entry: Entry, wanted: Wanted, opened: Opened | None, reason: str
    ) -> None:
        awaited = self.images.current is entry and self.stage.entry is None
        self._reading = None
        if opened is None:
            entry.reason = reason
            self.changed.emit()
            if awaited:
                self._pass_over(entry)
            else:
                self._look_ahead()
        elif awaited and self._wanted() == wanted:
            self._on_read(self._token, opened)
            self._on_completed(self._token, opened, "")
        else:
            self._ready = _Ready(entry, wanted, opened)
            if awaited:
                self._begin(entry)

    def _look_ahead(self) -> None:
        """Read and segment the image that comes next, while this one is looked at."""
        entry, desk = self.images.after(self.images.current), self._desk
        if entry is None or desk is None or self.images.current is None:
            return
        wanted = self._wanted(quietly=True)
        held = self._ready or self._reading
        if wanted is None or (held is not None and held.is_for(entry, wanted)):
            return
        self._drop_ahead()
        self._reading = _Ready(entry, wanted)

        def run(check: Callable[[], None]) -> None:
            opened: Opened | None
            try:
                opened, reason = desk.open(entry, wanted, check), ""
            except InputError as error:
                opened, reason = None, str(error)
            self._tell(self._ahead, entry, wanted, opened, reason)

        self.background.submit(background.PREFETCH, run)

    def _drop_ahead(self) -> None:
        self.background.cancel(background.PREFETCH)
        self._reading = None
        if self._ready is not None and self._ready.opened is not None:
            self._ready.opened.close()
        self._ready = None

    def _on_noted(self, entry: Entry, line: dict[str, Any]) -> None:
        tell_result(entry, line)
        self.changed.emit()

    def _on_segmented(self) -> None:
        """The user pressed Segment: what is shown is to be the image's result."""
        entry, opened = self.images.current, self.stage.opened
        results, wanted = self._segmenting.results, self._wanted(quietly=True)
        if entry is None or results is None or not results.done:
            return
        last = results.summaries[-1]
        if entry.layer == str(results.image.unique_id):
            entry.segmented, entry.objects = True, last.object_count
            entry.confidence = last.score
            self.changed.emit()
        desk = self._desk
        if (
            desk is None
            or opened is None
            or results.image is not opened.layer
            or not opened.is_flat
            or wanted is None
            or entry.corrected
        ):
            return

        def store(check: Callable[[], None]) -> None:
            with suppress(InputError):
                if not desk.results.is_done(entry.name, opened.path, wanted):
                    desk.segment(entry, wanted, check)

        self.background.submit(background.ALL, store)

    def _on_kept(self, layer: Labels, _sample: Sample) -> None:
        self._kept = True
        entry = self.images.current
        if entry is None or not self._is_shown(layer):
            return
        entry.corrected = True
        changes = self.stage.changes(layer)
        if changes is not None and self.stage.opened is not None:
            self.stage.unsaved()
            self._store(changes.labels, None, KEPT)
            self.stage.opened.edited = changes.labels
            self.stage.opened.was_kept = True
        self.changed.emit()

    def _is_shown(self, layer: Labels) -> bool:
        chosen = self._segmenting.image
        image = image_to_label(self._viewer, layer, lambda: chosen.layer)
        entry = self.images.current
        if entry is None or image is None:
            return False
        opened = self.stage.opened
        return str(image.unique_id) == entry.layer or (
            opened is not None and image is opened.layer
        )

    def _save_draft(self, at_the_end: bool = False) -> bool:
        """Store edits; at the end also those that were taken back since."""
        changes = self.stage.unsaved()
        if changes is None and at_the_end:
            changes = self.stage.changes()
        if changes is None:
            return False
        before = changes.before
        self._store(changes.labels, before, DRAFT)
        return before is None or bool((changes.labels != before).any())

    def _store(self, labels: Any, before: Any, kind: str) -> None:
        entry, opened, desk = self.stage.entry, self.stage.opened, self._desk
        if entry is None or opened is None or desk is None:
            return
        job = SaveEdit(
            desk.edits, entry, opened, labels, before, kind,
            lambda *found: self._tell(self._stored, *found),
            lambda text: self._tell(self.said, text, True),
        )  # fmt: skip
        self.background.submit(background.SAVE, job.run)

    def _on_stored(self, entry: Entry, kind: str, objects: int) -> None:
        entry.drafted = kind == DRAFT and objects >= 0
        entry.corrected |= kind == KEPT
        if objects >= 0:
            entry.objects = objects
        self.changed.emit()

    def _on_all_ended(self, run: SegmentAll, reason: str) -> None:
        if run is not self._all:
            return
        self._all = None
        self.progress.emit(0, 0)
        if not reason:
            reason = f"{run.done - run.failed:,} images are segmented."
            if run.failed:
                reason += f" {run.failed:,} failed: point at them to see why."
        self.said.emit(reason, False)
        self.changed.emit()

    def _wanted(self, quietly: bool = False) -> Wanted | None:
        """How the widget is set; None, with a word, if that makes no sense."""
        panel = self._segmenting
        adapter, channels = panel.adapter.adapter, panel.channels.channels
        try:
            return Wanted(
                Settings(
                    model=panel.model_name,
                    adapter=str(adapter.folder) if adapter is not None else None,
                    iterations=panel.iterations.value(),
                    objects=panel.objects.isChecked(),
                    all_iterations=True,
                    output_format="tif",
                    single_channels=channels.picked if channels is not None else (0,),
                ),
                panel.scaling.scaling,
            )
        except InputError as error:
            if not quietly:
                self.said.emit(str(error), True)
            return None

    def _end_of_list(self, step: int) -> str:
        if self.images.ranked and step > 0:
            return "No image is left to correct: fine-tune, or save the table."
        return "This was the last image." if step > 0 else "This is the first image."

    def _tell(self, signal: Any, *values: Any) -> None:
        """Emit from the background; the widget may be gone."""
        try:
            signal.emit(*values)
        except RuntimeError:
            raise StoppedError from None
