"""What the widget remembers from session to session."""

from __future__ import annotations

import json

import pytest

from napari_samsp.data.projects import default_project
from napari_samsp.sam.adapters.adapter import add_lora, save_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.ui.settings_store import read_state
from napari_samsp.ui.widget import SamSpWidget
from napari_samsp.utils.paths import runs_folder, widget_file


@pytest.fixture
def adapter():
    loaded = load_sam("samsp_small")
    folder = runs_folder() / "monday" / "adapter"
    card = AdapterCard("samsp_small", loaded.sha256, 256, objects=True)
    save_adapter(add_lora(loaded.sam, 2, loaded.name), folder, card)
    return folder


def again(viewer, qtbot) -> SamSpWidget:
    made = SamSpWidget(viewer)
    qtbot.addWidget(made)
    return made


def shown(widget) -> tuple:
    segmenting = widget.segmenting
    chosen = segmenting.adapter.adapter
    return (
        segmenting.model_name,
        chosen.name if chosen else None,
        segmenting.iterations.value(),
        segmenting.objects.isChecked(),
        segmenting.slices.follow.isChecked(),
        widget.finetuning.settings.minutes.value(),
    )


def test_the_next_widget_is_as_the_last_one_was_left(adapter, viewer, widget, qtbot):
    widget.segmenting.adapter.choose(adapter)
    widget.segmenting.iterations.setValue(5)
    widget.segmenting.objects.setChecked(False)  # the adapter had set it
    widget.segmenting.slices.follow.setChecked(True)
    widget.finetuning.settings.minutes.setValue(12.5)
    qtbot.waitUntil(widget_file().is_file, timeout=5_000)
    expected = ("samsp_small", "monday", 5, False, True, 12.5)
    assert shown(again(viewer, qtbot)) == expected


def test_a_change_just_before_the_end_is_kept(viewer, qtbot):
    widget = SamSpWidget(viewer)
    widget.segmenting.iterations.setValue(4)
    assert not widget_file().exists()
    with qtbot.waitSignal(widget.destroyed):
        widget.deleteLater()
    assert read_state(default_project())["iterations"] == 4


def test_looking_writes_nothing(widget, qtbot):
    qtbot.wait(700)  # longer than the pause before writing
    assert not widget_file().exists()


@pytest.mark.parametrize(
    "content",
    [
        "{", "[]", "null", "\x00", '{"iterations": "many", "minutes": true}',
        '{"model": "gone", "adapter": "/no/such/folder", "objects": 3}',
        '{"adapter": null, "unknown": 1}',
    ],
)  # fmt: skip
def test_a_broken_file_is_the_defaults(content, viewer, widget, qtbot):
    widget_file().parent.mkdir(parents=True, exist_ok=True)
    widget_file().write_text(content)
    assert shown(again(viewer, qtbot)) == shown(widget)


def test_what_is_broken_does_not_spoil_the_rest(viewer, qtbot):
    widget_file().parent.mkdir(parents=True, exist_ok=True)
    widget_file().write_text(json.dumps({"iterations": 2, "minutes": [], "model": 1}))
    assert shown(again(viewer, qtbot))[2] == 2
