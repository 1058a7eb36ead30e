"""The pictures of a run, in the Fine-tune step."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_samsp.data import judged_pictures as judged
from napari_samsp.train.events import Figures, Finished
from napari_samsp.ui.finetune.before_after import FOUND, WANTED
from napari_samsp.ui.finetune.trainer_process import Ending


@pytest.fixture
def run(tmp_path, nuclei):
    """A run that two images judged: nothing was found before, and all after."""
    image, labels = nuclei
    for name in ("a", "b"):
        colours = np.repeat(image[..., None], 3, axis=-1)
        judged.write_image(tmp_path, name, colours, labels)
        judged.write_labels(tmp_path, name, judged.BEFORE, labels * 0)
        judged.write_labels(tmp_path, name, judged.AFTER, labels)
    return tmp_path


def colours_of(picture) -> set[tuple[int, int, int]]:
    image = picture.pixmap().toImage()
    return {
        image.pixelColor(x, y).getRgb()[:3]
        for x in range(image.width())
        for y in range(image.height())
    }


def near(colours, wanted) -> bool:
    distances = np.abs(np.array(sorted(colours)) - np.array(wanted)).max(axis=1)
    return bool(distances.min() < 40)


def test_before_and_after_are_side_by_side(widget, run, qtbot):
    widget.resize(widget.minimumSizeHint().width(), 700)
    widget.show()
    pictures = widget.finetuning.result.pictures
    assert pictures.isHidden()
    figures = Figures([0.7], [0.6], 2)
    finished = Finished(
        "epochs", str(run / "adapter"), figures, figures, "cross-validation",
        better=False,
    )  # fmt: skip
    widget.finetuning.training.run = run
    widget.finetuning.process.ended.emit(Ending(finished))
    qtbot.waitUntil(lambda: not pictures.isHidden(), timeout=60_000)
    qtbot.waitUntil(lambda: pictures.after.width() > 100, timeout=10_000)
    before, after = colours_of(pictures.before), colours_of(pictures.after)
    assert near(before, WANTED) and not near(before, FOUND)
    assert near(after, FOUND)
    assert abs(pictures.before.width() - pictures.after.width()) <= 1
    assert pictures.name.text() == "1 of 2: a"
    widget.findChild(QPushButton, "samsp_picture_next").click()
    assert pictures.name.text() == "2 of 2: b"
    qtbot.mouseClick(pictures.after, Qt.MouseButton.LeftButton)
    assert pictures.large.windowTitle() == "b: before and after"
    pictures.large.close()
    qtbot.waitUntil(lambda: pictures.large is None, timeout=5_000)


def test_a_run_without_pictures_shows_none(widget, tmp_path, qtbot):
    pictures = widget.finetuning.result.pictures
    pictures.show_run(tmp_path)
    qtbot.wait(300)
    assert pictures.isHidden()
