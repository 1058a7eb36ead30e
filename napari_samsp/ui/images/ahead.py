"""The image that comes next is read and segmented while the user looks at this one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_samsp.ui.images.background import PREFETCH, Background, tell
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_samsp.ui.images.image_list import Entry
    from napari_samsp.ui.images.jobs import Desk
    from napari_samsp.ui.images.stored.opened import Opened
    from napari_samsp.ui.images.stored.results import Wanted


@dataclass(frozen=True)
class _Held:
    entry: Entry
    wanted: Wanted
    opened: Opened | None = None

    def is_for(self, entry: Entry, wanted: Wanted) -> bool:
        return self.entry is entry and self.wanted == wanted


class Ahead(QObject):
    """Holds one image that was read ahead, or is being read.

    Signals: ``ended`` (entry, and why it cannot be opened, or nothing) when it is ready
    to be taken.

    Parameters
    ----------
    background : Background
        The thread that does the work.
    parent : QObject
        Owner of this object.
    """

    ended = Signal(object, str)
    _read = Signal(object, str)

    def __init__(self, background: Background, parent: QObject) -> None:
        super().__init__(parent)
        self._background = background
        self._ready: _Held | None = None
        self._reading: _Held | None = None
        self._read.connect(self._on_read)

    @property
    def is_ready(self) -> bool:
        """Whether an image waits to be taken."""
        return self._ready is not None

    def holds(self, entry: Entry, wanted: Wanted) -> bool:
        """Whether an image with its result in these settings is ready or being read."""
        held = self._ready or self._reading
        return held is not None and held.is_for(entry, wanted)

    def take(self, entry: Entry, wanted: Wanted) -> Opened | None:
        """The image if it is ready; else None, and what was ready stays."""
        ready = self._ready
        if ready is None or not ready.is_for(entry, wanted):
            return None
        self._ready = None
        return ready.opened

    def start(self, desk: Desk, entry: Entry, wanted: Wanted) -> None:
        """Read an image, instead of another one; ``ended`` follows."""
        if self.holds(entry, wanted):
            return
        self.drop()
        self._reading = _Held(entry, wanted)

        def run(check: Callable[[], None]) -> None:
            opened: Opened | None
            try:
                opened, reason = desk.open(entry, wanted, check), ""
            except InputError as error:
                opened, reason = None, str(error)
            except OSError:  # a full disk: told when the user comes to the image
                opened, reason = None, ""
            tell(self._read, _Held(entry, wanted, opened), reason)

        self._background.submit(PREFETCH, run)

    def drop(self) -> None:
        """Read nothing ahead, and forget what was read."""
        self._background.cancel(PREFETCH)
        if self._ready is not None and self._ready.opened is not None:
            self._ready.opened.close()
        self._ready = self._reading = None

    def _on_read(self, held: _Held, reason: str) -> None:
        reading = self._reading
        if reading is None or not reading.is_for(held.entry, held.wanted):
            if held.opened is not None:
                held.opened.close()
            return
        self._reading = None
        if held.opened is not None:
            self._ready = held
        self.ended.emit(held.entry, reason)
