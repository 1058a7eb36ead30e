"""Folders of ours, opened in napari."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import yaml
from napari.components import ViewerModel
from napari.layers import Labels
from skimage import io

from napari_samsp import predict
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.sam.adapters.adapter_card import CARD_FILE
from napari_samsp.ui import readers
from napari_samsp.ui.readers import get_reader
from napari_samsp.utils.errors import InputError


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
    monkeypatch.setattr(readers, "MOST_IMAGES", 2)
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


@pytest.fixture
def results(tmp_path, nuclei):
    """Of a time series with a voxel size, of an RGB image, and of a broken file."""
    source = tmp_path / "source"
    source.mkdir()
    image = nuclei[0]
    tifffile.imwrite(
        source / "movie.ome.tif", np.stack([image, image[::-1]]), ome=True,
        metadata={
            "axes": "TYX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm",
            "PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "µm",
        },
    )  # fmt: skip
    io.imsave(source / "rgb.png", np.stack([image] * 3, -1), check_contrast=False)
    (source / "broken.tif").write_bytes(b"II*\0")
    with pytest.raises(InputError, match="2 of 3"):
        predict.main([
            str(source), "--output", str(tmp_path / "out"), "--all-iterations",
            "--iterations", "2", "--tile", "off", "--input-size", "64",
        ])  # fmt: skip
    return tmp_path / "out"


def test_results_open_with_their_images_and_voxel_sizes(results, open_in):
    viewer = ViewerModel()
    open_in(viewer, results / "manifest.jsonl")
    assert names(viewer) == [
        "movie.ome.tif", "movie.iter0", "movie.iter1", "movie",
        "rgb.png", "rgb.iter0", "rgb.iter1", "rgb",
    ]  # fmt: skip
    movie, labels = viewer.layers["movie.ome.tif"], viewer.layers["movie"]
    assert labels.data.shape == movie.data.shape == (2, 96, 160)
    assert isinstance(labels, Labels)
    for layer in (movie, labels):
        np.testing.assert_allclose(layer.scale, (1, 0.25, 0.5))
        assert str(layer.units[-1]) == "micrometer"
    assert viewer.layers["rgb.png"].rgb
    shown = [la.name for la in viewer.layers if la.visible]
    assert shown == ["movie.ome.tif", "movie"]
    written = tifffile.imread(results / "movie.tif")
    assert np.array_equal(labels.data, written)


def test_results_whose_image_is_gone_are_passed_over(results, open_in):
    (results.parent / "source" / "movie.ome.tif").unlink()
    viewer = ViewerModel()
    open_in(viewer, results / "manifest.jsonl")
    assert names(viewer)[0] == "rgb.png"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "names no image"),
        ("[1]\n{}\n3", "names no image"),
        ('{"name": 3, "status": "done"}', "names no labels"),
        ('{"name": "a", "status": "failed"}', "names no image"),
    ],
)
def test_a_manifest_that_names_nothing_says_so(tmp_path, line, said):
    (tmp_path / "manifest.jsonl").write_text(line)
    with pytest.raises(InputError, match=said):
        get_reader(str(tmp_path / "manifest.jsonl"))(str(tmp_path))


def test_a_manifest_cannot_name_labels_elsewhere(results):
    tifffile.imwrite(results.parent / "secret.tif", np.ones((9, 9), np.int32))
    text = (results / "manifest.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        line["files"] = ["../secret.tif"]
    text = "\n".join(json.dumps(line) for line in lines)
    (results / "manifest.jsonl").write_text(text)
    with pytest.raises(InputError, match="outside"):
        get_reader(str(results / "manifest.jsonl"))(str(results))
