"""What napari reads before it imports any of us."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest

from napari_samsp import sample_data


def test_the_manifest_is_valid_and_its_commands_exist():
    manifest = PluginManifest.from_distribution("napari-samsp")
    manifest.validate_imports()
    assert manifest.display_name == "SAM-SP"
    (widget,) = manifest.contributions.widgets
    assert widget.display_name == "SAM-SP"
    assert "napari/layers/segment" in manifest.contributions.menus


def test_the_top_level_manifest_is_the_packages():
    """A symlink, or where git makes none a text file that holds its target."""
    root = Path(__file__).parents[1]
    top = (root / "napari.yaml").read_text()
    assert top.strip() in (
        "napari_samsp/napari.yaml",
        (root / "napari_samsp" / "napari.yaml").read_text().strip(),
    )


def test_discovery_and_the_widgets_module_import_no_torch(tmp_path):
    code = (
        "import sys, npe2;"
        "npe2.PluginManager.instance().discover();"
        "npe2.PluginManager.instance().get_manifest('napari-samsp').validate_imports();"
        "import napari_samsp.ui.widget;"
        "assert not {'torch', 'peft', 'segment_anything'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)


@pytest.mark.parametrize("name", ["nuclei", "lesion", "particles"])
def test_samples_are_images(name):
    ((data, attributes, kind),) = getattr(sample_data, name)()
    assert kind == "image"
    assert attributes["name"]
    assert np.asarray(data).std() > 0
    assert data.shape[0] != data.shape[1] or name == "lesion"
