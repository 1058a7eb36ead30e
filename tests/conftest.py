"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from skimage import draw

from napari_samsp.core.torch_guard import import_torch

# Before any window: see napari_samsp.core.torch_guard.
torch = import_torch()
torch.set_num_threads(2)

settings.register_profile("short", max_examples=25, deadline=None)
settings.load_profile("short")


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch) -> None:
    """No test sees or changes what the user keeps."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("NAPARI_SAMSP_HOME", str(home))
    monkeypatch.delenv("NAPARI_SAMSP_MODELS_URL", raising=False)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real images with masks, which are not part of the project."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("NAPARI_SAMSP_DATA", beside))
    if not folder.is_dir():
        pytest.skip("no real images: set NAPARI_SAMSP_DATA to their folder")
    return folder


@pytest.fixture
def nuclei() -> tuple[np.ndarray, np.ndarray]:
    """A landscape image, (96, 160) uint8, of six bright ellipses, and their labels."""
    rng = np.random.default_rng(0)
    labels = np.zeros((96, 160), np.int32)
    centres = [(20, 25), (24, 75), (18, 130), (70, 30), (66, 90), (72, 138)]
    for number, (y, x) in enumerate(centres, start=1):
        radii = rng.integers(8, 15, 2)
        inside = draw.ellipse(
            y, x, *radii, shape=labels.shape, rotation=rng.uniform(0, np.pi)
        )
        labels[inside] = number
    image = np.where(labels > 0, 170, 30) + rng.normal(0, 8, labels.shape)
    return image.clip(0, 255).astype(np.uint8), labels
