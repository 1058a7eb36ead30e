"""The image list at the top of the widget: its table and its buttons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from qtpy.QtCore import QEvent, QModelIndex, QPoint, Qt, Signal
from qtpy.QtGui import QCursor, QFont, QFontMetrics
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QInputDialog,
    QLabel,
    QMenu,
    QPushButton,
    QTableView,
    QToolTip,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_samsp.ui.images.image_list import State
from napari_samsp.ui.images.table_model import TableModel
from napari_samsp.ui.images.thumbnails import Thumbnails
from napari_samsp.ui.widgets.menu_button import MenuButton
from napari_samsp.ui.widgets.plain_text import plain
from napari_samsp.utils.paths import home

if TYPE_CHECKING:
    from napari_samsp.ui.images.control import ImagesControl

ROWS = 5
"""Rows that are visible without scrolling: a small screen must show the steps below."""
TABLES = "CSV (*.csv);;Parquet (*.parquet)"


class ImagesPanel(QWidget):
    """Shows a list and asks its control for what the user wants.

    Takes the room of one row of buttons as long as there is no list. Signals:
    ``resized`` when it takes another height.

    Parameters
    ----------
    control : ImagesControl
        What the buttons and the table act on.
    """

    resized = Signal()

    def __init__(self, control: ImagesControl) -> None:
        super().__init__()
        self.setObjectName("samsp_images_panel")
        self.control = control
        self.thumbnails = Thumbnails(self)
        self.model = TableModel(control.images, self.thumbnails)
        self.table = QTableView()
        self.table.setObjectName("samsp_images")
        self.message = QLabel()
        self.message.setObjectName("samsp_images_message")
        self.message.setWordWrap(True)
        self.place = QElidingLabel()
        self.place.setElideMode(Qt.TextElideMode.ElideLeft)
        self.open_button = self._button(
            "Open folder…", "samsp_open_folder", "List the images of a folder"
        )
        tip = "Other lists: a pattern of files, the open layers"
        self.more = MenuButton("samsp_images_more", tip, self)
        self.previous = self._button(
            "Previous", "samsp_previous", "The image before, with its labels"
        )
        self.next = self._button(
            "Next",
            "samsp_next",
            "The next image, with its labels; edits of this one stay as a draft",
        )
        self.keep_next = self._button(
            "Keep and next",
            "samsp_keep_next",
            "Keep the labels of this image as they are now, and go to the next one",
        )
        self.all_button = self._button(
            "Segment all",
            "samsp_segment_all",
            "Segment all images in the background, with the settings below; those\n"
            "that you corrected stay. It can be stopped, and goes on later.",
        )
        self.save_button = self._button(
            "Save table…",
            "samsp_save_all",
            "Measure the objects of all images, and write a row for each",
        )
        self.apply_button = self._button(
            "Apply to all",
            "samsp_apply_all",
            "Segment the images that you did not correct with the new adapter",
        )
        self.ranked = QCheckBox("Most to correct first")
        self.ranked.setObjectName("samsp_ranked")
        self.ranked.setToolTip(
            "Sort by how unsure the model is of its outlines, images that look alike\n"
            "apart; Next then goes to the image of which a correction teaches most.\n"
            "Segment all first."
        )
        self._lay_out()
        self._connect()
        self._show()

    def offer_adapter(self) -> None:
        """Offer to apply a new adapter to all images."""
        self.apply_button.setVisible(self.control.desk is not None)

    def event(self, event: QEvent | None) -> bool:
        """Read the folder again when the window is activated."""
        if event is not None and event.type() == QEvent.Type.WindowActivate:
            self.thumbnails.forget()
            self.control.refresh()
        return bool(super().event(event))

    def _button(self, text: str, name: str, tip: str) -> QPushButton:
        made = QPushButton(text)
        made.setObjectName(name)
        made.setToolTip(tip)
        return made

    def _connect(self) -> None:
        control = self.control
        control.changed.connect(self._show)
        control.said.connect(self._say)
        control.whole.progress.connect(self._on_progress)
        self.open_button.clicked.connect(self._choose_folder)
        self.previous.clicked.connect(lambda: control.step(-1))
        self.next.clicked.connect(lambda: control.step(1))
        self.keep_next.clicked.connect(control.keep_and_next)
        self.all_button.clicked.connect(self._on_all)
        self.apply_button.clicked.connect(self._on_apply)
        self.save_button.clicked.connect(self._choose_table)
        self.ranked.toggled.connect(control.rank)
        self.thumbnails.ready.connect(self._on_thumbnail)
        self.table.clicked.connect(self._on_clicked)
        self.table.activated.connect(self._on_clicked)
        self.table.customContextMenuRequested.connect(self._offer_skip)

    def _show(self) -> None:
        images, control = self.control.images, self.control
        self.model.update()
        there = len(images) > 0
        always = (self.table, self.previous, self.next, self.keep_next)
        of_files = (self.all_button, self.save_button, self.ranked)
        for part in (*always, *of_files):
            needs_files = part in of_files
            part.setVisible(there and (control.desk is not None or not needs_files))
        if not there or control.desk is None:
            self.apply_button.hide()
        self.open_button.setText("Open…" if there else "Open folder…")
        self.keep_next.setEnabled(images.current is not None)
        self._fit()
        place = control.place or ("Open layers" if there else "")
        done = images.count(State.CORRECTED)
        corrected = f" · {done} of {len(images):,} corrected" if there else ""
        self.place.setText(f"{Path(place).name if place else ''}{corrected}")
        self.place.setToolTip(plain(place))
        self._mark()

    def _fit(self) -> None:
        row = cast("QHeaderView", self.table.verticalHeader()).defaultSectionSize()
        head = cast("QHeaderView", self.table.horizontalHeader()).sizeHint().height()
        rows = min(ROWS, self.model.rowCount())
        height = head + rows * row + 2 * self.table.frameWidth()
        if self.table.height() != height:
            self.table.setFixedHeight(height)
            self.resized.emit()

    def _mark(self) -> None:
        row = self.model.row(self.control.images.current)
        if row >= 0 and row != self.table.currentIndex().row():
            self.table.setCurrentIndex(self.model.index(row, 0))

    def _on_clicked(self, index: QModelIndex) -> None:
        entry = self.model.entry(index)
        if entry is not None:
            self.control.go(entry)

    def _on_thumbnail(self, path: Path) -> None:
        """Show the picture if the pointer still rests on its row."""
        view, at = self.table.viewport(), QCursor.pos()
        index = self.table.indexAt(view.mapFromGlobal(at))
        entry = self.model.entry(index)
        if QToolTip.isVisible() and entry is not None and entry.path == path:
            text = self.model.data(index, Qt.ItemDataRole.ToolTipRole)
            QToolTip.showText(at, text, view)

    def _offer_skip(self, at: QPoint) -> None:
        entry = self.model.entry(self.table.indexAt(at))
        if entry is None:
            return
        menu = QMenu(self.table)
        action = menu.addAction("Skip this image")
        action.setCheckable(True)
        action.setChecked(entry.skipped)
        action.toggled.connect(lambda on: self.control.skip(entry, on))
        menu.popup(self.table.viewport().mapToGlobal(at))

    def _say(self, text: str, _failed: bool) -> None:
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def _on_all(self) -> None:
        if self.control.whole.running:
            self.control.whole.stop()
        else:
            self.control.segment_all()

    def _on_apply(self) -> None:
        self.apply_button.hide()
        self.control.whole.stop()
        self.control.segment_all()

    def _on_progress(self, done: int, count: int) -> None:
        text = f"Stop ({done:,} of {count:,})" if count else "Segment all"
        self.all_button.setText(text)

    def _choose_folder(self) -> None:
        start = self.control.place or str(Path.home())
        folder = QFileDialog.getExistingDirectory(self, "Folder of images", start)
        if folder:
            self.control.open_place(folder)

    def _choose_files(self) -> None:
        start = self.control.place or str(Path.home())
        text, there = QInputDialog.getText(
            self,
            "Images by a pattern",
            "Files, such as /data/plate/*_dapi.tif; ** stands for any folders:",
            text=start,
        )
        if there and text.strip():
            self.control.open_place(str(Path(text.strip()).expanduser()))

    def _choose_table(self) -> None:
        place = Path(self.control.place)
        start = (place if place.is_dir() else home()) / "objects.csv"
        file, kind = QFileDialog.getSaveFileName(self, "Save table", str(start), TABLES)
        if file:
            path = Path(file)
            if not path.suffix:
                path = path.with_suffix(".parquet" if "arquet" in kind else ".csv")
            self.control.save_table(path)

    def _lay_out(self) -> None:
        table = self.table
        table.setModel(self.model)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setShowGrid(False)
        table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        side = cast("QHeaderView", table.verticalHeader())
        side.hide()
        side.setDefaultSectionSize(table.fontMetrics().height() + 4)
        head = cast("QHeaderView", table.horizontalHeader())
        head.setHighlightSections(False)
        head.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        head.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        font = QFont(table.font())
        font.setBold(True)
        bold = QFontMetrics(font)
        for column, text in ((1, "segmented"), (2, "Objects")):
            width = bold.horizontalAdvance(text) + 16
            head.resizeSection(column, width)
        for text, slot in (
            ("Open folder…", self._choose_folder),
            ("Open files by a pattern…", self._choose_files),
            ("List the open layers", self.control.open_layers),
            ("Look into the folder again", self.control.refresh),
            ("Close the list", self.control.close_list),
        ):
            self.more.add(text, slot)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for row in (
            (self.open_button, self.more, self.place),
            (table,),
            (self.previous, self.next, self.keep_next),
            (self.all_button, self.save_button, self.ranked),
            (self.apply_button,),
            (self.message,),
        ):
            line = QHBoxLayout()
            for part in row:
                line.addWidget(part, 1 if part is self.place else 0)
            if row[0] is self.previous:
                for n in range(3):
                    line.setStretch(n, 1)
            layout.addLayout(line)
        self.apply_button.hide()
        self.message.hide()
