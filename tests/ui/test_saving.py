"""Layers of ours are saved by anyone's writer."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from napari_samsp.ui.result_layers import source_of


@pytest.fixture
def result(viewer, widget, segment, nuclei):
    viewer.add_image(nuclei[0], name="cells")
    widget.segmenting.iterations.setValue(2)
    segment()
    return viewer.layers["SAM-SP 1 · cells"]


@pytest.fixture
def naparis(npe2pm):
    """The writers that come with napari."""
    with npe2pm.tmp_plugin(package="napari"):
        yield


@pytest.mark.usefixtures("naparis")
def test_every_ending_that_napari_offers(result, tmp_path):
    tif, npz = str(tmp_path / "labels.tif"), str(tmp_path / "labels.npz")
    assert result.save(tif, plugin="napari") == [tif]
    assert np.array_equal(tifffile.imread(tif), result.data)
    assert result.save(npz, plugin="napari") == [npz]
    with np.load(npz) as stored:
        assert any(np.array_equal(stored[name], result.data) for name in stored)


@pytest.mark.usefixtures("naparis")
def test_all_layers_into_a_folder(result, viewer, widget, click, tmp_path):
    click("samsp_disagreement")
    written = viewer.layers.save(str(tmp_path / "all"), plugin="napari")
    assert len(written) == len(viewer.layers) == 4


def test_a_writer_can_turn_the_metadata_into_text(result, viewer, widget):
    for layer in viewer.layers:
        _, options, _ = layer.as_layer_data_tuple()
        assert json.loads(json.dumps(options["metadata"])) == layer.metadata


def test_a_copy_still_knows_its_image(result, viewer, widget, click, nuclei):
    viewer.add_image(nuclei[0] // 2, name="other")
    copy = viewer.add_layer(type(result).create(*result.as_layer_data_tuple()))
    assert source_of(copy).prediction is None
    widget.segmenting.image.choose(viewer.layers["other"])
    copy.data[:5] = 3
    widget.correcting.labels.choose(copy)
    click("samsp_keep")
    (sample,) = widget.correcting.training_set.samples()
    assert sample.info["layer"] == "cells"
    assert np.array_equal(sample.read()[0], nuclei[0])
