from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication, QPushButton

from napari_samsp.data.rgb import Scaling
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.train.events import EpochEnded, Figures, Finished
from napari_samsp.ui.finetune.trainer_process import Ending
from napari_samsp.utils.paths import corrections_folder, runs_folder


def result(viewer, iteration=-1):
    return [la for la in viewer.layers if la.name.startswith("SAM-SP")][iteration]


def test_segment_correct_finetune_segment(
    viewer, widget, segment, click, finetune, nuclei
):
    image, labels = nuclei
    viewer.add_image(image, name="cells")
    segment()
    layer = result(viewer)
    predicted = layer.data.copy()
    layer.data[:] = labels
    layer.refresh()
    click("samsp_keep")
    stored = widget.correcting.training_set.samples()
    assert [s.name for s in stored] == ["cells"]
    kept_image, kept_labels = stored[0].read()
    assert np.array_equal(kept_image, image)
    assert np.array_equal(kept_labels, labels)
    from napari_samsp.data.image_files import read_labels

    assert np.array_equal(read_labels(stored[0].prediction), predicted)
    assert stored[0].info["layer"] == "cells"
    assert "too few to tell" in widget.finetuning.count.text()

    finetune(epochs=2)
    run = next(runs_folder().iterdir())
    assert (run / "adapter" / "samsp.json").is_file()
    panel = widget.finetuning
    assert len(panel.curves.loss.lines[1]) == 2
    assert "trained on" in panel.figures.heading.text()
    assert panel.figures.table.rowCount() == 2
    if not panel.use_button.isHidden():
        click("samsp_use_anyway")
    chosen = widget.segmenting.adapter.adapter
    assert chosen is not None
    assert chosen.folder == run / "adapter"

    segment()
    about = result(viewer).metadata["samsp"]
    assert about["adapter"] == run.name
    assert chosen.name in widget.status.text()


def test_stopping_a_training_keeps_the_best(viewer, widget, click, qtbot, nuclei):
    widget.correcting.training_set.add(*nuclei, name="a")
    widget.finetuning.refresh()
    panel = widget.finetuning
    panel.settings.epochs.setValue(1000)
    heard = []
    panel.process.heard.connect(heard.append)
    click("samsp_finetune")
    qtbot.waitUntil(
        lambda: any(type(e).__name__ == "EpochEnded" for e in heard), timeout=300_000
    )
    with qtbot.waitSignal(panel.run_ended, timeout=120_000):
        click("samsp_stop")
    assert isinstance(heard[-1], Finished)
    assert heard[-1].reason == "stopped"
    assert (next(runs_folder().iterdir()) / "adapter").is_dir()
    assert not widget.findChild(QPushButton, "samsp_stop").isEnabled()
    assert widget.findChild(QPushButton, "samsp_finetune").isEnabled()


def test_bad_corrections_get_the_trainers_sentence(widget, click, qtbot, nuclei):
    widget.correcting.training_set.add(nuclei[0], np.zeros_like(nuclei[1]), name="a")
    widget.finetuning.refresh()
    with qtbot.waitSignal(widget.finetuning.run_ended, timeout=120_000):
        click("samsp_finetune")
    assert "is empty" in widget.finetuning.message.text()
    assert "Traceback" not in widget.finetuning.message.text()


def test_a_killed_trainer_is_reported(widget, click, qtbot, nuclei):
    widget.correcting.training_set.add(*nuclei, name="a")
    widget.finetuning.refresh()
    process = widget.finetuning.process
    click("samsp_finetune")
    qtbot.waitUntil(lambda: process.pid > 0, timeout=30_000)
    with qtbot.waitSignal(widget.finetuning.run_ended, timeout=60_000):
        os.kill(process.pid, 9)
    assert "was killed" in widget.finetuning.message.text()
    assert widget.findChild(QPushButton, "samsp_finetune").isEnabled()
    # Before the first epoch there is nothing to go on from.
    assert widget.finetuning.resume_button.isHidden()


