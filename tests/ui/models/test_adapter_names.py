"""What adapters are called, and that a user may call them otherwise."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path

import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QLineEdit, QStyleOptionComboBox, QToolButton

from napari_samsp.data.projects import default_project
from napari_samsp.sam.adapters.adapter import add_lora, save_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard, read_card
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.ui.models.adapters import read_adapter

LONG = "nuclei of the third plate, those that touch each other, second try"


@pytest.fixture
def adapter() -> Path:
    """One that Fine-tune made this year at 19:40."""
    loaded = load_sam("samsp_small")
    run = f"{datetime.now().year}-11-30_19-40-12"
    folder = default_project().adapters / run / "adapter"
    figures = {"dice": [0.5, 0.8123], "iou": [0.4, 0.7], "n": 5}
    card = AdapterCard(
        "samsp_small", loaded.sha256, 256, images=5, before=figures, after=figures
    )
    save_adapter(add_lora(loaded.sam, 2, loaded.name), folder, card)
    return folder


@pytest.fixture
def other(adapter) -> Path:
    """A copy of it whose folder a person has named."""
    return Path(shutil.copytree(adapter, adapter.parents[1] / "plate 2" / "adapter"))


@pytest.fixture
def rename(widget, qtbot, monkeypatch):
    """Open the menu by a click, choose Rename, type a name and press Return."""
    refused: list[str] = []
    monkeypatch.setattr(
        "napari.utils.notifications.show_error", lambda text: refused.append(text)
    )

    def type_in(name: str) -> list[str]:
        refused.clear()
        button = widget.findChild(QToolButton, "samsp_adapter_menu")

        def choose() -> None:
            QTimer.singleShot(200, answer)
            menu = QApplication.activePopupWidget()
            menu.setActiveAction(menu.actions()[-1])
            qtbot.keyClick(menu, Qt.Key.Key_Return)

        def answer() -> None:
            dialog = QApplication.activeModalWidget()
            try:
                line = dialog.findChild(QLineEdit)
                line.selectAll()
                qtbot.keyClicks(line, name)
                qtbot.keyClick(line, Qt.Key.Key_Return)
            finally:
                dialog.close()

        QTimer.singleShot(200, choose)
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        return list(refused)

    widget.show()
    qtbot.waitExposed(widget)
    return type_in


def shown(widget) -> list[str]:
    combo = widget.segmenting.adapter.combo
    return [combo.itemText(n) for n in range(combo.count())]


def test_a_run_is_called_by_its_images_and_its_time(widget, adapter, other):
    chooser = widget.segmenting.adapter
    chooser.refresh()
    assert shown(widget)[1:] == ["plate 2", "5 images, 30 Nov 19:40"]
    chooser.choose(adapter)
    tip = chooser.combo.toolTip().splitlines()
    assert tip[:2] == ["5 images, 30 Nov 19:40", "Dice 0.81 → 0.81"]
    assert tip[-1] == str(adapter)
    last_year = adapter.parent.with_name("2019-01-02_03-04-05-2")
    adapter.parent.rename(last_year)
    name = read_adapter(last_year).name
    assert name == "5 images, 2 Jan 2019 03:04"


def test_a_name_is_given_and_stays(widget, adapter, other, rename):
    chooser = widget.segmenting.adapter
    chooser.choose(adapter)
    changes = []
    chooser.changed.connect(changes.append)
    assert rename("small nuclei") == []
    assert shown(widget)[1:] == ["plate 2", "small nuclei"]
    assert chooser.adapter.folder == adapter
    assert "small nuclei" in widget.status.text()
    assert changes == []
    moved = shutil.move(adapter, adapter.parents[2] / "elsewhere")
    assert read_adapter(Path(moved)).name == "small nuclei"


def test_a_name_that_is_empty_or_taken_is_refused(widget, adapter, other, rename):
    widget.segmenting.adapter.choose(adapter)
    assert rename("  ") == ["An adapter needs a name."]
    (refused,) = rename("Plate 2")
    assert refused == "There is an adapter Plate 2 already: choose another name."
    assert shown(widget)[1:] == ["plate 2", "5 images, 30 Nov 19:40"]
    assert read_card(adapter).name == ""
    assert rename("5 images, 30 Nov 19:40") == []  # its own is not taken


def test_one_from_elsewhere_is_renamed_too(widget, adapter, tmp_path, rename):
    added = Path(shutil.copytree(adapter, tmp_path / "from a workstation"))
    widget.segmenting.adapter.choose(added)
    assert rename("mine") == []
    assert shown(widget)[1] == "mine"
    assert widget.segmenting.adapter.adapter.folder == added


def test_nothing_but_the_name_is_written(widget, adapter):
    card = json.loads((adapter / "samsp.json").read_text())
    card["of a later version"] = [1]
    (adapter / "samsp.json").write_text(json.dumps(card))
    widget.segmenting.adapter.choose(adapter)
    widget.segmenting.adapter.rename(LONG)
    assert json.loads((adapter / "samsp.json").read_text()) == card | {"name": LONG}


def test_the_next_best_epoch_keeps_the_name(widget, adapter):
    widget.segmenting.adapter.choose(adapter)
    widget.segmenting.adapter.rename(LONG)
    loaded = load_sam("samsp_small")
    card = AdapterCard("samsp_small", loaded.sha256, 256, images=6)
    save_adapter(add_lora(loaded.sam, 2, loaded.name), adapter, card)
    kept = read_card(adapter)
    assert (kept.images, kept.name) == (6, LONG)


def test_a_long_name_is_elided_and_widens_nothing(widget, adapter, qtbot):
    widget.show()
    qtbot.waitExposed(widget)
    width = widget.minimumSizeHint().width()
    chooser = widget.segmenting.adapter
    chooser.choose(adapter)
    option = QStyleOptionComboBox()
    chooser.combo.initStyleOption(option)
    assert option.currentText == "5 images, 30 Nov 19:40"
    chooser.rename(LONG)
    chooser.combo.initStyleOption(option)
    start, _, end = option.currentText.partition("…")
    assert start
    assert end
    assert LONG.startswith(start)
    assert LONG.endswith(end)
    assert chooser.combo.toolTip().startswith(LONG)
    assert widget.minimumSizeHint().width() == width
    view = chooser.combo.view()
    chooser.combo.showPopup()
    qtbot.waitUntil(view.isVisible)
    assert view.width() <= 640
    chooser.combo.hidePopup()
