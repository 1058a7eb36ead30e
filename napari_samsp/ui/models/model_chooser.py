"""The drop-down of models, and the download of one that is missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_samsp.sam import registry as models
from napari_samsp.sam.known_files import known_files, remember
from napari_samsp.ui.models.model_download import ModelDownload
from napari_samsp.ui.widgets.described_list import DescribedList
from napari_samsp.ui.widgets.plain_text import plain

if TYPE_CHECKING:
    from napari_samsp.sam.adapters.adapter_card import AdapterCard

OPEN_ENTRY = "Open a checkpoint…"
FILES = "Checkpoints of SAM (*.pth *.pt *.safetensors)"
SMALL_BYTES = 100_000_000


class ModelChooser(QWidget):
    """Lists the models by name and the checkpoint files that were opened.

    The opened list says what each model is for. A model that is not on this computer
    shows its size and, when it is chosen, a button that downloads it; nothing is
    downloaded without that click.

    Signals: ``changed`` (another model is chosen, or the chosen one has arrived) and
    ``status`` (a line for the widget's foot).

    Parameters
    ----------
    parent : QWidget, optional
        The widget that this one is in.
    """

    changed = Signal()
    status = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._last = models.names()[0]
        self.download = ModelDownload(self)
        self.download.progressed.connect(self._on_progress)
        self.download.ended.connect(self._on_ended)
        self.combo = DescribedList()
        self.combo.setObjectName("samsp_model")
        self.download_button = QPushButton()
        self.download_button.setObjectName("samsp_download")
        self.bar = QProgressBar()
        self.bar.setObjectName("samsp_download_bar")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setObjectName("samsp_download_cancel")
        self.cancel_button.setToolTip("What was fetched is kept for the next download")
        self._lay_out()
        self.combo.currentIndexChanged.connect(self._on_index)
        self.combo.activated.connect(self._on_activated)
        self.download_button.clicked.connect(self._start_download)
        self.cancel_button.clicked.connect(self._cancel)
        self.refresh()

    @property
    def model(self) -> str:
        """The chosen model: a name, or the path of a checkpoint file."""
        return str(self.combo.currentData() or self._last)

    @property
    def label(self) -> str:
        """Name of the chosen model, or of its file."""
        return _label(self.model)

    @property
    def is_missing(self) -> bool:
        """Whether it must be downloaded first."""
        return self.model in models.names() and not models.is_available(self.model)

    @property
    def is_small(self) -> bool:
        """Whether it may be loaded before anybody asks for it."""
        known = self.model in models.names()
        return known and models.info(self.model).size_bytes <= SMALL_BYTES

    @property
    def how_to_get(self) -> str:
        """What to do about the chosen one, if it is missing."""
        if self.download.name == self.model:
            return f"{self.model} is on its way: press Segment when it is here."
        return (
            f"{self.model} is not on this computer: press "
            f"{self.download_button.text()}, or choose another model."
        )

    def refresh(self) -> None:
        """List again which models are on this computer; the choice stays."""
        blocked = self.combo.blockSignals(True)
        self.combo.clear()
        for name in models.names():
            about = models.info(name)
            missing = not models.is_available(name)
            size = f"  ↓ {_megabytes(models.download_bytes(name))}" if missing else ""
            state = "To be downloaded" if missing else "On this computer"
            tip = f"{about.description}\n{state}; {about.licence}"
            self.combo.add(f"{name}{size}", name, tip, about.description)
        for file in known_files():
            self.combo.add(_label(file.path), file.path, file.path)
        self.combo.insertSeparator(self.combo.count())
        self.combo.add(OPEN_ENTRY, None, "A .pth, .pt or .safetensors file of a SAM")
        self.combo.setCurrentIndex(max(self.combo.findData(self._last), 0))
        self._last = self.model
        self.combo.blockSignals(blocked)
        self._offer()

    def choose(self, model: str) -> None:
        """Choose a model; a file is remembered and added to the list.

        Parameters
        ----------
        model : str
            A name, or a checkpoint file's path.
        """
        if self.combo.findData(model) < 0:
            model = str(Path(model).absolute())
            try:
                remember(model)
            except OSError as error:
                self.status.emit(f"{model} cannot be remembered: {error}.")
                return
            self.refresh()
        self.combo.setCurrentIndex(max(self.combo.findData(model), 0))

    def choose_base_of(self, card: AdapterCard) -> bool:
        """Choose the model that an adapter was made for.

        Parameters
        ----------
        card : AdapterCard
            Card of the adapter.

        Returns
        -------
        bool
            False if it was a file that was never opened here; nothing changes then.
        """
        base = card.known_base()
        if base is None:
            return False
        self.choose(base)
        return True

    def is_base_of(self, card: AdapterCard) -> bool:
        """Whether an adapter was made for the chosen model.

        Parameters
        ----------
        card : AdapterCard
            Card of the adapter.

        Returns
        -------
        bool
            By name, or for a file by what is known of its hash.
        """
        return card.known_base() == self.model

    def _on_index(self, _index: int) -> None:
        if self.combo.currentData() is None:
            # Not a model; `_on_activated` follows if it was a user's choice.
            return
        self._last = self.model
        self._offer()
        self.changed.emit()

    def _on_activated(self, _index: int) -> None:
        if self.combo.currentData() is not None:
            return
        blocked = self.combo.blockSignals(True)
        self.combo.setCurrentIndex(self.combo.findData(self._last))
        self.combo.blockSignals(blocked)
        file, _ = QFileDialog.getOpenFileName(self, "A checkpoint", "", FILES)
        if file:
            self.choose(file)

    def _start_download(self) -> None:
        if self.is_missing:
            self.bar.setRange(0, 0)
            self.cancel_button.setEnabled(True)
            self.download.start(self.model)
            self._offer()

    def _cancel(self) -> None:
        self.cancel_button.setEnabled(False)
        self.download.stop()

    def _on_progress(self, amount: tuple[int, int]) -> None:
        here, total = amount
        if here:
            # In megabytes: the bytes of the largest model are too many for Qt.
            self.bar.setRange(0, round(total / 1e6))
            self.bar.setValue(round(here / 1e6))
            name = self.download.name
            whose = "" if name == self.model else f"{name}: "
            self.bar.setFormat(f"{whose}{here / 1e6:.0f} of {_megabytes(total)}")

    def _on_ended(self, name: str, reason: str) -> None:
        self.refresh()
        if not reason and name == self.model:
            self.changed.emit()
        self.status.emit(reason or f"{name} is on this computer now.")

    def _offer(self) -> None:
        """Show the download of the chosen model, or the one that is under way."""
        running = self.download.name is not None
        self.download_button.setVisible(self.is_missing and not running)
        self.bar.setVisible(running)
        self.cancel_button.setVisible(running)
        if self.is_missing:
            about = models.info(self.model)
            size = _megabytes(models.download_bytes(self.model))
            self.download_button.setText(f"Download {self.model} ({size})")
            self.download_button.setToolTip(
                plain(f"From {about.url}\nto {models.location(self.model)}")
            )
        self.combo.explain()

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.combo)
        layout.addWidget(self.download_button)
        layout.addLayout(row)


def _label(model: str) -> str:
    return model if model in models.names() else Path(model).name


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
