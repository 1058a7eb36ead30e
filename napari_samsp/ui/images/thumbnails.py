"""Small pictures of the listed images, read while the pointer rests on a row."""

from __future__ import annotations

import base64
from collections import OrderedDict
from typing import TYPE_CHECKING

from napari.qt.threading import create_worker
from qtpy.QtCore import QBuffer, QObject, Signal
from qtpy.QtGui import QImage

from napari_samsp.data.thumbnails import thumbnail

if TYPE_CHECKING:
    from pathlib import Path

SIDE = 192
"""Longest side of a picture in pixels."""
MOST = 256
"""Pictures that are kept in memory, of some 30 kB each."""


class Thumbnails(QObject):
    """Reads one picture at a time in a worker; the newest wish comes first.

    Signals: ``ready`` (the path of a picture that can be shown now).

    Parameters
    ----------
    parent : QObject
        Owner of this object.
    """

    ready = Signal(object)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._known: OrderedDict[Path, str] = OrderedDict()
        self._wanted: Path | None = None
        self._reading = False

    def tag(self, path: Path) -> str:
        """The picture as HTML; empty if there is none, or not yet.

        Parameters
        ----------
        path : Path
            The image file.
        """
        if path in self._known:
            self._known.move_to_end(path)
            return self._known[path]
        self._wanted = path
        if not self._reading:
            self._read()
        return ""

    def forget(self) -> None:
        """Files may have changed: read them again."""
        self._known.clear()

    def _read(self) -> None:
        path, self._wanted = self._wanted, None
        if path is None:
            return
        self._reading = True
        worker = create_worker(_as_html, path, _ignore_errors=True)
        worker.returned.connect(self._on_read)
        worker.finished.connect(self._on_finished)
        worker.start()

    def _on_read(self, found: tuple[Path, str]) -> None:
        path, html = found
        self._known[path] = html
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        if html:
            self.ready.emit(path)

    def _on_finished(self) -> None:
        self._reading = False
        self._read()


def _as_html(path: Path) -> tuple[Path, str]:
    """Read a picture and encode it as HTML; in the worker."""
    pixels = thumbnail(path, SIDE)
    if pixels is None:
        return path, ""
    height, width = pixels.shape[:2]
    image = QImage(
        pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888
    )
    buffer = QBuffer()
    buffer.open(QBuffer.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    text = base64.b64encode(bytes(buffer.data().data())).decode()
    return path, f'<img src="data:image/png;base64,{text}">'
