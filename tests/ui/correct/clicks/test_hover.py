"""While the pointer rests, what a click there needs is encoded."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from napari.utils.interactions import mouse_move_callbacks
from qtpy.QtWidgets import QSpinBox

WAIT_MS = 60_000


@pytest.fixture
def layer(viewer, widget, nuclei):
    """Four fields of nuclei beside each other, seen in tiles; nothing is labelled."""
    image = np.tile(nuclei[0], (2, 4))[:180]
    viewer.add_image(image, name="cells")
    widget.segmenting.objects.setChecked(True)
    widget.findChild(QSpinBox, "samsp_object_size").setValue(6)
    return viewer.add_labels(np.zeros(image.shape, np.int32), name="mine")


@pytest.fixture
def hover(viewer, mouse):
    """Move the pointer to a pixel."""

    def move(layer, place) -> None:
        position = layer.data_to_world(place)
        mouse_move_callbacks(
            viewer,
            SimpleNamespace(
                type="mouse_move", position=position, pos=np.array(place),
                is_dragging=False, modifiers=(), button=None,
            ),
        )  # fmt: skip

    return move


@pytest.fixture
def encoder(widget):
    return lambda: widget.segmenting.run.workplace.loaded.segmenter.sam.image_encoder


@contextmanager
def encodings(encoder):
    """The encodings that come to their end meanwhile."""
    ended: list[int] = []
    hook = encoder.register_forward_hook(lambda *_: ended.append(1))
    try:
        yield ended
    finally:
        hook.remove()


def test_where_the_pointer_rests_a_click_only_decodes(
    widget, layer, tool, hover, mouse, encoder, nuclei, on, qtbot
):
    tool("add")
    row, column = on(nuclei[1], 2)
    place = (row, column + 3 * nuclei[0].shape[1])
    with encodings(encoder()) as ended:
        hover(layer, (5, 5))
        hover(layer, place)
        assert not widget.clicking.tools.work.running  # it has only just come there
        qtbot.waitUntil(lambda: bool(ended), timeout=WAIT_MS)
        mouse.wait()
        ended.clear()
        mouse(layer, place)
    assert layer.data[place]
    assert not ended


def test_a_tile_that_segment_saw_is_not_encoded_again(
    viewer, widget, layer, segment, tool, hover, mouse, encoder, qtbot
):
    segment()
    result = viewer.layers.selection.active
    with encodings(encoder()) as ended:
        tool("add")
        with qtbot.waitSignal(widget.clicking.tools.work.idle, timeout=WAIT_MS):
            hover(result, (170, 300))
    assert not ended


def test_what_is_encoded_ahead_ends_when_the_pointer_leaves(
    viewer, widget, layer, tool, hover, mouse, encoder, qtbot
):
    tool("add")
    begun, go_on = threading.Event(), threading.Event()

    def wait(*_: object) -> None:
        begun.set()
        go_on.wait(WAIT_MS / 1000)

    viewer.mouse_over_canvas = True
    hook = next(encoder().children()).register_forward_hook(wait)
    with encodings(encoder()) as ended:
        hover(layer, (170, 500))
        qtbot.waitUntil(begun.is_set, timeout=WAIT_MS)
        viewer.mouse_over_canvas = False
        go_on.set()
        mouse.wait()
        hook.remove()
        assert not ended
        hover(layer, (170, 500))
        viewer.mouse_over_canvas = True
        viewer.mouse_over_canvas = False
        qtbot.wait(300)
        assert not ended


def test_a_click_elsewhere_does_not_wait_for_it(
    widget, layer, tool, hover, mouse, encoder, nuclei, on, qtbot
):
    tool("add")
    begun, go_on = threading.Event(), threading.Event()

    def wait(*_: object) -> None:
        if not begun.is_set():
            begun.set()
            go_on.wait(WAIT_MS / 1000)

    hook = next(encoder().children()).register_forward_hook(wait)
    place = on(nuclei[1], 2)
    with encodings(encoder()) as ended:
        hover(layer, (170, 500))
        qtbot.waitUntil(begun.is_set, timeout=WAIT_MS)
        widget.clicking.tools.click(layer.data_to_world(place))
        go_on.set()
        mouse.wait()
        hook.remove()
    assert layer.data[place]
    assert len(ended) == 1  # that of the click


def test_escape_takes_back_a_click_while_something_is_encoded_ahead(
    widget, layer, tool, hover, mouse, nuclei, on, press_key
):
    tool("add")
    place = on(nuclei[1], 2)
    mouse(layer, place)
    assert layer.data[place]
    hover(layer, (170, 500))
    press_key(layer, "Escape")
    assert not layer.data.any()
