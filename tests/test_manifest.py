from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest
from qtpy.QtGui import QImage

import napari_samsp
from napari_samsp import sample_data

HEAVY = {"torch", "peft", "segment_anything", "transformers"}


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_distribution("napari-samsp")


def test_every_command_can_be_imported(manifest):
    manifest.validate_imports()


def test_it_offers_widget_samples_and_a_menu_entry(manifest):
    offers = manifest.contributions
    assert [w.display_name for w in offers.widgets] == ["SAM-SP"]
    assert [s.key for s in offers.sample_data] == ["nuclei", "lesion", "particles"]
    assert "napari/layers/segment" in offers.menus
    assert [r.accepts_directories for r in offers.readers] == [False]


def test_the_file_at_the_top_is_the_packages_own():
    top = Path(__file__).parents[1] / "napari.yaml"
    if not top.exists():
        pytest.skip("tested without a checkout")
    real = Path(napari_samsp.__file__).parent / "napari.yaml"
    # Where symbolic links are off, git writes the target's name into a file.
    assert top.read_text() in (real.read_text(), "napari_samsp/napari.yaml")


def test_commands_import_neither_torch_nor_peft(manifest):
    modules = {c.python_name.split(":")[0] for c in manifest.contributions.commands}
    code = "import sys\n"
    code += "".join(f"import {module}\n" for module in sorted(modules))
    code += f"print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("nuclei", (256, 320), np.uint8),
        ("lesion", (256, 256, 3), np.uint8),
        ("particles", (256, 384), np.uint16),
    ],
)
def test_samples_are_images(name, shape, dtype):
    ((data, options, kind),) = getattr(sample_data, name)()
    assert (data.shape, data.dtype, kind) == (shape, dtype, "image")
    assert options["name"] == name
    assert data.min() < data.max()


def test_the_icon_is_a_picture_in_the_package(manifest, qapp):
    package, _, name = manifest.icon.partition(":")
    picture = QImage.fromData(files(package).joinpath(name).read_bytes())
    assert picture.width() == picture.height() > 0
    colours = {picture.pixel(x, y) for x in range(0, 64, 2) for y in range(0, 64, 2)}
    assert len(colours) > 3
