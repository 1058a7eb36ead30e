"""The image list as a table of Qt's."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QFont

from napari_samsp.ui.images.image_list import Entry, State
from napari_samsp.ui.widgets.plain_text import plain

if TYPE_CHECKING:
    from napari_samsp.ui.images.image_list import ImageList
    from napari_samsp.ui.images.thumbnails import Thumbnails

COLUMNS = ("Image", "State", "Objects")
_NUMBERS = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class TableModel(QAbstractTableModel):
    """One row per image; a cell's content is made when it is drawn.

    Parameters
    ----------
    images : ImageList
        The images; after each change of it, call `update`.
    thumbnails : Thumbnails
        Pictures for the tooltips.
    """

    def __init__(self, images: ImageList, thumbnails: Thumbnails) -> None:
        super().__init__()
        self._thumbnails = thumbnails
        self._images = images
        self._shown: list[Entry] = []

    def update(self) -> None:
        """Show what the list holds now."""
        if self._shown == self._images.entries:
            self._tell_changes()
            return
        self.beginResetModel()
        self._shown = list(self._images.entries)
        self.endResetModel()

    def entry(self, index: QModelIndex) -> Entry | None:
        """The image of a row."""
        row = index.row()
        return self._shown[row] if 0 <= row < len(self._shown) else None

    def row(self, entry: Entry | None) -> int:
        """The row of an image, -1 if it has none."""
        return next((n for n, one in enumerate(self._shown) if one is entry), -1)

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """How many images are shown, as Qt asks."""
        return 0 if parent.isValid() else len(self._shown)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """How many columns there are, as Qt asks."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = 0
    ) -> Any:
        """Titles of the columns, as Qt asks."""
        across = orientation == Qt.Orientation.Horizontal
        if role == Qt.ItemDataRole.DisplayRole and across:
            return COLUMNS[section]
        if role == Qt.ItemDataRole.TextAlignmentRole and across:
            left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
            return _NUMBERS if section == 2 else left
        return None

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """What a cell shows in one of Qt's roles."""
        entry = self.entry(index)
        if entry is None:
            return None
        column = index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return (entry.name, _state(entry), _count(entry))[column]
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tooltip(entry)
        if role == Qt.ItemDataRole.TextAlignmentRole and column == 2:
            return _NUMBERS
        if role == Qt.ItemDataRole.FontRole and entry is self._images.current:
            font = QFont()
            font.setBold(True)
            return font
        return None

    def _tooltip(self, entry: Entry) -> str:
        """What is known of an image, under its picture if there is one."""
        picture = ""
        if entry.path is not None and not entry.reason:
            picture = self._thumbnails.tag(entry.path)
        if not picture:
            return plain(_about(entry))
        return f"{picture}<br>{escape(_about(entry)).replace(chr(10), '<br>')}"

    def _tell_changes(self) -> None:
        if self._shown:
            last = self.index(len(self._shown) - 1, len(COLUMNS) - 1)
            self.dataChanged.emit(self.index(0, 0), last)


def _state(entry: Entry) -> str:
    draft = entry.drafted and entry.state in (State.SEGMENTED, State.NEW)
    return "edited" if draft else entry.state.value


def _count(entry: Entry) -> str:
    return "" if entry.objects is None else f"{entry.objects:,}"


def _about(entry: Entry) -> str:
    lines = [str(entry.path) if entry.path is not None else entry.name]
    if entry.reason:
        lines.append(entry.reason)
    if entry.confidence is not None:
        lines.append(f"Confidence {entry.confidence:.2f}: how good the model believes")
        lines[-1] += " its outlines to be, 1 is best"
    if entry.drafted:
        lines.append("Has edits that are not kept yet")
    return "\n".join(lines)
