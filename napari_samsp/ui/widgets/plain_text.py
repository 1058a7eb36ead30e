"""Text from files, shown as text: Qt would draw it where it looks like HTML."""

from __future__ import annotations

from napari.utils import notifications
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QWidget


def plain(text: str) -> str:
    """Make a text that Qt takes for plain wherever it guesses, as in tooltips.

    Parameters
    ----------
    text : str
        Text that may look like HTML.

    Returns
    -------
    str
        With an angle quotation mark for each ``<``, without which there is no tag.
    """
    return text.replace("<", "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}")


def make_plain(widget: QWidget) -> None:
    """Let all labels in a widget show their texts as they are.

    Those of several lines can be selected and copied, and widen nothing.

    Parameters
    ----------
    widget : QWidget
        Complete, with all its labels.
    """
    for label in widget.findChildren(QLabel):
        label.setTextFormat(Qt.TextFormat.PlainText)
        if label.wordWrap():
            # A message's longest word, such as a hash, would be the least width.
            label.setMinimumWidth(1)
            flag = Qt.TextInteractionFlag.TextSelectableByMouse
            label.setTextInteractionFlags(flag)


def show_error(text: str) -> None:
    """Show an error as a notification of napari's, which guesses too."""
    notifications.show_error(plain(text))


def show_info(text: str) -> None:
    """As `show_error`, of what is no error."""
    notifications.show_info(plain(text))
