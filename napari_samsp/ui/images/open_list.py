"""Which images a list holds: of a folder, a pattern, or the open layers."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_samsp.ui.images.background import LIST, SAVE, Background, tell
from napari_samsp.ui.images.garbage import Garbage
from napari_samsp.ui.images.image_list import Entry, ImageList
from napari_samsp.ui.images.jobs import Desk
from napari_samsp.ui.images.stored.listing import edits_of_all, read_list, tell_result
from napari_samsp.ui.images.stored.results import Results
from napari_samsp.ui.widgets.layer_chooser import MAP_KEY
from napari_samsp.utils.errors import InputError, in_words
from napari_samsp.utils.paths import images_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_samsp.ui.models.workplace import Workplace


class OpenList(QObject):
    """The list, which is read in the background; for the GUI's thread.

    Signals: ``changed`` (entries, their order, or the one that is open) and ``said`` (a
    line, and whether it is an error).

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer whose layers can be a list.
    workplace : Workplace
        Holds the loaded model.
    parent : QObject
        Qt's; the background ends with it.

    Attributes
    ----------
    images : ImageList
        The images of the list.
    place : str
        The folder or pattern; empty of layers.
    desk : Desk or None
        What jobs need; None of layers, which have no results on disk.
    """

    changed = Signal()
    said = Signal(str, bool)
    _listed = Signal(str, object, str)
    _noted = Signal(object, object)

    def __init__(
        self, viewer: napari.viewer.Viewer, workplace: Workplace, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer, self._workplace = viewer, workplace
        self.images = ImageList()
        self.place = ""
        self.desk: Desk | None = None
        garbage = Garbage(lambda: self.background.running, self)
        self.background = Background(garbage.hold)
        self._lost = "", ""
        self._resumes = self._gone = False
        self._listed.connect(self._on_listed)
        self._noted.connect(self._on_noted)
        self.destroyed.connect(self.background.close)

    def open_place(self, place: str, at: str = "") -> None:
        """List a folder, a file or a pattern; ``changed`` follows.

        Parameters
        ----------
        place : str
            A folder, a file or a pattern, as for `read_list`.
        at : str
            Name of the image that *Next* opens first; empty: the list's first.
        """

        def read(_check: Callable[[], None]) -> None:
            found: Any
            try:
                found = read_list(place)
            except (InputError, OSError) as error:
                found = in_words(error)
            tell(self._listed, place, found, at)

        self.background.submit(LIST, read)

    def refresh(self) -> None:
        """Read the folder again, also one that could not be read before."""
        if self.desk is not None:
            self.open_place(self.place)
        elif self._lost[0]:
            self.open_place(*self._lost)

    def place_and_image(self) -> dict[str, Any]:
        """What is remembered of the list from session to session."""
        place, at = self._lost
        if self.place:
            current = self.images.current
            place, at = self.place, current.name if current is not None else ""
        ranked = self.images.ranked
        return {"images_place": place, "images_at": at, "images_ranked": ranked}

    def open_layers(self) -> None:
        """List the images that are open in the viewer."""
        self._end_list()
        self.images.replace(
            Entry(layer.name, layer=str(layer.unique_id))
            for layer in self._viewer.layers
            if isinstance(layer, Image) and not layer.metadata.get(MAP_KEY)
        )
        self.said.emit("" if self.images.entries else "No image is open.", False)
        self.changed.emit()

    def close_list(self) -> None:
        """Show no list; its image is left."""
        self._end_list()
        self.images.replace(())
        self.said.emit("", False)
        self.changed.emit()

    def skip(self, entry: Entry, skipped: bool) -> None:
        """Leave an image out of Segment all, the ranking and the table, or not."""
        entry.skipped, desk = skipped, self.desk
        names = {one.name for one in self.images.entries if one.skipped}
        if desk is not None:

            def write(_check: Callable[[], None]) -> None:
                with suppress(OSError):
                    desk.results.skip(names)

            self.background.submit(SAVE, write)
        self.changed.emit()

    def _on_listed(self, place: str, found: Any, at: str) -> None:
        if isinstance(found, str):
            if self.desk is None:
                self._lost = place, at
            self._gone = True
            self.said.emit(found, True)
            return
        if self._gone:
            self.said.emit("", False)
        self._gone, self._lost = False, ("", "")
        if place == self.place and self.desk is not None:
            self.images.merge(found)
        else:
            self._end_list()
            self.place = place
            self.desk = Desk(
                Results.of(place, images_folder()),
                edits_of_all(),
                self._workplace,
                lambda entry, line: tell(self._noted, entry, line),
            )
            self.images.replace(found)
            self.images.current = self.images.find(at) if at else None
            self._resumes = self.images.current is not None
            self.said.emit("" if self._resumes else "Press Next to begin.", False)
        self.changed.emit()

    def _end_list(self) -> None:
        self.desk, self.place, self._resumes = None, "", False
        self._lost = "", ""

    def _on_noted(self, entry: Entry, line: dict[str, Any]) -> None:
        tell_result(entry, line)
        self.changed.emit()
