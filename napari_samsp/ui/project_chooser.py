"""The drop-down of projects."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_samsp.data.projects import (
    Project,
    default_project,
    known_projects,
    new_project,
    open_project,
)
from napari_samsp.ui.widgets.menu_button import MenuButton
from napari_samsp.ui.widgets.plain_text import plain, show_error
from napari_samsp.utils.errors import InputError

LAST, OPENED = "project", "projects"
"""Where the default project remembers which was used last, and those from elsewhere."""
MOST_OPENED = 20


class ProjectChooser(QWidget):
    """Lists the projects, makes new ones, and opens those that lie elsewhere.

    Emits ``changed`` with the chosen `Project`.

    Parameters
    ----------
    parent : QWidget, optional
        The widget that this one is in.
    """

    changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._opened: list[Project] = []
        self._shown: list[Project] = []
        self.combo = QComboBox()
        self.combo.setObjectName("samsp_project")
        self.combo.setMinimumContentsLength(12)
        self.combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        tip = "A new project, or one from another folder"
        more = MenuButton("samsp_project_menu", tip, self)
        more.add("New project…", self._ask_name)
        more.add("Open a project or training set…", self._ask_folder)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(6, 0, 4, 0)
        layout.addWidget(QLabel("Project"))
        layout.addWidget(self.combo, 1)
        layout.addWidget(more)
        self._restore()
        self.combo.currentIndexChanged.connect(self._on_index)

    @property
    def project(self) -> Project:
        """The chosen project."""
        return self._shown[max(self.combo.currentIndex(), 0)]

    def refresh(self) -> None:
        """Read the folders again; the choice stays if it is still there."""
        chosen = self.project if self._shown else default_project()
        known = known_projects()
        folders = {project.folder for project in known}
        self._shown = known + [p for p in self._opened if p.folder not in folders]
        with signals_blocked(self.combo):
            self.combo.clear()
            for number, project in enumerate(self._shown):
                self.combo.addItem(project.name)
                tip = plain(str(project.folder))
                self.combo.setItemData(number, tip, Qt.ItemDataRole.ToolTipRole)
            self.combo.setCurrentIndex(self._index_of(chosen))
        self._explain()

    def choose(self, project: Project) -> None:
        """Choose a project, which is added to the list if it is not there."""
        if project not in self._shown:
            self._opened = [project, *self._opened][:MOST_OPENED]
            self.refresh()
        self.combo.setCurrentIndex(self._index_of(project))

    def allow(self, allowed: bool, reason: str = "") -> None:
        """Say whether another project may be chosen now, and if not, why."""
        self.setEnabled(allowed)
        self.setToolTip("" if allowed else reason)

    def make(self, name: str) -> None:
        """Make a project and choose it."""
        try:
            project = new_project(name)
        except InputError as error:
            show_error(str(error))
            return
        self.refresh()
        self.choose(project)

    def open(self, folder: Path) -> None:
        """Open a project's or a training set's folder and choose it."""
        try:
            self.choose(open_project(folder))
        except InputError as error:
            show_error(str(error))

    def _index_of(self, project: Project) -> int:
        folders = [one.folder for one in self._shown]
        return folders.index(project.folder) if project.folder in folders else 0

    def _on_index(self, _index: int) -> None:
        self._explain()
        opened = [str(project.folder) for project in self._opened]
        with suppress(OSError):  # it is not remembered then
            default_project().store({LAST: str(self.project.folder), OPENED: opened})
        self.changed.emit(self.project)

    def _explain(self) -> None:
        self.combo.setToolTip(
            "What belongs to one job: corrections, adapters and settings\n"
            + plain(str(self.project.folder))
        )

    def _ask_name(self) -> None:
        name, accepted = QInputDialog.getText(
            self, "New project", "What is segmented, such as nuclei or lesions:"
        )
        if accepted:
            self.make(name)

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "A project or training set")
        if folder:
            self.open(Path(folder))

    def _restore(self) -> None:
        settings = default_project().settings()
        self._opened = _found(settings.get(OPENED))
        self.refresh()
        for project in _found([settings.get(LAST)]):
            self.combo.setCurrentIndex(self._index_of(project))


def _found(folders: object) -> list[Project]:
    """Those of some remembered folders that are still projects."""
    found: list[Project] = []
    if isinstance(folders, list):
        for folder in folders[:MOST_OPENED]:
            with suppress(InputError, OSError, ValueError, TypeError):
                found.append(open_project(Path(folder)))
    return found
