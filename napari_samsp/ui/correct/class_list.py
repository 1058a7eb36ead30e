"""The classes that a user paints or gives to objects: numbers, names and colours."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QShowEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_samsp.data.training_sets.classes import (
    IGNORE,
    MOST_CLASSES,
    Classes,
    LabelClass,
    check_classes,
    default_color,
    parse_classes,
    read_classes,
)
from napari_samsp.ui.result_layers import RESULT_KEY
from napari_samsp.ui.widgets.class_colors import color_by_class
from napari_samsp.ui.widgets.plain_text import show_error

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_samsp.ui.widgets.layer_chooser import LayerChooser

COLOR, NUMBER, NAME = range(3)
CLASS_KEYS = 9
CLASS_KEY = "U"
"""Gives the object under the cursor the chosen class; no layer of napari has it."""
ROWS_SHOWN = 4
AREAS: Final = "semantic"
OBJECTS: Final = "instances"
KIND_CHOICES = {
    AREAS: "Labels are areas: label 2 is class 2",
    OBJECTS: "Labels are objects, each with a class",
}
FIXED = "The kept corrections of this project are so; for others begin a new project."


class ClassList(QWidget):
    """A button that opens a short table of classes, in whose colours labels are shown.

    Signals: ``changed`` (classes, their colours, or what labels are), ``chosen``
    (another class is), ``renamed`` (old and new name), ``objects_meant`` (the user says
    that labels are objects).

    Parameters
    ----------
    labels : LayerChooser
        Chooses the layer that is painted.
    """

    changed = Signal()
    chosen = Signal()
    renamed = Signal(str, str)
    objects_meant = Signal()

    def __init__(self, labels: LayerChooser) -> None:
        super().__init__()
        self._labels = labels
        self._classes: list[LabelClass] = []
        self._ignored: tuple[int, ...] | None = None
        self.toggle = QPushButton("Classes…")
        self.toggle.setObjectName("samsp_classes")
        self.toggle.setCheckable(True)
        self.toggle.setToolTip(
            "Classes of areas, such as leaf and spot, or of objects: name them, then "
            "paint, or point at objects"
        )
        self.kind_box = QComboBox()
        self.kind_box.setObjectName("samsp_class_kind")
        for kind, text in KIND_CHOICES.items():
            self.kind_box.addItem(text, kind)
        self.table = QTableWidget(0, 3)
        self.table.setObjectName("samsp_class_table")
        self.add_button = QPushButton("Add class")
        self.add_button.setObjectName("samsp_class_add")
        self.remove_button = QPushButton("Take out")
        self.remove_button.setObjectName("samsp_class_remove")
        self.rest_button = QPushButton("Class the rest")
        self.rest_button.setObjectName("samsp_class_rest")
        self.rest_button.setToolTip("Gives the chosen class to all white objects")
        self._lay_out()
        labels.changed.connect(self._follow)
        self.toggle.toggled.connect(self._open)
        self.add_button.clicked.connect(self.add)
        self.remove_button.clicked.connect(self.remove)
        self.kind_box.activated.connect(self._on_kind)
        self.table.itemChanged.connect(self._rename)
        self.table.itemSelectionChanged.connect(self._on_selection)
        self.table.cellClicked.connect(self._click)
        self._open(False)

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """What labels mean, in the order of the list; empty while it is closed."""
        return tuple(self._classes) if self.toggle.isChecked() else ()

    @property
    def kind(self) -> Literal["semantic", "instances"]:
        """Whether labels are `AREAS` or `OBJECTS`."""
        return OBJECTS if self.kind_box.currentData() == OBJECTS else AREAS

    @property
    def of_objects(self) -> tuple[LabelClass, ...]:
        """The classes that objects can have; none if the list is closed or of areas."""
        return self.classes if self.kind == OBJECTS else ()

    @property
    def meaning(self) -> Classes | None:
        """What labels mean, for a training set; None while the list is closed."""
        if not self.classes:
            return None
        classes = tuple(sorted(self.classes, key=lambda one: one.label))
        labels = {one.label for one in classes}
        ignored = self._ignored
        if ignored is None:
            ignored = () if self.kind == OBJECTS else (IGNORE,)
        left = tuple(n for n in ignored if n not in labels)
        return Classes(self.kind, classes, left)

    @property
    def choice(self) -> LabelClass | None:
        """The class that is chosen, or else the first; None while it is closed."""
        row = max(self.table.currentRow(), 0)
        return self.classes[row] if row < len(self.classes) else None

    def set_classes(self, classes: Sequence[LabelClass], kind: str = AREAS) -> None:
        """Show these classes; none closes the list."""
        if tuple(classes) == self.classes and (kind == self.kind or not classes):
            return
        self._classes = list(classes)
        self._set_kind(kind)
        with signals_blocked(self.toggle):
            self.toggle.setChecked(bool(classes))
        self._fill()
        self._show(bool(classes))
        self._color()
        if self.of_objects:
            self.objects_meant.emit()

    def read(self, folder: Path) -> None:
        """Show the classes of a training set, if it has any.

        Raises
        ------
        InputError
            If its ``classes.json`` is broken.
        """
        found = read_classes(folder)
        self._ignored = found.ignore if found else None
        self.kind_box.setEnabled(found is None)
        self.kind_box.setToolTip(FIXED if found else "")
        if found is not None:
            self.set_classes(found.classes, found.kind)

    def add(self) -> None:
        """Add a class with the next free number."""
        label = 1 + max((one.label for one in self._classes), default=0)
        if len(self._classes) >= MOST_CLASSES or label >= 255:
            show_error(f"At most {MOST_CLASSES} classes can be learnt.")
            return
        name = f"class {label}"
        while name in {one.name.casefold() for one in self._classes}:
            name = f"another {name}"
        self._classes.append(LabelClass(label, name, default_color(label)))
        self._fill()
        self._color()
        self.pick(len(self._classes) - 1)

    def remove(self) -> None:
        """Take the chosen class out of the list; what was painted stays."""
        row = self.table.currentRow()
        if 0 <= row < len(self._classes):
            del self._classes[row]
            self._fill()
            self._color()

    def pick(self, row: int) -> None:
        """Choose the class of a row: of areas, it is painted from now on."""
        if self.toggle.isChecked() and row < len(self._classes):
            self.table.selectRow(row)
            if self.kind == AREAS and self._labels.layer is not None:
                self._labels.layer.selected_label = self._classes[row].label

    def _follow(self, *_: Any) -> None:
        """Take over the classes of a result, unless there are some."""
        about = self._about
        if (told := about.get("classes")) and not self.classes:
            kind = OBJECTS if about.get("objects") else AREAS
            self.set_classes([LabelClass(**one) for one in told], kind)
        self._color()

    @property
    def _about(self) -> dict[str, Any]:
        """What is told of the chosen labels, if they are a result."""
        layer = self._labels.layer
        return layer.metadata.get(RESULT_KEY, {}) if layer is not None else {}

    def _color(self) -> None:
        if self._labels.layer is not None and self.classes and self.kind == AREAS:
            color_by_class(self._labels.layer, self.classes)
        self.changed.emit()

    def _set_kind(self, kind: str) -> None:
        with signals_blocked(self.kind_box):
            self.kind_box.setCurrentIndex(self.kind_box.findData(kind))

    def _on_kind(self, *_: Any) -> None:
        self._show(True)
        self._color()
        if self.kind == OBJECTS:
            self.objects_meant.emit()

    def _open(self, opened: bool) -> None:
        if opened and not self._classes:
            self._classes = [LabelClass(1, "class 1", default_color(1))]
            # Who separates objects, wants classes of them.
            self._set_kind(OBJECTS if self._about.get("objects") else AREAS)
        self._fill()
        self._show(opened)
        self._color()

    def _show(self, opened: bool) -> None:
        for part in (self.kind_box, self.table, self.add_button, self.remove_button):
            part.setVisible(opened)
        self.rest_button.setVisible(opened and self.kind == OBJECTS)

    def _fill(self) -> None:
        row = self.table.currentRow()
        with signals_blocked(self.table):
            self.table.setRowCount(len(self._classes))
            for n, one in enumerate(self._classes):
                color = QTableWidgetItem()
                # Not its background, which a chosen row hides.
                color.setData(Qt.ItemDataRole.DecorationRole, QColor(one.color))
                color.setToolTip("Click to choose another colour")
                number = QTableWidgetItem(str(one.label))
                number.setToolTip(f"Key: Alt-{n + 1}" if n < CLASS_KEYS else "")
                for item in (color, number):
                    item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
                name = QTableWidgetItem(one.name)
                name.setToolTip("Double-click to rename")
                for column, item in ((COLOR, color), (NUMBER, number), (NAME, name)):
                    self.table.setItem(n, column, item)
            if 0 <= row < len(self._classes):
                self.table.selectRow(row)
        self._fit()
        self._update_buttons()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Qt's; rows are as high as napari's theme makes them, which is known now."""
        super().showEvent(event)
        self._fit()

    def _fit(self) -> None:
        shown = min(max(len(self._classes), 1), ROWS_SHOWN)
        head = self.table.horizontalHeader().sizeHint().height()
        self.table.setFixedHeight(head + shown * self.table.rowHeight(0) + 4)

    def _rename(self, item: QTableWidgetItem) -> None:
        if item.column() != NAME:
            return
        before = self._classes[item.row()]
        self._change(item.row(), replace(before, name=item.text()))

    def _click(self, row: int, column: int) -> None:
        self.pick(row)
        if column != COLOR:
            return
        before = self._classes[row]
        color = QColorDialog.getColor(QColor(before.color), self, before.name)
        if color.isValid():
            self._change(row, replace(before, color=color.name()))

    def _change(self, row: int, one: LabelClass) -> None:
        """Take a class as edited, or say why not and show it as it was."""
        wished = [*self._classes[:row], one, *self._classes[row + 1 :]]
        try:
            plain = {"label": one.label, "name": one.name, "color": one.color}
            listed = {"kind": "semantic", "classes": [plain], "ignore": None}
            wished[row] = parse_classes(listed).classes[0]
            check_classes(wished)
        except ValueError as error:
            self._fill()
            show_error(f"This class cannot be named so: {error}.")
            return
        before, self._classes = self._classes[row].name, wished
        self._fill()
        if wished[row].name != before:
            self.renamed.emit(before, wished[row].name)
        self._color()

    def _on_selection(self) -> None:
        self._update_buttons()
        self.chosen.emit()

    def _update_buttons(self, *_: Any) -> None:
        self.remove_button.setEnabled(self.table.currentRow() >= 0)

    def _lay_out(self) -> None:
        self.table.setHorizontalHeaderLabels(["", "Label", "Class"])
        self.table.verticalHeader().hide()
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(COLOR, QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(NUMBER, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.table.setColumnWidth(COLOR, 24)
        row = QHBoxLayout()
        for button in (self.toggle, self.add_button, self.remove_button):
            row.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.kind_box)
        layout.addWidget(self.table)
        layout.addWidget(self.rest_button)
