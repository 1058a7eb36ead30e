"""Stop, at whatever moment: nothing is waited for in vain, and nothing is lost."""

from __future__ import annotations

import time

import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from napari_samsp.train.events import EpochEnded, Finished, Stepped
from napari_samsp.utils.paths import runs_folder

AT_ONCE_S = 5
"""Far less than loading the model and judging take; a busy computer may need some."""


@pytest.fixture
def panel(widget, nuclei):
    """One correction, and time for many epochs."""
    widget.correcting.training_set.add(*nuclei, name="a")
    widget.finetuning.refresh()
    widget.finetuning.settings.epochs.setValue(1000)
    return widget.finetuning


@pytest.fixture
def heard(panel) -> list:
    events: list = []
    panel.process.heard.connect(events.append)
    return events


def epochs(heard) -> list[int]:
    return [event.epoch for event in heard if isinstance(event, EpochEnded)]


def test_before_the_first_step_it_ends_at_once_and_changes_nothing(
    widget, panel, click, qtbot, heard
):
    click("samsp_finetune")
    qtbot.waitUntil(lambda: panel.process.pid > 0, timeout=30_000)
    before = len(notification_manager.records)
    begun = time.monotonic()
    with qtbot.waitSignal(panel.run_ended, timeout=120_000):
        click("samsp_stop")
    assert time.monotonic() - begun < AT_ONCE_S
    assert not any(isinstance(event, Stepped) for event in heard)
    assert panel.message.text().endswith("nothing has changed.")
    assert panel.resume_button.isHidden()
    assert widget.segmenting.adapter.adapter is None
    # What a user asked for is no error.
    told = notification_manager.records[before:]
    assert [note.severity.value for note in told] == ["info"]


def test_the_epoch_that_has_begun_is_waited_for_unless_stop_is_pressed_again(
    widget, panel, click, qtbot, heard
):
    click("samsp_finetune")
    qtbot.waitUntil(lambda: bool(epochs(heard)), timeout=300_000)
    with qtbot.waitSignal(panel.run_ended, timeout=120_000):
        click("samsp_stop")
        assert "press Stop again" in widget.status.text()
        click("samsp_stop")
    assert not any(isinstance(event, Finished) for event in heard)
    last = epochs(heard)[-1]
    assert panel.message.text().startswith(
        f"Stopped. What was learnt since epoch {last} is lost. The adapter until then"
    )
    assert not widget.stop_button.isEnabled()
    # What had been learnt until then is there, and goes on.
    click("samsp_resume")
    qtbot.waitUntil(lambda: epochs(heard)[-1] > last, timeout=300_000)
    with qtbot.waitSignal(panel.run_ended, timeout=120_000):
        click("samsp_stop")
    assert isinstance(heard[-1], Finished)
    assert len(list(runs_folder().iterdir())) == 1


def test_a_run_goes_on_only_with_the_corrections_that_it_began_with(
    viewer, widget, panel, click, qtbot, heard, nuclei
):
    click("samsp_finetune")
    qtbot.waitUntil(lambda: bool(epochs(heard)), timeout=300_000)
    with qtbot.waitSignal(panel.run_ended, timeout=120_000):
        click("samsp_stop")
        click("samsp_stop")
    said = panel.message.text()
    viewer.add_image(nuclei[0][:50], name="more")
    viewer.add_labels(np.ascontiguousarray(nuclei[1][:50]))
    click("samsp_keep")
    assert panel.resume_button.isHidden()
    assert panel.message.text().startswith(said)
    assert "press Fine-tune" in panel.message.text()
    click("samsp_remove_correction")
    assert not panel.resume_button.isHidden()
    assert panel.message.text() == said
