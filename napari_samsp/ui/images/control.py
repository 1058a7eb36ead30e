"""Moves through a list of images: opens, leaves, keeps and goes on."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_samsp.ui.images.ahead import Ahead
from napari_samsp.ui.images.background import ALL, OPEN, tell
from napari_samsp.ui.images.drafts import Drafts
from napari_samsp.ui.images.open_list import OpenList
from napari_samsp.ui.images.settings import wanted_of
from napari_samsp.ui.images.stage import Stage
from napari_samsp.ui.images.whole_list import WholeList
from napari_samsp.ui.result_layers import image_to_label
from napari_samsp.utils.errors import InputError, in_words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import napari
    from napari.layers import Labels

    from napari_samsp.ui.correct.correct_panel import CorrectPanel
    from napari_samsp.ui.images.image_list import Entry
    from napari_samsp.ui.images.jobs import Desk
    from napari_samsp.ui.images.stored.opened import Opened
    from napari_samsp.ui.images.stored.results import Wanted
    from napari_samsp.ui.segment.segment_panel import SegmentPanel


class ImagesControl(OpenList):
    """A list, and the image of it that is open; for the GUI's thread.

    Signals: ``leaving`` (the layers of the image are about to go, or to show another).

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer that shows the images.
    segmenting : SegmentPanel
        Says how to segment, and shows results.
    correcting : CorrectPanel
        The panel that keeps corrections.
    parent : QObject
        Qt's; the background ends with it.
    """

    leaving = Signal()
    _read = Signal(int, object)
    _completed = Signal(int, object, str)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        segmenting: SegmentPanel,
        correcting: CorrectPanel,
        parent: QObject,
    ) -> None:
        super().__init__(viewer, segmenting.run.workplace, parent)
        self._segmenting, self._correcting = segmenting, correcting
        self.stage = Stage(viewer, segmenting)
        self.ahead = Ahead(self.background, self)
        self.drafts = Drafts(self.stage, self.background, self)
        self.whole = WholeList(self.background, self)
        self._token = 0
        self._kept, self._notice = False, ""
        self._read.connect(self._on_read)
        self._completed.connect(self._on_completed)
        self.ahead.ended.connect(self._on_ahead)
        self.drafts.changed.connect(self.changed)
        self.drafts.failed.connect(self._on_failed_draft)
        self.drafts.recovered.connect(lambda text: self.said.emit(text, False))
        self.whole.said.connect(self.said)
        segmenting.labelled.connect(self.stage.watch)
        segmenting.run.ended.connect(self._on_segmented)
        correcting.kept.connect(self._on_kept)
        correcting.object_classes.classed.connect(self.stage.note_classed)

    def go(self, entry: Entry | None) -> None:
        """Show an image with its labels; the one before is left.

        Parameters
        ----------
        entry : Entry or None
            Of the list; None leaves all as it is.
        """
        if entry is None or (entry is self.images.current and self.stage.is_open):
            return
        self.leave(later=True)
        self._begin(entry)

    def step(self, step: int) -> None:
        """Go to the next image, or with -1 to the one before."""
        at = self.images.current
        # What the last session ended with comes first, for it is not open yet.
        target = at if self._resumes else self.images.after(at, step)
        if target is not None:
            self.go(target)
        elif self.images.ranked and step > 0:
            text = "No image is left to correct: fine-tune, or save the table."
            self.said.emit(text, False)
        else:
            which = "last" if step > 0 else "first"
            self.said.emit(f"This is the {which} image.", False)

    def keep_and_next(self) -> None:
        """Keep the labels that are shown as they are, and go on."""
        entry, layer = self.images.current, self._correcting.labels.layer
        if entry is None:
            return
        if layer is None or not self._is_shown(layer):
            text = "This image has no labels yet, or others are chosen under Correct."
            self.said.emit(text, True)
            return
        changes = self.stage.changes(layer)
        if changes is not None and not changes.labels.any():
            # Right for an image without objects; there is nothing to learn from it.
            entry.corrected = self.drafts.keep(layer)
        else:
            self._kept = False
            self._correcting.keep()
            if not self._kept:
                self.said.emit(self._correcting.message.text(), True)
                return
        self.step(1)

    def rank(self, ranked: bool) -> None:
        """Sort by what is to be corrected first, or by name."""
        self.images.sort(ranked)
        self.changed.emit()
        self._prefetch()

    def segment_all(self) -> None:
        """Segment what is neither corrected nor done in these settings."""
        wanted = self._wanted()
        if wanted is not None and self.desk is not None:
            self.whole.segment(self.desk, self.images.entries, wanted)

    def save_table(self, path: Path) -> None:
        """Measure the objects of all images and save them."""
        if self.desk is not None:
            self.drafts.save()
            self.whole.save_table(self.desk, self.images.entries, path)

    def leave(self, later: bool = False) -> None:
        """Take the image out of the viewer; edits that were not kept become a draft.

        Parameters
        ----------
        later : bool
            The next image is shown at once: the layers go when that is drawn.
        """
        self._token += 1
        self.background.cancel(OPEN)
        entry, self.images.current = self.stage.entry, None
        if entry is None:
            return
        self.leaving.emit()
        if self._segmenting.run.running:
            self._segmenting.run.stop()
        drafted = self.drafts.save(at_the_end=True)
        self.stage.clear(later)
        text = f"The edits of {entry.name} are stored as a draft."
        if self.drafts.has_refused(entry):
            text = f"The edits of {entry.name} are not stored yet: do not close napari."
        self._notice = text if drafted else ""
        self.said.emit(self._notice, False)

    def _end_list(self) -> None:
        self.leave()
        self.ahead.drop()
        self.whole.stop()
        super()._end_list()

    def _begin(self, entry: Entry) -> None:
        self.images.current, self._resumes = entry, False
        self.changed.emit()
        wanted, desk = self._wanted(), self.desk
        if entry.layer or wanted is None or desk is None:
            self.stage.clear_rest()
            if entry.layer:
                self._show_layer(entry)
            return
        opened = self.ahead.take(entry, wanted)
        if opened is not None:
            self._on_read(self._token, opened)
            self._on_completed(self._token, opened, "")
            return
        about_to_be_ready = self.ahead.holds(entry, wanted)
        if not about_to_be_ready or self.background.paused:
            self.ahead.drop()
            self._submit(desk, entry, wanted, self._token)

    def _submit(self, desk: Desk, entry: Entry, wanted: Wanted, token: int) -> None:
        self.said.emit(f"Opening {entry.name}…", False)

        def run(check: Callable[[], None]) -> None:
            begun: list[Opened] = []

            def read(opened: Opened) -> None:
                begun.append(opened)
                tell(self._read, token, opened)

            try:
                desk.open(entry, wanted, check, read)
                reason = ""
            except (InputError, OSError) as error:
                reason = in_words(error)
            tell(self._completed, token, begun[0] if begun else None, reason)

        self.background.submit(OPEN, run)

    def _show_layer(self, entry: Entry) -> None:
        layers = {str(layer.unique_id): layer for layer in self._viewer.layers}
        if entry.layer not in layers:
            entry.reason = "The layer was removed."
            self.changed.emit()
            return
        for one in self.images.entries:
            if one.layer in layers:
                layers[one.layer].visible = one is entry
        self._viewer.layers.selection.active = layers[entry.layer]
        self._segmenting.image.choose(layers[entry.layer])
        if not entry.segmented:
            self._segmenting.segment()

    def _on_read(self, token: int, opened: Opened) -> None:
        entry, wanted = self.images.current, self._wanted()
        if token != self._token or entry is None or wanted is None:
            opened.close()
            return
        picked = wanted.settings.single_channels or (0,)
        self.stage.show_image(entry, opened, picked[0])

    def _on_completed(self, token: int, opened: Opened | None, reason: str) -> None:
        entry = self.images.current
        if token != self._token or entry is None:
            return
        entry.reason = "" if opened is not None else reason
        if opened is None:
            self._pass_over(entry)
            return
        loaded = self._segmenting.run.workplace.loaded
        if loaded is not None:
            self._segmenting.device = str(loaded.segmenter.device)
        self.stage.show_labels()
        self.stage.clear_rest()
        # It may be the layer of before, with other labels.
        self._correcting.labels.changed.emit(self._correcting.labels.layer)
        if reason:
            self.said.emit(reason, True)
        elif opened.edited is not None and not opened.was_kept:
            text = f"Your edits of {entry.name} are back; they are not kept yet."
            self.said.emit(text, False)
        elif opened.edited is None and opened.shown is None:
            self.said.emit("Press Segment for what is shown, or Segment all.", False)
        else:
            self.said.emit(self._notice, False)
        self.changed.emit()
        self._prefetch()

    def _pass_over(self, entry: Entry) -> None:
        """A file that cannot be read stops nothing."""
        self.changed.emit()
        following = self.images.after(entry)
        self._notice = f"{entry.name} is passed over: {entry.reason}"
        if following is None:
            self.stage.clear_rest()
            self.said.emit(self._notice, True)
        else:
            self._begin(following)

    def _on_ahead(self, entry: Entry, reason: str) -> None:
        entry.reason = reason
        if self.images.current is entry and self.stage.entry is None:  # it is awaited
            if reason:
                self._pass_over(entry)
            else:
                self._begin(entry)
        elif reason:
            self.changed.emit()
            self._prefetch()

    def _prefetch(self) -> None:
        entry, wanted = self.images.after(self.images.current), self._wanted()
        if self.desk is None or self.stage.entry is None:
            return
        if entry is not None and wanted is not None:
            self.ahead.start(self.desk, entry, wanted)

    def _on_segmented(self) -> None:
        """The user pressed Segment: what is shown becomes the image's result."""
        entry, opened, desk = self.images.current, self.stage.opened, self.desk
        results = self._segmenting.results
        if entry is None or results is None or not results.done:
            return
        if entry.layer == str(results.image.unique_id):
            last = results.summaries[-1]
            entry.segmented, entry.objects = True, last.object_count
            entry.confidence = last.score
            self.changed.emit()
        if opened is None or desk is None or results.image is not opened.layer:
            return
        wanted = self._wanted()
        if not opened.is_flat or wanted is None or entry.corrected:
            return
        # Its embedding is there by now: this is quick.

        def store(check: Callable[[], None]) -> None:
            with suppress(InputError):
                if not desk.results.is_done(entry.name, opened.path, wanted):
                    desk.segment(entry, wanted, check)

        self.background.submit(ALL, store)

    def _on_failed_draft(self, text: str) -> None:
        self._notice = text  # stays when the next image is there
        self.said.emit(text, True)

    def _on_kept(self, layer: Labels, _sample: Any) -> None:
        self._kept = True
        entry = self.images.current
        if entry is not None and self._is_shown(layer):
            entry.corrected = True
            self.drafts.keep(layer)
            self.changed.emit()

    def _is_shown(self, layer: Labels) -> bool:
        """Whether labels are of the image of the list that is open."""
        entry = self.images.current
        image = image_to_label(self._viewer, layer, self._segmenting.image.layer)
        opened = self.stage.opened
        if entry is None or image is None:
            return False
        ours = opened is not None and image is opened.layer
        return ours or str(image.unique_id) == entry.layer

    def _wanted(self) -> Wanted | None:
        try:
            return wanted_of(self._segmenting)
        except InputError as error:
            self.said.emit(str(error), True)
            return None
