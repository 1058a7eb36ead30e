"""Commands, keys and the adapter reader in a real viewer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from app_model.types import KeyBinding
from napari._app_model import get_app_model
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points, Shapes
from napari.utils.action_manager import action_manager
from napari.utils.key_bindings import coerce_keybinding
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import Qt

from napari_samsp.sam.adapters.adapter import add_lora, save_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.ui.commands import KEYS, opened_widget

pytestmark = pytest.mark.gui


@pytest.fixture
def viewer(make_napari_viewer, npe2pm):
    with npe2pm.tmp_plugin(package="napari-samsp"):
        yield make_napari_viewer()


def test_our_keys_are_not_naparis(viewer):
    taken = {key for keys in default_shortcuts.values() for key in keys}
    taken |= {rule.keybinding for rule in get_app_model().keybindings}
    for keys in action_manager._shortcuts.values():
        taken |= {coerce_keybinding(key) for key in keys}
    for owner in (ViewerModel, Image, Labels, Points, Shapes):
        taken |= {key for key in owner.class_keymap if isinstance(key, KeyBinding)}
    ours = {coerce_keybinding(key) for key in KEYS.values()}
    assert len(ours) == len(KEYS)
    # A key of a layer's and one of a menu's: they are found.
    assert {coerce_keybinding(key) for key in ("Shift-L", "Ctrl-O")} <= taken
    assert not ours & taken


def test_a_command_of_the_palette_opens_the_widget_and_acts(viewer, nuclei):
    image, labels = nuclei
    viewer.add_image(image, name="cells")
    viewer.add_labels(labels, name="mine")
    app = get_app_model()
    app.commands.execute_command("napari-samsp.keep").result(timeout=60)
    (sample,) = opened_widget(viewer).correcting.training_set.samples()
    assert np.array_equal(sample.read()[1], labels)


def test_a_key_reaches_the_widget_from_the_canvas(viewer, qtbot, nuclei):
    image, labels = nuclei
    viewer.add_image(image, name="cells")
    layer = viewer.add_labels(labels, name="mine")
    widget = opened_widget(viewer)
    layer.mode = "paint"
    canvas = viewer.window._qt_viewer.canvas.native
    qtbot.keyClick(canvas, Qt.Key.Key_K, Qt.KeyboardModifier.ShiftModifier)
    assert len(widget.correcting.training_set.samples()) == 1
    assert layer.mode == "paint"


def test_opening_an_adapter_selects_it(viewer, tmp_path: Path):
    loaded = load_sam("samsp_small")
    folder = tmp_path / "tuesday" / "adapter"
    card = AdapterCard("samsp_small", loaded.sha256, 256)
    save_adapter(add_lora(loaded.sam, 2, loaded.name), folder, card)
    for _ in range(2):
        opened_widget(viewer).segmenting.adapter.choose(None)
        assert viewer.open(str(folder / "samsp.json"), plugin="napari-samsp") == []
        assert opened_widget(viewer).segmenting.adapter.adapter.name == "tuesday"
    assert not viewer.layers
