"""What the widget's settings say to the trainer."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_samsp.data.rgb import Scaling
from napari_samsp.train.__main__ import parser
from napari_samsp.train.config import SPEEDS
from napari_samsp.ui.finetune.training_settings import TrainingSettings


@pytest.mark.parametrize("speed", ["auto", *SPEEDS])
def test_each_speed_is_explained_and_reaches_the_command(qtbot, speed):
    settings = TrainingSettings()
    qtbot.addWidget(settings)
    assert settings.speed.currentData() == "auto"
    settings.speed.setCurrentIndex(settings.speed.findData(speed))
    assert settings.speed_line.text() == SPEEDS.get(speed, settings.speed_line.text())
    said = settings.arguments(Path("set"), Path("run"), "samsp_small", None, Scaling())
    assert parser().parse_args(said).speed == speed
