"""The commands and the keys of the widget's actions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.utils.key_bindings import coerce_keybinding
from npe2 import PluginManifest
from qtpy.QtWidgets import QPushButton

from napari_samsp.ui import commands as menu
from napari_samsp.ui.commands import KEYS
from napari_samsp.ui.widget import SamSpWidget

# What belongs to the end of a single run, to a part of the form, or is only there for a
# model that is missing.
WITHOUT_COMMAND = {
    "samsp_class_add",
    "samsp_class_remove",
    "samsp_class_rest",
    "samsp_classes",
    "samsp_draw_object_size",
    "samsp_draw_region",
    "samsp_go_back",
    "samsp_separate",
    "samsp_apply_all",
    "samsp_use_anyway",
    "samsp_picture_previous",
    "samsp_picture_next",
    "samsp_resume",
    "samsp_download",
    "samsp_download_cancel",
}


def test_each_button_has_a_command(widget, monkeypatch):
    pressed = []
    monkeypatch.setattr(menu, "opened_widget", lambda viewer: widget)
    monkeypatch.setattr(menu, "press", lambda widget, name: pressed.append(name))
    manifest = PluginManifest.from_distribution("napari-samsp")
    for command in manifest.contributions.commands:
        module, function = command.python_name.split(":")
        if module == menu.__name__ and function != "open_widget":
            getattr(menu, function)(None)
    buttons = {b.objectName() for b in widget.findChildren(QPushButton)}
    ours = {name for name in buttons if name.startswith("samsp_")}
    assert sorted(pressed) == sorted(ours - WITHOUT_COMMAND)


def test_a_key_does_what_its_button_does(viewer, widget, nuclei):
    image, labels = nuclei
    viewer.add_image(image, name="cells")
    viewer.add_labels(labels, name="mine")
    viewer.keymap[coerce_keybinding(KEYS["samsp_keep"])](viewer)
    (sample,) = widget.correcting.training_set.samples()
    assert np.array_equal(sample.read()[1], labels)


def test_what_cannot_be_done_is_said(viewer, widget, monkeypatch):
    said = []
    monkeypatch.setattr(menu, "show_info", said.append)
    viewer.keymap[coerce_keybinding(KEYS["samsp_stop"])](viewer)
    assert said == ["SAM-SP: Stop is not possible now."]


def test_keys_are_on_the_tooltips_and_go_with_the_widget(viewer, qtbot):
    widget = SamSpWidget(viewer)
    for name, text in KEYS.items():
        assert text in widget.findChild(QPushButton, name).toolTip()
    assert {coerce_keybinding(key) for key in KEYS.values()} <= set(viewer.keymap)
    with qtbot.waitSignal(widget.destroyed):
        widget.deleteLater()
    assert not viewer.keymap


def test_the_readme_lists_the_keys():
    readme = Path(__file__).parents[2] / "README.md"
    if not readme.exists():
        pytest.skip("tested without a checkout")
    text = readme.read_text(encoding="utf-8")
    for name, shortcut in KEYS.items():
        assert f"`{shortcut}`" in text, name
