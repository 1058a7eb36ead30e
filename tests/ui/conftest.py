"""Widgets on a viewer model: no OpenGL, so any Qt platform will do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QPushButton

from napari_samsp.ui.widget import SamSpWidget

SEGMENT_MS = 120_000
TRAIN_MS = 300_000


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def widget(viewer: ViewerModel, qtbot) -> Iterator[SamSpWidget]:
    made = SamSpWidget(viewer)
    qtbot.addWidget(made)
    yield made
    made.segmenting.run.stop()
    made.finetuning.process.end_now()
    qtbot.waitUntil(lambda: not made.segmenting.run.running, timeout=SEGMENT_MS)


@pytest.fixture
def click(widget: SamSpWidget) -> Callable[[str], None]:
    """Press a button by its object name."""

    def press(name: str) -> None:
        button = widget.findChild(QPushButton, name)
        assert button.isEnabled(), f"{name} is disabled"
        button.click()

    return press


@pytest.fixture
def segment(widget: SamSpWidget, click, qtbot) -> Callable[[], None]:
    """Press Segment and wait for the end."""

    def run() -> None:
        with qtbot.waitSignal(widget.segmenting.run.ended, timeout=SEGMENT_MS):
            click("samsp_segment")

    return run


@pytest.fixture
def finetune(widget: SamSpWidget, click, qtbot) -> Callable[[], None]:
    """Press Fine-tune and wait for the end."""

    def run(epochs: int = 2) -> None:
        widget.finetuning.settings.epochs.setValue(epochs)
        with qtbot.waitSignal(widget.finetuning.run_ended, timeout=TRAIN_MS):
            click("samsp_finetune")

    return run


@pytest.fixture
def portrait(nuclei) -> tuple[np.ndarray, np.ndarray]:
    """The nuclei turned: (160, 96)."""
    image, labels = nuclei
    return np.ascontiguousarray(image.T), np.ascontiguousarray(labels.T)
