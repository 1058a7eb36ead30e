"""Where clicks cannot work, and whom they give way to."""

from __future__ import annotations

import numpy as np
from napari.utils.key_bindings import coerce_keybinding

from napari_samsp.ui.commands import KEYS

WORK_MS = 120_000


def test_where_clicks_cannot_work_a_sentence_says_what_to_do(
    viewer, widget, mouse, click, nuclei, said, qtbot
):
    image, truth = nuclei
    cells = viewer.add_image(image, name="cells")
    click("samsp_tool_erase")
    assert "press Segment" in said()
    mouse(cells, (5, 5))
    assert "press Segment" in said()
    layer = viewer.add_labels(truth.copy(), name="mine")
    assert widget.clicking.tools.tool == "erase"
    mouse(layer, (-4, 7))
    assert "outside cells" in said()
    viewer.dims.ndisplay = 3
    mouse(layer, (20, 25))
    assert "2D view" in said()
    viewer.dims.ndisplay = 2
    other = viewer.add_labels(truth[:50].copy(), name="part")
    mouse(other, (20, 25))
    assert "do not belong together" in said()
    viewer.layers.remove(other)
    viewer.layers.remove(layer)
    mouse(cells, (20, 25))
    assert "press Segment" in said()
    assert not widget.clicking.tools.work.running
    pyramid = viewer.add_labels([truth, truth[::2, ::2]], name="p", multiscale=True)
    mouse(pyramid, (20, 25))
    assert "rectangle of a Shapes layer" in said()


def test_while_segment_runs_the_model_is_not_shared(
    viewer, widget, click, mouse, nuclei, said, qtbot, on
):
    image, truth = nuclei
    viewer.add_image(image)
    layer = viewer.add_labels(truth.copy(), name="mine")
    with qtbot.waitSignal(widget.segmenting.run.ended, timeout=WORK_MS):
        click("samsp_segment")
        click("samsp_tool_fix")
        viewer.layers.selection.active = layer
        mouse(layer, on(truth, 1))
        assert said().startswith("Segment is at work: click again")
        assert np.array_equal(layer.data, truth)


def test_napari_s_own_tools_and_other_layers_turn_a_tool_off(
    viewer, widget, click, nuclei, mouse, on
):
    image, truth = nuclei
    cells = viewer.add_image(image)
    layer = viewer.add_labels(truth.copy())
    button = widget.clicking.buttons["erase"]
    click("samsp_tool_erase")
    assert button.isChecked() and layer.cursor == "cross"
    layer.mode = "paint"
    assert not button.isChecked()
    assert coerce_keybinding("Escape") not in layer.keymap
    viewer.keymap[coerce_keybinding(KEYS["samsp_tool_erase"])](viewer)
    assert button.isChecked() and layer.mode == "pan_zoom"
    viewer.layers.selection.active = cells
    assert not button.isChecked()
    mouse(layer, on(truth, 1))
    assert np.array_equal(layer.data, truth)


def test_what_somebody_painted_meanwhile_stays(viewer, widget, mouse, tool, nuclei, on):
    image, truth = nuclei
    viewer.add_image(image)
    widget.segmenting.objects.setChecked(True)
    layer = viewer.add_labels(np.zeros_like(truth))
    tool("add")
    row, column = on(truth, 3)
    made = widget.clicking.tools.work.made
    written = []
    # Before the edit is written, which the tools do in the slot after this one.
    made.disconnect()
    made.connect(lambda *_: layer.data.__setitem__(np.s_[row, column - 3 : column], 9))
    made.connect(widget.clicking.tools._on_made)
    made.connect(written.append)
    mouse(layer, (row, column))
    assert (layer.data[row, column - 3 : column] == 9).all()
    assert (layer.data == 1).sum() > 50


def test_the_tools_go_with_the_widget(viewer, qtbot, nuclei):
    from napari_samsp.ui.widget import SamSpWidget

    widget = SamSpWidget(viewer)
    viewer.add_image(nuclei[0])
    layer = viewer.add_labels(nuclei[1].copy())
    widget.clicking.buttons["erase"].click()
    before = len(viewer.mouse_drag_callbacks)
    with qtbot.waitSignal(widget.destroyed):
        widget.deleteLater()
    assert len(viewer.mouse_drag_callbacks) == before - 1
    assert layer.cursor == "standard" and not layer.keymap
