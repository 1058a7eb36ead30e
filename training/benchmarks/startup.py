"""What starting costs: importing the package, and opening the widget in napari.

    python training/benchmarks/startup.py [--rounds 5] [--no-window] [--look 10]

Each measurement is a process of its own; medians and the fastest. The import is beside
Python's own start. The widget is opened in a window that is there already (a virtual
screen will do); *first progress* is from the click on Segment to the first progress bar
in napari's activity dock. *first Segment* is from the click to the end of three rounds
on the sample of nuclei, after ``--look`` seconds at the window; beside it, for
how long the window did not answer, and what the widget said.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

IMPORT = """
import time
begun = time.perf_counter()
{code}
print(1000 * (time.perf_counter() - begun))
"""

WIDGET = """
import os, sys, tempfile, time
os.environ["NAPARI_SAMSP_HOME"] = tempfile.mkdtemp()
import napari
from napari.utils.progress import progress
from qtpy.QtWidgets import QApplication, QPushButton
from napari_samsp.sample_data import nuclei
((image, settings, _),) = nuclei()
viewer = napari.Viewer()
viewer.add_image(image)
QApplication.processEvents()
begun = time.perf_counter()
_, widget = viewer.window.add_plugin_dock_widget("napari-samsp", "SAM-SP")
QApplication.processEvents()
opened = 1000 * (time.perf_counter() - begun)
assert "torch" not in sys.modules
begun = time.perf_counter()
widget.findChild(QPushButton, "samsp_segment").click()
while not progress._all_instances:
    QApplication.processEvents()
    time.sleep(0.001)
print(opened, 1000 * (time.perf_counter() - begun))
sys.stdout.flush()
os._exit(0)
"""

FIRST_SEGMENT = """
import os, sys, tempfile, time
os.environ["NAPARI_SAMSP_HOME"] = tempfile.mkdtemp()
import napari
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QPushButton
from napari_samsp.sample_data import nuclei
((image, settings, _),) = nuclei()
viewer = napari.Viewer()
_, widget = viewer.window.add_plugin_dock_widget("napari-samsp", "SAM-SP")
viewer.add_image(image)
ticks, loop, timer = [], QEventLoop(), QTimer()
timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
timer.start(5)
QTimer.singleShot(round(1000 * {look}), loop.quit)
loop.exec()
looked = len(ticks)
said, begun = [], time.perf_counter()
widget.segmenting.status.connect(said.append)
widget.segmenting.run.ended.connect(loop.quit)
widget.findChild(QPushButton, "samsp_segment").click()
loop.exec()
took = 1000 * (time.perf_counter() - begun)
gap = lambda part: 1000 * max(b - a for a, b in zip(part, part[1:]))
print(took, gap(ticks[:looked]), gap(ticks[looked - 1 :]))
print("said:", *said, sep="\\n  ", file=sys.stderr)
sys.stdout.flush()
os._exit(0)
"""


def milliseconds(code: str) -> list[float]:
    """What a new process prints, numbers."""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    _, told, said = done.stderr.partition("said:")
    print(told + said, end="", file=sys.stderr)
    return [float(word) for word in done.stdout.split()]


def row(name: str, values: list[float]) -> None:
    """Print a line of the table."""
    print(f"| {name} | {statistics.median(values):.1f} | {min(values):.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-window", action="store_true")
    parser.add_argument("--look", type=float, default=10, help="seconds at the window")
    args = parser.parse_args()
    print("| what | median ms | fastest ms |")
    print("|---|---|---|")
    imported = IMPORT.format(code="import napari_samsp")
    row("import napari_samsp", [milliseconds(imported)[0] for _ in range(args.rounds)])
    if args.no_window:
        return
    measured = [milliseconds(WIDGET) for _ in range(args.rounds)]
    opened, shown = zip(*measured, strict=True)
    row("open the widget (no torch)", list(opened))
    row("first progress after Segment", list(shown))
    code = FIRST_SEGMENT.format(look=args.look)
    measured = [milliseconds(code) for _ in range(args.rounds)]
    first, before, gap = zip(*measured, strict=True)
    row(f"first Segment after {args.look:g} s", list(first))
    row("longest gap while looking", list(before))
    row("longest gap while segmenting", list(gap))


if __name__ == "__main__":
    main()
