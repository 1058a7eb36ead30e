from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QFileDialog, QStyleOptionViewItem

from napari_samsp.sam import registry as models
from napari_samsp.sam.adapters.adapter import add_lora, save_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.sam.known_files import known_files
from napari_samsp.ui.models.model_chooser import OPEN_ENTRY, ModelChooser
from napari_samsp.utils.paths import models_folder

DOWNLOAD_MS = 60_000


@pytest.fixture
def chooser(qtbot) -> ModelChooser:
    made = ModelChooser()
    qtbot.addWidget(made)
    return made


@pytest.fixture
def mine(tmp_path) -> str:
    """The bundled model as a file of the user's."""
    return str(shutil.copy(models.path("samsp_small"), tmp_path / "mine.safetensors"))


@pytest.fixture
def open_file(monkeypatch):
    """Choose the entry that opens a file dialog, and answer it."""

    def answer(chooser: ModelChooser, file: str) -> None:
        monkeypatch.setattr(
            QFileDialog, "getOpenFileName", lambda *args, **kwargs: (file, "")
        )
        index = chooser.combo.findText(OPEN_ENTRY)
        chooser.combo.setCurrentIndex(index)
        chooser.combo.activated.emit(index)

    return answer


def entry(chooser: ModelChooser, model: str) -> str:
    return chooser.combo.itemText(chooser.combo.findData(model))


def shown(chooser: ModelChooser) -> tuple[bool, bool, bool]:
    """Whether the download button, the bar and the cancel button are shown."""
    widgets = (chooser.download_button, chooser.bar, chooser.cancel_button)
    return tuple(not widget.isHidden() for widget in widgets)


def test_each_model_says_whether_it_is_here_or_how_large_it_is(chooser) -> None:
    assert chooser.model == "samsp_small"
    assert entry(chooser, "samsp_small") == "samsp_small"
    assert entry(chooser, "vit_b") == "vit_b  ↓ 375 MB"
    assert entry(chooser, "vit_h") == "vit_h  ↓ 2565 MB"
    assert all(chooser.combo.findData(name) >= 0 for name in models.names())
    assert chooser.combo.itemText(chooser.combo.count() - 1) == OPEN_ENTRY
    assert shown(chooser) == (False, False, False)


def test_the_opened_list_says_what_each_model_is_for(chooser, qtbot) -> None:
    chooser.resize(200, 100)
    chooser.show()
    chooser.combo.showPopup()
    view = chooser.combo.view()
    qtbot.waitUntil(view.isVisible)
    option = QStyleOptionViewItem()
    for name in models.names():
        row = chooser.combo.findData(name)
        index = chooser.combo.model().index(row, 0)
        view.itemDelegate().initStyleOption(option, index)
        assert option.text == (
            f"{entry(chooser, name)}  ·  {models.info(name).description}"
        )
        assert view.sizeHintForIndex(index).width() <= view.viewport().width()
    assert chooser.combo.currentText() == "samsp_small"
    chooser.combo.hidePopup()


def test_choosing_a_missing_model_offers_it_and_fetches_nothing(
    chooser, server
) -> None:
    chooser.choose("vit_b")
    assert shown(chooser) == (True, False, False)
    assert chooser.download_button.text() == "Download vit_b (5 MB)"
    assert models.info("vit_b").url in chooser.download_button.toolTip()
    chooser.choose("samsp_small")
    assert shown(chooser) == (False, False, False)
    assert server["requests"] == []


def test_a_click_downloads_it(chooser, server, qtbot) -> None:
    chooser.choose("vit_b")
    with qtbot.waitSignals(
        [chooser.changed, chooser.download.ended], timeout=DOWNLOAD_MS
    ):
        chooser.download_button.click()
        assert shown(chooser) == (False, True, True)
    assert models.path("vit_b").read_bytes() == server["whole"]
    assert entry(chooser, "vit_b") == "vit_b"
    assert chooser.model == "vit_b"
    assert not chooser.is_missing
    assert shown(chooser) == (False, False, False)


