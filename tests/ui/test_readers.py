"""Folders of ours, opened in napari."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from napari.components import ViewerModel

from napari_samsp.core.adapter_card import CARD_FILE
from napari_samsp.core.errors import InputError
from napari_samsp.core.training_set import TrainingSet
from napari_samsp.ui import readers
from napari_samsp.ui.readers import get_reader


@pytest.fixture
def training_set(tmp_path, nuclei) -> TrainingSet:
    made = TrainingSet(tmp_path / "set")
    image, labels = nuclei
    made.add(image, labels, (labels > 0).astype(int), name="b", layer="cells")
    made.add(np.stack([image] * 3, -1), labels, name="a", layer="cells")
    made.add(np.stack([image] * 2, -1), labels, name="c", layer="cells")
    return made


@pytest.fixture
def open_in(npe2pm):
    """Open a path through napari, as a drop onto the window does."""

    def do(viewer: ViewerModel, path) -> None:
        with npe2pm.tmp_plugin(package="napari-samsp"):
            viewer.open(str(path), plugin="napari-samsp")

    return do


def names(viewer) -> list[str]:
    return [layer.name for layer in viewer.layers]


def test_a_training_set_opens_as_layers(training_set, open_in, nuclei):
    viewer = ViewerModel()
    open_in(viewer, training_set.folder / "samples.jsonl")
    assert names(viewer) == [
        "a", "a mask", "b", "b prediction", "b mask", "c", "c [1]", "c mask"
    ]  # fmt: skip
    assert viewer.layers["a"].rgb
    assert np.array_equal(viewer.layers["b mask"].data, nuclei[1])
    assert viewer.layers["b prediction"].data.max() == 1
    assert [la.name for la in viewer.layers if la.visible] == ["a", "a mask"]


def test_a_run_opens_its_training_set(training_set, open_in, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "metrics.jsonl").write_text("")
    config = {"training_set": str(training_set.folder)}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    viewer = ViewerModel()
    open_in(viewer, run / "metrics.jsonl")
    assert "b prediction" in names(viewer)


@pytest.mark.parametrize("config", ["", "{", "a: 1", "training_set: 3"])
def test_a_run_without_its_training_set_says_so(config, tmp_path):
    (tmp_path / "metrics.jsonl").write_text("")
    (tmp_path / "config.yaml").write_text(config)
    with pytest.raises(InputError, match=r"training set|config\.yaml is no valid YAML"):
        get_reader(str(tmp_path))(str(tmp_path))


def test_more_images_than_fit_are_not_opened(training_set, open_in, monkeypatch):
    monkeypatch.setattr(readers, "MOST_SAMPLES", 2)
    viewer = ViewerModel()
    open_in(viewer, training_set.folder / "samples.jsonl")
    assert names(viewer)[-1] == "b mask"


def test_other_folders_and_files_are_refused(tmp_path):
    (tmp_path / "images").mkdir()
    for path in (tmp_path, tmp_path / "images", tmp_path / "no", tmp_path / CARD_FILE):
        assert get_reader(str(path)) is None
    assert get_reader([str(tmp_path)]) is None


def test_a_mask_is_kept_with_its_own_image(training_set, viewer, widget, click, npe2pm):
    training_set.remove("c")
    widget.correcting.set_folder(training_set.folder)
    with npe2pm.tmp_plugin(package="napari-samsp"):
        viewer.open(str(training_set.folder / "samples.jsonl"), plugin="napari-samsp")
    widget.segmenting.image.choose(viewer.layers["a"])
    mask = viewer.layers["b mask"]
    mask.data[:4] = 9
    widget.correcting.labels.choose(mask)
    click("samsp_keep")
    stored = {s.name: s.read() for s in training_set.samples()}
    assert stored.keys() == {"a", "b"}
    assert (stored["b"][1][:4] == 9).all()
    assert not (stored["a"][1] == 9).any()