@pytest.mark.parametrize(
    ("death", "words"), [("SIGKILL", "memory ran out"), ("SIGSEGV", "crashed")]
)
@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals")
def test_a_run_whose_trainer_died_goes_on(widget, click, qtbot, nuclei, death, words):
    widget.correcting.training_set.add(*nuclei, name="a")
    widget.finetuning.refresh()
    panel = widget.finetuning
    panel.settings.epochs.setValue(1000)
    heard = []
    panel.process.heard.connect(heard.append)

    def epochs() -> list[int]:
        return [e.epoch for e in heard if isinstance(e, EpochEnded)]

    click("samsp_finetune")
    qtbot.waitUntil(lambda: bool(epochs()), timeout=300_000)
    with qtbot.waitSignal(panel.run_ended, timeout=60_000):
        os.kill(panel.process.pid, getattr(signal, death))
    message = panel.message.text()
    assert words in message
    assert "The adapter until then is kept" in message
    last = epochs()[-1]
    assert panel.resume_button.text() == f"Continue after epoch {last}"
    click("samsp_resume")
    qtbot.waitUntil(lambda: epochs()[-1] > last, timeout=300_000)
    with qtbot.waitSignal(panel.run_ended, timeout=120_000):
        click("samsp_stop")
    assert epochs() == list(range(1, epochs()[-1] + 1))
    assert isinstance(heard[-1], Finished)
    assert panel.resume_button.isHidden()
    (run,) = runs_folder().iterdir()
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == epochs()


def test_a_worse_adapter_is_used_only_if_the_user_says_so(widget, tmp_path):
    before, after = (
        Figures([0.7, 0.8], [0.6, 0.7], 2),
        Figures([0.7, 0.75], [0.6, 0.7], 2),
    )
    panel = widget.finetuning
    ready = []
    panel.adapter_ready.connect(ready.append)
    finished = Finished(
        "epochs", str(tmp_path), before, after, "validation set", better=False
    )
    panel.process.ended.emit(Ending(finished))
    assert not ready
    assert "not better" in panel.message.text()
    assert (
        panel.figures.heading.text()
        == "Measured on 2 images that it did not learn from:"
    )
    texts = [panel.figures.table.item(1, column).text() for column in range(4)]
    assert texts == ["1", "0.800", "0.750", "-0.050"]
    panel.use_button.click()
    assert ready == [tmp_path]


@pytest.mark.parametrize("judged_by", ["training images", "validation set"])
def test_where_nothing_can_be_told_the_adapter_is_used_and_the_user_is_to_look(
    widget, tmp_path, judged_by
):
    ready = []
    widget.finetuning.adapter_ready.connect(ready.append)
    before, after = Figures([0.5], [0.4], 1), Figures([0.8], [0.7], 1)
    finished = Finished("minutes", str(tmp_path), before, after, judged_by, better=None)
    widget.finetuning.process.ended.emit(Ending(finished))
    assert ready == [tmp_path]
    message = widget.finetuning.message.text()
    assert "cannot tell" in message
    assert "better." not in message
    assert widget.finetuning.use_button.isHidden()


def test_with_objects_the_result_tells_all_that_decided(widget, tmp_path):
    before = Figures([0.94], [0.9], 1, ap50=[0.6])
    after = Figures([0.93], [0.88], 1, ap50=[0.9])
    finished = Finished(
        "epochs", str(tmp_path), before, after, "validation set", better=True
    )
    widget.finetuning.process.ended.emit(Ending(finished))
    message = widget.finetuning.message.text()
    assert "Dice 0.940 → 0.930, AP at 0.5 0.600 → 0.900" in message
    assert "in use" in message


def test_the_figures_of_a_run_come_into_sight(widget, tmp_path, qtbot):
    widget.resize(widget.minimumSizeHint().width(), 300)
    widget.show()
    qtbot.waitExposed(widget)
    figures = Figures([0.7, 0.8], [0.6, 0.7], 2)
    finished = Finished(
        "epochs", str(tmp_path), figures, figures, "validation set", better=False
    )
    panel = widget.finetuning
    panel.process.ended.emit(Ending(finished))
    qtbot.waitUntil(lambda: not panel.use_button.visibleRegion().isEmpty())


def test_keeping_again_replaces(viewer, widget, click, nuclei):
    viewer.add_image(nuclei[0], name="cells")
    layer = viewer.add_labels(nuclei[1].copy(), name="mine")
    click("samsp_keep")
    layer.data[:10, :10] = 9
    click("samsp_keep")
    samples = widget.correcting.training_set.samples()
    assert len(samples) == 1
    assert (samples[0].read()[1][:10, :10] == 9).all()
    assert "Replaced" in widget.correcting.message.text()