def test_progress_is_shown_and_cancel_keeps_the_part(chooser, server, qtbot) -> None:
    server["stall_after"] = 3_000_000
    said = []
    chooser.status.connect(said.append)
    chooser.choose("vit_b")
    chooser.download_button.click()
    qtbot.waitUntil(lambda: chooser.bar.format() == "3 of 5 MB", timeout=60_000)
    assert (chooser.bar.value(), chooser.bar.maximum()) == (3, 5)
    # Another model can be looked at meanwhile; the download stays in sight.
    chooser.choose("vit_b_lm")
    assert shown(chooser) == (False, True, True)
    qtbot.waitUntil(lambda: chooser.bar.format() == "vit_b: 3 of 5 MB")
    with qtbot.waitSignal(chooser.download.ended, timeout=DOWNLOAD_MS):
        chooser.cancel_button.click()
        server["go on"].set()
    assert said[-1].startswith("Cancelled")
    assert shown(chooser) == (True, False, False)
    assert "vit_b_lm" in chooser.download_button.text()
    (part,) = models_folder().iterdir()
    assert part.stat().st_size >= 2_900_000
    del server["stall_after"]
    chooser.choose("vit_b")
    with qtbot.waitSignal(chooser.download.ended, timeout=DOWNLOAD_MS):
        chooser.download_button.click()
    assert server["requests"][-1][1] is not None
    assert models.path("vit_b").read_bytes() == server["whole"]


def test_a_download_that_fails_is_told_and_offered_again(
    chooser, server, qtbot
) -> None:
    server["gone"] = True
    said = []
    chooser.status.connect(said.append)
    chooser.choose("vit_b")
    with qtbot.waitSignal(chooser.download.ended, timeout=DOWNLOAD_MS):
        chooser.download_button.click()
    assert "HTTP 404" in said[-1]
    assert str(models_folder()) in said[-1]
    assert shown(chooser) == (True, False, False)


def test_a_chooser_that_goes_ends_its_download(server, qtbot) -> None:
    server["stall_after"] = 1_000_000
    chooser = ModelChooser()
    chooser.choose("vit_b")
    chooser.download_button.click()
    qtbot.waitUntil(lambda: "1 of 5 MB" in chooser.bar.format(), timeout=60_000)
    with qtbot.waitSignal(chooser.destroyed):
        chooser.deleteLater()
    server["go on"].set()
    pool = QThreadPool.globalInstance()
    qtbot.waitUntil(lambda: pool.activeThreadCount() == 0, timeout=60_000)
    assert [file.suffix for file in models_folder().iterdir()] == [".part"]


def test_a_file_of_the_users_can_be_opened_and_is_remembered(
    chooser, qtbot, open_file, mine
) -> None:
    with qtbot.waitSignal(chooser.changed):
        open_file(chooser, mine)
    assert (chooser.model, chooser.label) == (mine, "mine.safetensors")
    assert not chooser.is_missing
    another = ModelChooser()
    qtbot.addWidget(another)
    assert entry(another, mine) == "mine.safetensors"


def test_a_dialog_without_an_answer_changes_nothing(chooser, qtbot, open_file) -> None:
    chooser.choose("vit_b")
    with qtbot.assertNotEmitted(chooser.changed):
        open_file(chooser, "")
    assert chooser.model == "vit_b"
    assert chooser.combo.currentText() == entry(chooser, "vit_b")


def test_segment_says_how_to_get_a_missing_model(
    viewer, widget, click, server, nuclei
) -> None:
    viewer.add_image(nuclei[0])
    widget.segmenting.model.choose("vit_b")
    click("samsp_segment")
    assert "press Download vit_b (5 MB)" in widget.status.text()
    assert not widget.segmenting.run.running
    assert server["requests"] == []


def test_an_adapter_made_for_a_file_chooses_that_file(
    viewer, widget, segment, mine, tmp_path, nuclei
) -> None:
    loaded = load_sam(mine)
    folder = tmp_path / "adapter-of-mine"
    card = AdapterCard("mine.safetensors", loaded.sha256, 256)
    save_adapter(add_lora(loaded.sam, 2, loaded.name), folder, card)
    panel = widget.segmenting
    panel.adapter.choose(folder)
    assert "made for the file mine.safetensors: open" in widget.status.text()

    viewer.add_image(nuclei[0])
    panel.adapter.choose(None)
    panel.model.choose(mine)
    segment()
    assert viewer.layers[-1].metadata["samsp"]["model"] == "mine.safetensors"
    assert known_files()[0].sha256 == loaded.sha256
    Path(mine).rename(tmp_path / "renamed.safetensors")
    panel.model.choose(str(tmp_path / "renamed.safetensors"))
    segment()

    panel.model.choose("samsp_small")
    panel.adapter.choose(folder)
    assert panel.model.label == "renamed.safetensors"
    segment()
    assert viewer.layers[-1].metadata["samsp"]["adapter"] == "adapter-of-mine"
    panel.model.choose("samsp_small")
    assert panel.adapter.adapter is None
