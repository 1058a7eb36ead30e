"""What a dying widget calls, and that a viewer calls no dead one."""

from __future__ import annotations

import ast
import gc
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QObject, Qt, QThreadPool

from napari_samsp.ui.widget import SamSpWidget
from napari_samsp.ui.widgets.ties import Ties

PACKAGE = Path(find_spec("napari_samsp").submodule_search_locations[0])


def closures_called_at_death(source: str) -> list[int]:
    """Lines that connect ``destroyed`` to anything but a method or a builtin's one.

    A lambda, the name of a local function and what a call returns may all be closures.
    """
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "connect"
        and isinstance(node.func.value, ast.Attribute)
        and node.func.value.attr == "destroyed"
        and not isinstance(node.args[0], ast.Attribute)
    ]


def test_the_search_finds_what_crashed():
    for slot in ("lambda: end()", "forget", "self.watch(None)", "partial(f, 1)"):
        source = f"x = 1\nself.parent.destroyed.connect({slot})"
        assert closures_called_at_death(source) == [2]
    assert not closures_called_at_death("self.destroyed.connect(self._job.stop)")


def test_no_closure_is_called_when_something_is_destroyed():
    files = list((PACKAGE / "ui").rglob("*.py"))
    assert len(files) > 50
    found = {
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in files
        for line in closures_called_at_death(path.read_text(encoding="utf-8"))
    }
    assert found == set()


def test_ties_are_cut_once_when_the_owner_goes(viewer, qtbot):
    owner, heard, cut = QObject(), [], []

    def hear(event) -> None:
        heard.append(event.value)

    ties = Ties(owner)
    ties.connect(viewer.dims.events.ndim, hear)
    ties.add(lambda: cut.append(1))
    viewer.dims.ndim = 3
    assert heard == [3]
    with qtbot.waitSignal(owner.destroyed):
        owner.deleteLater()
    viewer.dims.ndim = 4
    assert heard == [3]
    ties.cut()
    assert cut == [1]


def listeners(viewer, image) -> dict[str, int]:
    emitters = {
        "inserted": viewer.layers.events.inserted,
        "removed": viewer.layers.events.removed,
        "active": viewer.layers.selection.events.active,
        "step": viewer.dims.events.current_step,
        "ndim": viewer.dims.events.ndim,
        "canvas": viewer.events.mouse_over_canvas,
        "contrast": image.events.contrast_limits,
    }
    counts = {name: len(emitter.callbacks) for name, emitter in emitters.items()}
    counts["keys"] = len(viewer.keymap)
    counts["moves"] = len(viewer.mouse_move_callbacks)
    counts["drags"] = len(viewer.mouse_drag_callbacks)
    return counts


@pytest.mark.parametrize("collect_first", [False, True])
def test_docks_come_and_go_and_leave_nothing_behind(
    viewer, nuclei, qtbot, collect_first
):
    image, labels = nuclei
    cells = viewer.add_image(np.stack([image, image // 2]), name="cells")
    viewer.add_labels(np.stack([labels, labels]), name="mask")
    before = listeners(viewer, cells)
    for _ in range(4):
        dock = SamSpWidget(viewer)
        dock.show()
        dock.clicking.tools.switch("find")
        assert listeners(viewer, cells) != before
        if collect_first:
            gc.collect()
        with qtbot.waitSignal(dock.destroyed):
            dock.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dock.close()
        assert listeners(viewer, cells) == before
        del dock
        gc.collect()
        # What a dead dock would hear.
        viewer.dims.set_point(0, 1)
        viewer.dims.set_point(0, 0)
        cells.contrast_limits = (0, 100)
        viewer.layers.selection.active = cells
    assert QThreadPool.globalInstance().waitForDone(60_000)  # the model is loaded
