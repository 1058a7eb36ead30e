"""Python's garbage is collected in the GUI's thread while another one is at work.

A layer that was removed leaves widgets and OpenGL objects in circles of references. The
thread in which Python happens to look for such circles deletes them, and where that is
not the GUI's, the next drawing crashes napari.
"""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable

TICK_MS = 200
OLDEST_S = 20
"""Seconds between collections of the oldest generation, which take longest."""


class Garbage(QObject):
    """Collects, with a timer, while a background is at work.

    Parameters
    ----------
    at_work : callable
        Says whether it is.
    parent : QObject
        Qt's; when it goes, Python collects by itself again.
    """

    def __init__(self, at_work: Callable[[], bool], parent: QObject) -> None:
        super().__init__(parent)
        self._at_work = at_work
        self._held = False
        self._last = time.monotonic()
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)
        self.destroyed.connect(gc.enable)

    def hold(self) -> None:
        """Stop Python's own collections: the background is about to begin."""
        if gc.isenabled():
            self._held = True
            gc.disable()
        self._timer.start()

    def _tick(self) -> None:
        if not self._at_work():
            self._timer.stop()
            if self._held:
                self._held = False
                gc.enable()
            return
        counts, most = gc.get_count(), gc.get_threshold()
        now = time.monotonic()
        if counts[2] > most[2] and now - self._last > OLDEST_S:
            self._last = now
            gc.collect()
        elif counts[1] > most[1]:
            gc.collect(1)
        elif counts[0] > most[0]:
            gc.collect(0)
