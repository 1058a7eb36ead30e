"""A picture of an image while the pointer rests on its row."""

from __future__ import annotations

import base64
import re

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QCursor, QHelpEvent, QImage
from qtpy.QtWidgets import QApplication, QToolTip

from napari_samsp.data import thumbnails as reading
from napari_samsp.data.image_files import write_image
from napari_samsp.data.thumbnails import thumbnail
from napari_samsp.ui.images import thumbnails as showing
from napari_samsp.ui.images.image_list import Entry, ImageList
from napari_samsp.ui.images.table_model import TableModel
from napari_samsp.ui.images.thumbnails import Thumbnails

WAIT_MS = 20_000


def picture(html: str) -> QImage:
    text = re.search(r"base64,([^\"]+)\"", html)[1]
    return QImage.fromData(base64.b64decode(text), "PNG")


def test_it_is_small_and_shows_the_image_bright_or_dim(tmp_path, nuclei):
    image = np.repeat(np.repeat(nuclei[0], 5, 0), 5, 1).astype(np.uint16) // 8
    write_image(tmp_path / "dim.tif", image)
    small = thumbnail(tmp_path / "dim.tif", 100)
    assert max(small.shape[:2]) <= 100
    assert small.shape[0] / small.shape[1] == pytest.approx(96 / 160, abs=0.02)
    assert small.max() > 200  # a sixteenth of the brightness
    stack = np.stack([np.zeros_like(image), image, np.zeros_like(image)])
    gray = {"photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "stack.tif", stack, metadata={"axes": "ZYX"}, **gray)
    assert np.array_equal(thumbnail(tmp_path / "stack.tif", 100), small)
    five = np.stack([image] * 5)
    tifffile.imwrite(tmp_path / "five.ome.tif", five, metadata={"axes": "CYX"}, **gray)
    assert np.array_equal(thumbnail(tmp_path / "five.ome.tif", 100), small)


def test_of_what_cannot_be_read_or_is_too_large_there_is_none(
    tmp_path, nuclei, monkeypatch
):
    (tmp_path / "broken.tif").write_bytes(b"II*\0nothing")
    assert thumbnail(tmp_path / "broken.tif", 100) is None
    assert thumbnail(tmp_path / "gone.tif", 100) is None
    write_image(tmp_path / "flat.tif", np.full((40, 50), 7, np.uint8))
    assert thumbnail(tmp_path / "flat.tif", 100) is None
    write_image(tmp_path / "large.tif", nuclei[0])
    monkeypatch.setattr(reading, "MOST_BYTES", 1000)
    assert thumbnail(tmp_path / "large.tif", 100) is None


def test_the_tooltip_has_it_when_it_was_read(tmp_path, nuclei, qtbot):
    write_image(tmp_path / "a&b.tif", nuclei[0])
    (tmp_path / "c.tif").write_bytes(b"nothing")
    images = ImageList()
    images.replace(
        [Entry("a<b>", tmp_path / "a&b.tif"), Entry("c", tmp_path / "c.tif")]
    )
    owner = QObject()
    made = Thumbnails(owner)
    model = TableModel(images, made)
    model.update()
    role = Qt.ItemDataRole.ToolTipRole
    with qtbot.waitSignal(made.ready, timeout=WAIT_MS):
        first = model.data(model.index(0, 0), role)
    assert "<" not in first  # not yet
    html = model.data(model.index(0, 1), role)
    shown = picture(html)
    assert (shown.width(), shown.height()) == (160, 96)
    assert "a&amp;b.tif" in html
    model.data(model.index(1, 0), role)
    qtbot.waitUntil(lambda: tmp_path / "c.tif" in made._known, timeout=WAIT_MS)
    assert "<img" not in model.data(model.index(1, 0), role)


def test_no_more_than_some_are_kept(tmp_path, nuclei, qtbot, monkeypatch):
    monkeypatch.setattr(showing, "MOST", 2)
    owner = QObject()
    made = Thumbnails(owner)
    paths = [tmp_path / f"{n}.tif" for n in range(3)]
    for path in paths:
        write_image(path, nuclei[0])
        with qtbot.waitSignal(made.ready, timeout=WAIT_MS):
            made.tag(path)
    assert list(made._known) == paths[1:]


@pytest.mark.gui
def test_it_comes_while_the_pointer_rests(bench, folder):
    bench.open_folder(folder)
    panel = bench.widget.images
    table, view = panel.table, panel.table.viewport()
    place = table.visualRect(panel.model.index(1, 0)).center()
    here = view.mapToGlobal(place)
    QCursor.setPos(here)
    # As Qt tells a widget on which the pointer rests, if its window is active; without
    # a window manager none is.
    QApplication.sendEvent(view, QHelpEvent(QEvent.Type.ToolTip, place, here))
    bench.wait(lambda: QToolTip.isVisible() and "<img" in QToolTip.text())
    assert "b.tif" in QToolTip.text()
