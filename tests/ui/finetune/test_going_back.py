"""After training: the new adapter is in use, and one click goes back."""

from __future__ import annotations

import numpy as np
from qtpy.QtWidgets import QPushButton

from napari_samsp.sam.adapters.adapter import add_lora, save_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard
from napari_samsp.sam.checkpoints import load_sam


def test_one_click_goes_back_and_another_forth(
    viewer, widget, click, finetune, nuclei, tmp_path
):
    loaded = load_sam("samsp_small")
    card = AdapterCard("samsp_small", loaded.sha256, 256)
    save_adapter(add_lora(loaded.sam, 2, loaded.name), tmp_path / "old", card)
    widget.segmenting.adapter.choose(tmp_path / "old")
    viewer.add_image(nuclei[0][:60, :70], name="cells")
    viewer.add_labels(np.ascontiguousarray(nuclei[1][:60, :70]))
    click("samsp_keep")
    finetune(1)
    new = widget.segmenting.adapter.adapter.folder
    assert new != tmp_path / "old"
    click("samsp_go_back")
    assert widget.segmenting.adapter.adapter.folder == tmp_path / "old"
    back = widget.findChild(QPushButton, "samsp_go_back")
    assert not back.isVisibleTo(widget)
    click("samsp_use_anyway")
    assert widget.segmenting.adapter.adapter.folder == new
    assert back.isVisibleTo(widget)
