"""A mouse on a viewer model; real mouse events are in tests/gui."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)
from napari.utils.key_bindings import coerce_keybinding
from scipy import ndimage

WORK_MS = 120_000


class Mouse:
    """Clicks at pixels of a layer, as the canvas tells the viewer of them."""

    def __init__(self, viewer, widget, qtbot) -> None:
        self.viewer, self.widget, self.qtbot = viewer, widget, qtbot

    def __call__(self, layer, place, button=1, modifiers=(), to=None) -> None:
        position, zoom = layer.data_to_world(place), 3.0
        event = SimpleNamespace(
            type="mouse_press", button=button, modifiers=modifiers, position=position,
            pos=np.array(place[-2:]) * zoom, is_dragging=True,
        )  # fmt: skip
        mouse_press_callbacks(self.viewer, event)
        if to is not None:
            event.type, event.pos = "mouse_move", np.array(to[-2:]) * zoom
            event.position = layer.data_to_world(to)
            mouse_move_callbacks(self.viewer, event)
        event.type = "mouse_release"
        mouse_release_callbacks(self.viewer, event)
        self.wait()

    def wait(self) -> None:
        work = self.widget.clicking.tools.work
        self.qtbot.waitUntil(lambda: not work.running, timeout=WORK_MS)


@pytest.fixture
def mouse(viewer, widget, qtbot):
    made = Mouse(viewer, widget, qtbot)
    yield made
    made.wait()


@pytest.fixture
def tool(widget, click, mouse):
    """Turn a tool on and wait until the image is encoded."""

    def turn_on(name: str) -> None:
        if widget.clicking.tools.tool != name:
            click(f"samsp_tool_{name}")
        mouse.wait()

    return turn_on


@pytest.fixture
def said(widget):
    return lambda: widget.clicking.message.text()


@pytest.fixture
def press_key():
    """Press a key on a layer."""

    def press(layer, key: str) -> None:
        layer.keymap[coerce_keybinding(key)](layer)

    return press


@pytest.fixture
def on():
    """Gives the deepest pixel of an object."""

    def deepest(labels: np.ndarray, label: int) -> tuple[int, int]:
        depth = ndimage.distance_transform_edt(np.pad(labels == label, 1))[1:-1, 1:-1]
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        return int(row), int(column)

    return deepest


@pytest.fixture
def without():
    """Gives labels that lack one."""
    return lambda labels, label: np.where(labels == label, 0, labels)
