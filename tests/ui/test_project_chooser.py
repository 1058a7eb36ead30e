"""Projects in the widget: each has corrections, adapters and settings of its own."""

from __future__ import annotations

import numpy as np
import pytest

from napari_samsp.data.projects import default_project, new_project
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.sam.adapters.adapter import add_lora, save_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.ui.widget import SamSpWidget


def make_adapter(project, run: str = "monday"):
    loaded = load_sam("samsp_small")
    folder = project.adapters / run / "adapter"
    card = AdapterCard("samsp_small", loaded.sha256, 256, objects=True)
    save_adapter(add_lora(loaded.sam, 2, loaded.name), folder, card)
    return folder


def names(combo) -> list[str]:
    return [combo.itemText(n) for n in range(combo.count())]


def keep(viewer, widget, click, image, labels, name="cells"):
    viewer.add_image(image, name=name)
    viewer.add_labels(labels, name=f"{name} mask")
    click("samsp_keep")


def test_a_new_project_begins_empty_and_the_old_one_comes_back(
    viewer, widget, click, nuclei
):
    adapter = make_adapter(default_project())
    widget.segmenting.adapter.refresh()
    widget.segmenting.adapter.choose(adapter)
    assert widget.segmenting.objects.isChecked()
    keep(viewer, widget, click, *nuclei)

    widget.projects.make("lesions")
    assert widget.correcting.training_set.samples() == []
    assert widget.segmenting.adapter.adapter is None
    assert names(widget.segmenting.adapter.combo) == ["None (base model)"]
    assert "No corrections yet" in widget.finetuning.count.text()
    widget.segmenting.objects.setChecked(False)
    click("samsp_keep")
    project = widget.projects.project
    assert [s.name for s in TrainingSet(project.corrections).samples()] == ["cells"]

    widget.projects.choose(default_project())
    assert widget.segmenting.adapter.adapter.folder == adapter
    assert widget.segmenting.objects.isChecked()
    widget.projects.choose(project)
    assert widget.segmenting.adapter.adapter is None
    assert not widget.segmenting.objects.isChecked()


def test_the_next_session_begins_with_the_last_project(viewer, widget, qtbot, tmp_path):
    TrainingSet(tmp_path / "mine").add(np.eye(9), np.eye(9, dtype=int), name="a")
    widget.projects.make("lesions")
    widget.projects.open(tmp_path / "mine")
    assert names(widget.projects.combo) == ["Default", "lesions", "mine"]
    again = SamSpWidget(viewer)
    qtbot.addWidget(again)
    assert again.projects.project == widget.projects.project
    assert names(again.projects.combo) == ["Default", "lesions", "mine"]
    assert [s.name for s in again.correcting.training_set.samples()] == ["a"]


def test_a_project_that_is_gone_is_not_remembered(viewer, widget, qtbot, tmp_path):
    widget.projects.open(TrainingSet(tmp_path / "a").folder)
    assert widget.projects.project == default_project()
    training_set = TrainingSet(tmp_path / "b")
    training_set.add(np.eye(9), np.eye(9, dtype=int))
    widget.projects.open(training_set.folder)
    training_set.folder.rename(tmp_path / "elsewhere")
    again = SamSpWidget(viewer)
    qtbot.addWidget(again)
    assert again.projects.project == default_project()


def test_a_run_is_written_into_its_project(viewer, widget, click, finetune, nuclei):
    widget.projects.make("nuclei")
    keep(viewer, widget, click, *nuclei)
    finetune(1)
    (run,) = widget.projects.project.adapters.iterdir()
    assert (run / "adapter" / "samsp.json").is_file()
    assert widget.segmenting.adapter.adapter.folder == run / "adapter"
    assert not default_project().adapters.exists()


def test_no_other_project_while_something_runs(viewer, widget, segment, nuclei, qtbot):
    new_project("other")
    viewer.add_image(nuclei[0], name="cells")
    seen = []
    widget.segmenting.run.loaded.connect(
        lambda _: seen.append(widget.projects.isEnabled())
    )
    segment()
    assert seen == [False]
    assert widget.projects.isEnabled()


@pytest.mark.parametrize("colour", [False, True])
def test_pictures_of_another_kind_are_told(viewer, widget, click, nuclei, colour):
    image, labels = nuclei
    keep(viewer, widget, click, image, labels)
    other = np.stack([image[::-1]] * 3, axis=-1) if colour else image[::-1]
    keep(viewer, widget, click, other, labels[::-1], "other")
    said = widget.correcting.message.text()
    assert said.startswith("Kept other.")
    assert ("in colour, the others are gray" in said) == colour
    assert ("New project" in said) == colour
