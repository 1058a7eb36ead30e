"""How intensities are scaled: shown, changed, remembered, handed to the trainer."""

from __future__ import annotations

import numpy as np
import pytest

from napari_samsp.data.rgb import Scaling
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.sam.adapters.adapter import add_lora, save_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard, read_card
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.ui.segment.controls.scaling_control import CONTRAST
from napari_samsp.ui.widget import SamSpWidget
from napari_samsp.utils.paths import runs_folder, widget_file


def choose(control, kind):
    control.kind.setCurrentIndex(control.kind.findData(kind))


@pytest.fixture
def adapter():
    loaded = load_sam("samsp_small")
    folder = runs_folder() / "monday" / "adapter"
    card = AdapterCard(
        "samsp_small", loaded.sha256, 256, scaling=Scaling("limits", 20, 150)
    )
    save_adapter(add_lora(loaded.sam, 2, loaded.name), folder, card)
    return folder


@pytest.fixture
def control(viewer, widget, nuclei):
    viewer.add_image(nuclei[0], name="cells", contrast_limits=(40, 190))
    return widget.segmenting.scaling


def test_one_line_tells_what_is_done(control):
    assert control.text() == "Intensity: 0.5 to 99.8 %"
    choose(control, "limits")
    control.low.setValue(10)
    control.high.setValue(200)
    assert control.text() == "Intensity: 10 to 200"
    choose(control, "none")
    assert control.scaling == Scaling("none")


def test_contrast_limits_follow_the_layer(viewer, control):
    choose(control, CONTRAST)
    assert control.scaling == Scaling("limits", 40, 190)
    viewer.layers["cells"].contrast_limits = (5, 100)
    assert control.scaling == Scaling("limits", 5, 100)
    assert control.low.value() == 5
    assert not control.low.isEnabled()
    other = viewer.add_image(np.eye(9), contrast_limits=(0, 2))
    assert control.scaling == Scaling("limits", 0, 2)
    viewer.layers.remove(other)
    assert control.scaling == Scaling("limits", 5, 100)


@pytest.mark.parametrize("kind", ["limits", "none", "percentile"])
def test_the_model_sees_what_is_chosen(viewer, control, segment, nuclei, kind):
    choose(control, kind)
    if kind == "percentile":
        control.low.setValue(30)
        control.high.setValue(70)
    scaling = control.scaling
    segment()
    expected = Segmenter(scaling=scaling).segment(nuclei[0], 3)[-1].labels
    assert np.array_equal(viewer.layers[-1].data, expected)


def test_limits_the_wrong_way_round_get_a_sentence(viewer, widget, control, click):
    choose(control, "limits")
    control.low.setValue(300)
    assert "not below" in control.note.text()
    click("samsp_segment")
    assert "not below" in widget.status.text()
    assert not widget.segmenting.run.running


def test_an_adapters_scaling_is_shown_and_left_again(widget, control, adapter):
    control.low.setValue(2)
    widget.segmenting.adapter.choose(adapter)
    assert control.scaling == Scaling("limits", 20, 150)
    assert control.note.isHidden()
    control.low.setValue(30)
    assert control.note.text() == "The adapter was trained with 20 to 150."
    widget.segmenting.adapter.choose(None)
    assert control.scaling == Scaling("percentile", 2, 99.8)
    assert control.note.isHidden()


@pytest.mark.parametrize("kind", [CONTRAST, "percentile"])
def test_the_next_session_has_the_same(viewer, widget, control, qtbot, kind):
    choose(control, kind)
    if kind == "percentile":
        control.high.setValue(95)
    control.same.setChecked(False)
    qtbot.waitUntil(widget_file().is_file, timeout=5_000)
    again = SamSpWidget(viewer)
    qtbot.addWidget(again)
    assert again.segmenting.scaling.choice == control.choice
    assert not again.segmenting.scaling.same.isChecked()


def test_an_adapter_is_trained_with_what_is_shown(
    viewer, widget, control, click, segment, finetune, nuclei
):
    choose(control, "limits")
    control.low.setValue(10)
    control.high.setValue(200)
    segment()
    viewer.layers[-1].data[:] = nuclei[1]
    click("samsp_keep")
    finetune(1)
    (folder,) = runs_folder().glob("*/adapter")
    assert read_card(folder).scaling == Scaling("limits", 10, 200)
