"""A real viewer with the image list, as a user works with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from list_bench import Bench

from napari_samsp.data.image_files import write_image


@pytest.fixture
def folder(tmp_path: Path, nuclei) -> Path:
    """Four images, all different and none square."""
    place = tmp_path / "cells"
    place.mkdir()
    image = nuclei[0]
    for name, pixels in zip(
        "abcd", (image, image[::-1], image[:, ::-1], image[::-1, ::-1]), strict=True
    ):
        write_image(place / f"{name}.tif", np.ascontiguousarray(pixels))
    return place


@pytest.fixture
def bench(make_napari_viewer, npe2pm, qtbot, monkeypatch):
    with npe2pm.tmp_plugin(package="napari-samsp"):
        viewer = make_napari_viewer(show=True)
        _, widget = viewer.window.add_plugin_dock_widget("napari-samsp", "SAM-SP")
    made = Bench(viewer, widget, qtbot, monkeypatch)
    yield made
    made.control.background.close()
    made.wait(lambda: not made.control.background.running)
