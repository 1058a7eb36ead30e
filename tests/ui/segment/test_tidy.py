"""Results of earlier runs: replaced, unless somebody may miss them."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QCheckBox

from napari_samsp.sam.adapters.adapter import add_lora, save_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard
from napari_samsp.sam.checkpoints import load_sam


def names(viewer) -> list[str]:
    return [layer.name for layer in viewer.layers if layer.name != "cells"]


@pytest.fixture
def segmented(viewer, widget, segment, nuclei):
    """Two rounds of a (96, 160) image."""
    viewer.add_image(nuclei[0], name="cells")
    widget.segmenting.iterations.setValue(2)
    segment()
    return viewer.layers[1:]


def test_a_result_of_the_same_kind_is_replaced(viewer, segment, segmented):
    segment()
    assert names(viewer) == ["SAM-SP 0 · cells", "SAM-SP 1 · cells"]
    assert not set(segmented) & set(viewer.layers)
    assert viewer.layers[-1].visible


@pytest.mark.parametrize(
    "change", ["edited", "renamed", "objects", "slice", "unticked"]
)
def test_others_stay(viewer, widget, segment, segmented, change):
    last = segmented[-1]
    if change == "edited":
        last.data_setitem((np.array([0]), np.array([0])), 7)
    elif change == "renamed":
        last.name = "good"
    elif change == "objects":
        widget.segmenting.objects.setChecked(True)
    elif change == "slice":
        last.metadata["samsp"]["slice"] = [3, None, None]
    else:
        widget.findChild(QCheckBox, "samsp_tidy").setChecked(False)
    before = last.data.copy()
    segment()
    assert last in viewer.layers
    assert np.array_equal(last.data, before)
    assert len(names(viewer)) == (3 if change in ("edited", "renamed", "slice") else 4)


def test_what_another_adapter_gave_stays(viewer, widget, segment, segmented, tmp_path):
    loaded = load_sam("samsp_small")
    card = AdapterCard("samsp_small", loaded.sha256, 256)
    save_adapter(add_lora(loaded.sam, 2, loaded.name), tmp_path / "a", card)
    widget.segmenting.adapter.choose(tmp_path / "a")
    segment()
    assert set(segmented) <= set(viewer.layers)
    assert len(names(viewer)) == 4


def test_the_map_of_disagreement_leaves_the_labels_active(
    viewer, widget, click, segmented
):
    click("samsp_disagreement")
    assert viewer.layers[-1].name == "SAM-SP disagreement · cells"
    assert viewer.layers.selection.active is segmented[-1]


def test_an_adapter_comes_back_with_its_model(widget, tmp_path):
    loaded = load_sam("samsp_small")
    card = AdapterCard("samsp_small", loaded.sha256, 256)
    save_adapter(add_lora(loaded.sam, 2, loaded.name), tmp_path / "a", card)
    panel = widget.segmenting
    panel.adapter.choose(tmp_path / "a")
    panel.model.combo.setCurrentIndex(panel.model.combo.findData("vit_b"))
    assert panel.adapter.adapter is None
    panel.model.combo.setCurrentIndex(panel.model.combo.findData("samsp_small"))
    assert panel.adapter.adapter.folder == tmp_path / "a"
    panel.adapter.choose(None)
    panel.model.combo.setCurrentIndex(panel.model.combo.findData("vit_b"))
    panel.model.combo.setCurrentIndex(panel.model.combo.findData("samsp_small"))
    assert panel.adapter.adapter is None
