"""Labels from and for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from napari.qt.threading import create_worker
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_samsp.ui.placement import labels_placement
from napari_samsp.ui.planes import (
    PlaneReader,
    first_scale,
    shown_plane,
)
from napari_samsp.ui.result_layers import Source, image_to_label, remember_source
from napari_samsp.utils.errors import InputError, in_words
from napari_samsp.utils.file_names import proposed_name

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.ui.planes import Channels
    from napari_samsp.ui.session import Session

FORMATS = {
    "tiff": "Label image (*.tif)",
    "png": "Label image (*.png)",
    "imagej-roi": "ImageJ ROIs (*.zip)",
    "geojson": "QuPath GeoJSON (*.geojson)",
    "coco": "COCO (*.json)",
    "labelme": "labelme (*.json)",
    "yolo": "YOLO segmentation (*.txt)",
}
READABLE = (
    "Labels (*.tif *.tiff *.png *.zip *.roi *.geojson *.json *.txt *.npy);;"
    "All files (*)"
)


class ExchangeRow(QWidget):
    """Writes the labels that are shown for other programs, and reads theirs.

    Signals: ``told`` (a line, and whether it is an error) and ``ended``.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer whose layers are read and written.
    chosen_labels, chosen_image, chosen_channels : callable
        Give the labels to export, the image that labels are of, and which channels of
        it are read.
    """

    told = Signal(str, bool)
    ended = Signal()

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        chosen_labels: Callable[[], Labels | None],
        session: Session,
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._labels, self._session = chosen_labels, session
        self.import_button = QPushButton("Import labels…")
        self.import_button.setObjectName("samsp_import")
        self.import_button.setToolTip(
            "Labels of the chosen image from another program: ImageJ ROIs, GeoJSON,\n"
            "COCO, labelme, YOLO, cellpose's _seg.npy, or a label image"
        )
        self.export_button = QPushButton("Export labels…")
        self.export_button.setObjectName("samsp_export")
        self.export_button.setToolTip(
            "Writes the labels that are shown for another program; of a stack the\n"
            "slice that is shown"
        )
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.import_button)
        layout.addWidget(self.export_button)
        self.import_button.clicked.connect(self._choose_source)
        self.export_button.clicked.connect(self._choose_target)
        self.update_state()

    def update_state(self) -> None:
        """Enable what can be done now."""
        self.import_button.setEnabled(self._session.image is not None)
        self.export_button.setEnabled(self._labels() is not None)

    def export(self, path: Path, form: str) -> None:
        """Write the shown labels in a worker; ``ended`` follows.

        Parameters
        ----------
        path : Path
            The file; one that is there is replaced.
        form : str
            A key of `FORMATS`.
        """
        labels = self._labels()
        if labels is None:
            return
        image = image_to_label(self._viewer, labels, self._session.image)
        name = image.source.path if image is not None and image.source.path else None
        job = _Export(
            PlaneReader.of(labels),
            shown_plane(labels, self._viewer.dims),
            path,
            form,
            Path(name).name if name else f"{(image or labels).name}.tif",
        )
        self._start(job.run, self._on_exported)

    def read(self, path: Path) -> None:
        """Read labels of the chosen image in a worker; ``ended`` follows.

        Parameters
        ----------
        path : Path
            The file.
        """
        image = self._session.image
        if image is None:
            return
        channels = self._session.channels
        plane = shown_plane(image, self._viewer.dims, channels)
        sides = [
            n for n, at in zip(first_scale(image).shape, plane, strict=False)
            if at is None
        ]  # fmt: skip
        job = _Import(path, image.name, (int(sides[0]), int(sides[1])))

        def show(found: object) -> None:
            if isinstance(found, np.ndarray) and image in self._viewer.layers:
                self._add(found, path, image, plane, channels)
            else:
                self.told.emit(str(found), True)
            self.ended.emit()

        self._start(job.run, show)

    def _start(
        self, work: Callable[[], object], then: Callable[[object], None]
    ) -> None:
        worker = create_worker(lambda: (then, work()))
        # A method, which Qt disconnects when the dock was closed meanwhile.
        worker.returned.connect(self._on_returned)
        worker.start()

    def _on_returned(self, result: tuple[Callable[[object], None], object]) -> None:
        then, found = result
        then(found)

    def _on_exported(self, said: object) -> None:
        if isinstance(said, Path):
            self.told.emit(f"Exported as {said}.", False)
        else:
            self.told.emit(str(said), True)
        self.ended.emit()

    def _add(
        self,
        found: np.ndarray,
        path: Path,
        image: Image,
        plane: PlaneIndex,
        channels: Channels | None,
    ) -> None:
        cut = tuple(n for n, at in enumerate(plane) if at is not None)
        layer = Labels(
            np.expand_dims(found, cut),
            name=f"{path.name.split('.')[0]} · {image.name}",
            **labels_placement(image, plane, (), channels),
        )
        remember_source(layer, Source(image.unique_id, plane, channels=channels))
        self._viewer.add_layer(layer)
        count = len(np.unique(found[found > 0]))
        self.told.emit(f"Imported {count:,} objects from {path.name}.", False)

    def _choose_target(self) -> None:
        labels = self._labels()
        if labels is None:
            return
        name = proposed_name(labels.name)
        file, chosen = QFileDialog.getSaveFileName(
            self, "Export labels", f"{name}.tif", ";;".join(FORMATS.values())
        )
        if file:
            form = next((f for f, text in FORMATS.items() if text == chosen), "tiff")
            ending = FORMATS[form].rpartition("*")[2].rstrip(")")
            path = Path(file)
            if not path.name.lower().endswith(ending):
                path = path.with_name(f"{path.stem}{ending}")
            self.export(path, form)

    def _choose_source(self) -> None:
        file, _ = QFileDialog.getOpenFileName(self, "Import labels", "", READABLE)
        if file:
            self.read(Path(file))


@dataclass(frozen=True)
class _Export:
    """Runs in a worker."""

    read: PlaneReader
    plane: PlaneIndex
    path: Path
    form: str
    image: str

    def run(self) -> object:
        from napari_samsp.data.annotations import coco
        from napari_samsp.data.annotations.formats import write

        try:
            labels = np.asarray(self.read(self.plane)).astype(np.int32)
            if self.form == "coco":
                coco.write(self.path, [(self.image, labels)])
            else:
                write(self.path, self.form, labels, self.image)
        except (InputError, OSError) as error:
            return in_words(error)
        return self.path


@dataclass(frozen=True)
class _Import:
    """Runs in a worker."""

    path: Path
    image: str
    shape: tuple[int, int]

    def run(self) -> Any:
        from napari_samsp.data.annotations.formats import format_of, read

        try:
            form = format_of(self.path)
            if form is None:
                raise InputError(f"{self.path.name} holds no labels that can be read.")
            found = dict(read(self.path, form, lambda _: self.shape))
            return self._of_image(found)
        except (InputError, OSError) as error:
            return in_words(error)

    def _of_image(self, found: dict[str, np.ndarray]) -> np.ndarray:
        stem = Path(self.image).stem
        mine = found.get(self.image, found.get(stem))
        if mine is None and len(found) == 1:
            mine = next(iter(found.values()))
        if mine is None:
            raise InputError(
                f"{self.path.name} has labels of {len(found)} images, and none is "
                f"named {self.image}: name the layer as the image is named there."
            )
        if mine.shape != self.shape:
            sides = " x ".join(map(str, mine.shape))
            mine_sides = " x ".join(map(str, self.shape))
            raise InputError(
                f"The labels of {self.path.name} are {sides} pixels, but {self.image} "
                f"is {mine_sides}."
            )
        return mine
