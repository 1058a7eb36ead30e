"""Widgets on a viewer model: no OpenGL, so any Qt platform will do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QPushButton

from napari_samsp.data.training_sets.classes import LabelClass
from napari_samsp.sam.adapters.adapter import add_lora, save_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard
from napari_samsp.sam.checkpoints import load_sam
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


@pytest.fixture
def class_adapter(tmp_path) -> Callable[..., Path]:
    """Save an adapter that tells leaf (3) and spot (8) apart, and finds something."""

    def saved(objects: bool = False) -> Path:
        classes = LabelClass(3, "leaf", "#00ff00"), LabelClass(8, "spot", "#ff0000")
        loaded = load_sam("samsp_small")
        model = add_lora(loaded.sam, 2, loaded.name, classes=2)
        card = AdapterCard(
            loaded.name, loaded.sha256, 256, classes=classes, objects=objects
        )
        save_adapter(model, tmp_path / "class adapter", card)
        return tmp_path / "class adapter"

    return saved