def test_a_correction_can_be_opened_removed_and_put_back(viewer, widget, click, nuclei):
    viewer.add_image(nuclei[0], name="cells")
    viewer.add_labels(nuclei[1].copy())
    click("samsp_keep")
    origin = widget.correcting.training_set.samples()[0].info["source"]
    viewer.layers.clear()
    click("samsp_open_correction")
    assert [la.name for la in viewer.layers] == ["cells", "cells correction"]
    assert np.array_equal(viewer.layers[1].data, nuclei[1])
    viewer.layers[0].name = "renamed"
    click("samsp_keep")
    kept = widget.correcting.training_set.samples()
    assert [(s.name, s.info["source"]) for s in kept] == [("cells", origin)]
    click("samsp_remove_correction")
    corrections = widget.correcting.training_set
    assert not corrections.samples()
    assert (corrections.folder / "removed" / "masks" / "cells.tif").is_file()
    click("samsp_undo_correction")
    assert np.array_equal(corrections.samples()[0].read()[1], nuclei[1])


def test_what_was_replaced_can_be_brought_back(viewer, widget, click, nuclei):
    viewer.add_image(nuclei[0], name="cells")
    layer = viewer.add_labels(nuclei[1].copy(), name="mine")
    click("samsp_keep")
    corrections = widget.correcting.training_set
    kept = corrections.samples()[0].mask.read_bytes()
    undo = widget.findChild(QPushButton, "samsp_undo_correction")
    assert not undo.isEnabled()
    layer.data[:10, :10] = 9
    click("samsp_replace_correction")
    click("samsp_remove_correction")
    click("samsp_undo_correction")
    assert (corrections.samples()[0].read()[1][:10, :10] == 9).all()
    click("samsp_undo_correction")
    (sample,) = corrections.samples()
    assert sample.mask.read_bytes() == kept
    assert widget.correcting.message.text() == "cells is as it was before."
    assert not undo.isEnabled()


def test_a_refused_correction_writes_nothing(viewer, widget, click, nuclei):
    viewer.add_image(nuclei[0], name="cells")
    viewer.add_labels(nuclei[1][:40], name="part")
    click("samsp_keep")
    assert "do not belong together" in widget.correcting.message.text()
    assert not corrections_folder().exists()


def test_the_slice_that_was_segmented_is_kept(viewer, widget, segment, click, nuclei):
    stack = np.stack([nuclei[0], nuclei[0][::-1].copy()])
    viewer.add_image(stack, name="stack")
    viewer.dims.set_point(0, 1)
    segment()
    layer = result(viewer)
    layer.data[0, :20, :20] = 5
    viewer.dims.set_point(0, 0)
    click("samsp_keep")
    sample = widget.correcting.training_set.samples()[0]
    kept_image, kept_labels = sample.read()
    assert np.array_equal(kept_image, stack[1])
    assert (kept_labels[:20, :20] == 5).all()
    assert sample.info["slice"] == [1, None, None]


@pytest.mark.parametrize("objects", [False, True])
def test_settings_become_the_trainers_command(widget, tmp_path, objects):
    settings = widget.finetuning.settings
    widget.segmenting.objects.setChecked(objects)
    settings.epochs.setValue(7)
    settings.minutes.setValue(2.5)
    given = (tmp_path, tmp_path / "run", "samsp_small", tmp_path / "a", Scaling("none"))
    made = settings.arguments(*given)
    assert made == [
        str(tmp_path), "--output", str(tmp_path / "run"), "--model", "samsp_small",
        "--threads=-1", "--scaling", "none",
        "--epochs", "7", "--minutes", "2.5", "--speed", "auto",
        "--objects" if objects else "--no-objects",
    ]  # fmt: skip
    settings.continuing.setChecked(True)
    made = settings.arguments(*given)
    assert made[-2:] == ["--adapter", str(tmp_path / "a")]


def test_a_broken_adapter_is_not_offered(widget):
    folder = runs_folder() / "r" / "adapter"
    folder.mkdir(parents=True)
    (folder / "samsp.json").write_text(json.dumps({"base": 3}))
    widget.segmenting.adapter.refresh()
    assert widget.segmenting.adapter.combo.count() == 1


def test_another_window_s_corrections_are_listed_when_one_comes_back(
    viewer, widget, click, nuclei
):
    viewer.add_image(nuclei[0])
    viewer.add_labels(nuclei[1])
    click("samsp_keep")
    other = TrainingSet(widget.correcting.training_set.folder)
    other.add(nuclei[0][:50], nuclei[1][:50], name="from the other")
    assert widget.correcting.list.topLevelItemCount() == 1
    selected = widget.correcting.selected
    widget.show()
    QApplication.sendEvent(widget, QEvent(QEvent.Type.WindowActivate))
    assert widget.correcting.list.topLevelItemCount() == 2
    assert widget.correcting.selected == selected
    assert "2 corrections" in widget.finetuning.count.text()
