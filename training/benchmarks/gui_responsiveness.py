"""How long napari's GUI thread is ever busy while our work runs.

    python training/benchmarks/gui_responsiveness.py [--size 512] [--epochs 3]

Opens napari (a virtual screen will do), ticks every 10 ms in the GUI thread, and prints
the gaps between its ticks while idle, at the first Segment (torch is imported), at a
second, and while a Fine-tune trains in its own process.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QPushButton

from napari_samsp.sample_data import nuclei


class Heartbeat:
    """A 10 ms timer that remembers when it ticked."""

    def __init__(self) -> None:
        self.ticks: list[float] = []
        self.timer = QTimer()
        self.timer.timeout.connect(lambda: self.ticks.append(time.perf_counter()))
        self.timer.start(10)

    def report(self, what: str) -> None:
        """Print the gaps since the last report, in milliseconds."""
        gaps = 1000 * np.diff(self.ticks)
        p50, p99 = np.percentile(gaps, (50, 99))
        print(
            f"{what}: {len(gaps)} ticks, median {p50:.0f}, 99 % {p99:.0f}, "
            f"longest {gaps.max():.0f} ms",
            flush=True,
        )
        self.ticks.clear()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="side of the image")
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    os.environ["NAPARI_SAMSP_HOME"] = tempfile.mkdtemp()
    ((image, _, _),) = nuclei()
    repeats = [-(-args.size // side) for side in image.shape[:2]]
    image = np.tile(image, repeats + [1] * (image.ndim - 2))[: args.size, : args.size]

    viewer = napari.Viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-samsp", "SAM-SP")
    viewer.add_image(image, name="image")
    heart = Heartbeat()

    def press(name: str) -> None:
        widget.findChild(QPushButton, name).click()

    def steps():
        yield lambda: QTimer.singleShot(2000, go_on)
        heart.report("idle")
        run = widget.segmenting.run
        run.ended.connect(go_on)
        yield lambda: press("samsp_segment")
        heart.report("first Segment")
        yield lambda: press("samsp_segment")
        heart.report("second Segment")
        run.ended.disconnect(go_on)
        press("samsp_keep")
        widget.finetuning.settings.epochs.setValue(args.epochs)
        widget.finetuning.run_ended.connect(go_on)
        heart.ticks.clear()
        yield lambda: press("samsp_finetune")
        heart.report("Fine-tune")

    running = steps()

    def go_on() -> None:
        try:
            # Not from within the slot that told us of the end.
            QTimer.singleShot(0, next(running, viewer.close))
        except Exception:
            traceback.print_exc()
            sys.exit(1)

    QTimer.singleShot(1000, go_on)
    napari.run()


if __name__ == "__main__":
    main()
