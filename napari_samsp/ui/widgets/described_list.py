"""A drop-down whose opened list says more than the box has room for."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionComboBox,
    QStyleOptionViewItem,
    QWidget,
)

from napari_samsp.ui.widgets.plain_text import plain

MOST_WIDTH = 640
"""Largest width of the opened list in pixels: half a small screen."""
_TIP = Qt.ItemDataRole.ToolTipRole
_WHAT_FOR = Qt.ItemDataRole.UserRole + 1


class _Described(QStyledItemDelegate):
    """Items of the opened list, followed by what each is for."""

    def initStyleOption(
        self, option: QStyleOptionViewItem | None, index: QModelIndex
    ) -> None:
        """Add what the item is for to its text."""
        super().initStyleOption(option, index)
        if what_for := index.data(_WHAT_FOR):
            option.text = f"{option.text}  ·  {what_for}"


class DescribedList(QComboBox):
    """A box that elides in the middle; its opened list is as wide as its items.

    Parameters
    ----------
    parent : QWidget, optional
        The widget that this one is in.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumContentsLength(12)
        self.setItemDelegate(_Described(self))
        self.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.view().setTextElideMode(Qt.TextElideMode.ElideMiddle)

    def add(self, text: str, data: Any, tip: str, what_for: str = "") -> None:
        """Add an item.

        Parameters
        ----------
        text : str
            In the box, and first in the opened list.
        data : object
            Data of the item, which `currentData` gives.
        tip : str
            Tooltip; shown as plain text.
        what_for : str
            Follows the text in the opened list.
        """
        self.addItem(text, data)
        last = self.count() - 1
        self.setItemData(last, plain(tip), _TIP)
        self.setItemData(last, what_for, _WHAT_FOR)

    def explain(self) -> None:
        """Give the box its item's tooltip."""
        self.setToolTip(str(self.itemData(self.currentIndex(), _TIP) or ""))

    def initStyleOption(self, option: QStyleOptionComboBox | None) -> None:
        """As Qt's, which clips a text that is too long."""
        super().initStyleOption(option)
        field = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox,
            option,
            QStyle.SubControl.SC_ComboBoxEditField,
            self,
        )
        option.currentText = option.fontMetrics.elidedText(
            option.currentText, Qt.TextElideMode.ElideMiddle, field.width() - 2
        )

    def showPopup(self) -> None:
        """As Qt's, which makes it as narrow as the box."""
        view = self.view()
        bar = view.verticalScrollBar().sizeHint().width()
        view.setMinimumWidth(min(view.sizeHintForColumn(0) + bar, MOST_WIDTH))
        super().showPopup()
