"""What files say is shown as text, however much it looks like HTML."""

from __future__ import annotations

import json

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_samsp.sam.adapters.adapter_card import AdapterCard, write_card
from napari_samsp.ui.readers import get_reader
from napari_samsp.ui.widgets.plain_text import plain, show_error, show_info
from napari_samsp.utils.errors import InputError

IMAGE = '<img src="http://192.0.2.1/x.png">'


@pytest.fixture
def adapter(tmp_path):
    """A folder that is an adapter as far as a chooser looks."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).touch()
    write_card(folder, AdapterCard(IMAGE, "0" * 64, 256, after={"n": IMAGE}))
    return folder


def test_every_label_of_the_widget_is_plain(widget):
    labels = widget.findChildren(QLabel)
    assert len(labels) > 10
    assert {la.textFormat() for la in labels} == {Qt.TextFormat.PlainText}


def test_an_adapters_card_is_no_html(widget, adapter):
    chooser = widget.segmenting.adapter
    chooser.choose(adapter)
    tips = [chooser.combo.toolTip()]
    tips.append(chooser.combo.itemData(1, Qt.ItemDataRole.ToolTipRole))
    for tip in tips:
        assert "img src" in tip
        assert "<" not in tip


def test_paths_are_no_html(widget, nuclei, tmp_path):
    folder = tmp_path / "<b>set"
    widget.correcting.set_folder(folder)
    widget.correcting.training_set.add(*nuclei, name="a")
    widget.correcting.refresh()
    item = widget.correcting.list.topLevelItem(0)
    assert "<" not in item.toolTip(0) + widget.correcting.folder_label.toolTip()
    assert "<b>set" in widget.correcting.folder_label.text()


def test_a_model_file_is_no_html(widget, tmp_path):
    path = tmp_path / "<b>sam.pth"
    path.touch()
    widget.segmenting.model.choose(str(path))
    assert "b>sam.pth" in widget.segmenting.model.combo.toolTip()
    assert "<" not in widget.segmenting.model.combo.toolTip()


@pytest.mark.parametrize("show", [show_error, show_info])
def test_notifications_are_no_html(show):
    show(f"a.tif: {IMAGE}")
    said = notification_manager.records[-1].message
    assert said == f"a.tif: {plain(IMAGE)}"
    assert "<" not in said


def test_a_readers_error_is_no_html(tmp_path):
    folder = tmp_path / "<b>"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    np.save(folder / "images" / "a.npy", np.ones((4, 6)))
    with pytest.raises(InputError) as error:
        get_reader(str(folder))(str(folder))
    assert "b>" in str(error.value)
    assert "<" not in str(error.value)


def test_a_broken_card_is_no_html(tmp_path, adapter):
    card = json.loads((adapter / "samsp.json").read_text())
    (adapter / "samsp.json").write_text(json.dumps(card | {"prompt": IMAGE}))
    with pytest.raises(InputError) as error:
        get_reader(str(adapter))(str(adapter))
    assert "<" not in str(error.value)
