"""Milliseconds a click in the widget: from the release to changed labels on screen.

    python training/benchmarks/click_latency.py [--size 512] [--clicks 40]
        [--models samsp_small vit_t vit_b] [--profile FILE]

Opens napari (a virtual screen will do) and clicks with Qt's mouse events, Add at random
places, each taken back: after Segment, and without it where the pointer has rested.
Of vit_t, vit_b and the like the weights are random. Beside the time that passes it
prints the time that this process computed, all threads together, for machines where
other work runs.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QPushButton

from napari_samsp.sample_data import nuclei

WAIT_S = 120
LEFT = Qt.MouseButton.LeftButton


def wait_for(condition, seconds: float = WAIT_S) -> bool:
    """Let Qt work until something is so; False if it took too long."""
    loop, timer, end = QEventLoop(), QTimer(), QTimer()
    timer.timeout.connect(lambda: loop.quit() if condition() else None)
    timer.start(5)
    end.singleShot(round(1000 * seconds), loop.quit)
    if not condition():
        loop.exec()
    return bool(condition())


class Hand:
    """Clicks in a viewer, and sees when the labels have changed there.

    Parameters
    ----------
    viewer : napari.Viewer
        With the widget open.
    widget : SamSpWidget
        That widget.
    """

    def __init__(self, viewer: napari.Viewer, widget) -> None:
        self.viewer, self.widget = viewer, widget
        self.canvas = viewer.window._qt_viewer.canvas
        self.drawn: float | None = None
        self.watched: tuple[np.ndarray, tuple[int, int]] | None = None
        scene = self.canvas._scene_canvas
        scene.events.draw.connect(self._on_draw, position="last")

    def press(self, name: str) -> None:
        """Press a button, and wait for the end of what it does."""
        self.widget.findChild(QPushButton, name).click()
        self.rest()

    def rest(self) -> None:
        """Wait until nothing works."""
        work, run = self.widget.clicking.tools.work, self.widget.segmenting.run
        assert wait_for(lambda: not (work.running or run.running))

    def click(self, layer, place: tuple[int, int]) -> tuple[float, float] | None:
        """Wall and processor seconds of a click; None if nothing was found there."""
        native, at = self.canvas.native, self._at(layer, place)
        QTest.mouseMove(native, at)
        wait_for(lambda: False, 0.3)  # the pointer rests
        self.rest()
        self.watched = layer.data, place
        self.drawn = None
        QTest.mousePress(native, LEFT, pos=at)
        begun, used = time.perf_counter(), time.process_time()
        QTest.mouseRelease(native, LEFT, pos=at)
        work = self.widget.clicking.tools.work
        wait_for(lambda: self.drawn or not (work.running or layer.data[place]))
        used = time.process_time() - used
        if self.drawn is None:
            return None
        took = self.drawn - begun
        self.rest()
        layer.undo()
        wait_for(lambda: False, 0.05)
        return took, used

    def _on_draw(self, _event) -> None:
        if self.watched is not None and self.watched[0][self.watched[1]]:
            self.drawn = self.drawn or time.perf_counter()

    def _at(self, layer, place: tuple[int, int]) -> QPoint:
        camera = self.viewer.scene.camera
        world = np.array(layer.data_to_world(place))
        y, x = (world - camera.center[-2:]) * camera.zoom
        size = self.canvas.native.size()
        return QPoint(round(size.width() / 2 + x), round(size.height() / 2 + y))


def is_random(name: str) -> bool:
    """Whether a name is that of a network of which no weights are here."""
    return name.startswith("vit_")


def checkpoint(name: str, folder: Path) -> str:
    """The model's name, or a file of random weights."""
    if not is_random(name):
        return name
    import torch

    from napari_samsp.sam.architecture import ARCHITECTURES, build_sam

    torch.manual_seed(0)
    path = folder / f"{name}.pt"
    torch.save(build_sam(ARCHITECTURES[name]).state_dict(), path)
    return str(path)


def clicks(hand: Hand, layer, count: int) -> list[tuple[float, float]]:
    """Of so many clicks at free places."""
    rng, found = np.random.default_rng(0), []
    free = np.argwhere(layer.data == 0)
    for place in free[rng.integers(0, len(free), 4 * count)]:
        took = hand.click(layer, tuple(place.tolist()))
        if took is not None:
            found.append(took)
        if len(found) == count:
            break
    return found


def row(model: str, when: str, measured: list[tuple[float, float]]) -> None:
    """Print a line of the table."""
    wall, used = 1000 * np.array(measured).T
    low, high = np.percentile(wall, (50, 95))
    print(
        f"| {model} | {when} | {low:.0f} | {high:.0f} | {np.median(used):.0f} | "
        f"{len(wall)} |",
        flush=True,
    )


def measure(name: str, size: int, count: int, profile: cProfile.Profile | None) -> None:
    """Print the lines of a model."""
    ((image, _, _),) = nuclei()
    repeats = [-(-size // side) for side in image.shape[:2]]
    image = np.tile(image, repeats + [1] * (image.ndim - 2))[:size, :size]
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1280, 800)
    _, widget = viewer.window.add_plugin_dock_widget("napari-samsp", "SAM-SP")
    with tempfile.TemporaryDirectory() as folder:
        widget.segmenting.model.choose(checkpoint(name, Path(folder)))
        trained = not is_random(name)  # random weights see thousands of objects
        widget.segmenting.objects.setChecked(trained)
        viewer.add_image(image, name="image")
        viewer.reset_view()
        hand = Hand(viewer, widget)
        wait_for(lambda: False, 1)
        hand.press("samsp_segment")
        result = viewer.layers.selection.active
        if not trained:
            result.data = np.zeros_like(result.data)
        hand.press("samsp_tool_add")
        with profile or nullcontext():
            measured = clicks(hand, result, count)
        row(name, "Segment", measured)
        hand.press("samsp_tool_add")
        # Other pixels, of which nothing is in the cache.
        viewer.layers.clear()
        viewer.add_image(255 - image, name="negative")
        bare = viewer.add_labels(np.zeros(image.shape[:2], np.int32), name="bare")
        viewer.layers.selection.active = bare
        hand.press("samsp_tool_add")
        row(name, "hover", clicks(hand, bare, count))
    viewer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="side of the image")
    parser.add_argument("--clicks", type=int, default=40)
    parser.add_argument("--models", nargs="+", default=["samsp_small", "vit_t"])
    parser.add_argument("--profile", type=Path, help="of the GUI's thread, to a file")
    args = parser.parse_args()
    os.environ["NAPARI_SAMSP_HOME"] = tempfile.mkdtemp()
    profile = cProfile.Profile() if args.profile else None

    print("| model | encoded by | median ms | 95 % | processor ms | clicks |")
    print("|---|---|---|---|---|---|")
    for name in args.models:
        measure(name, args.size, args.clicks, profile)
    if profile:
        profile.dump_stats(args.profile)
        pstats.Stats(profile).sort_stats("cumulative").print_stats(40)


if __name__ == "__main__":
    main()
