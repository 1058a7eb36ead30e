"""What starting costs: importing the package, and opening the widget in napari.

    python training/benchmarks/startup.py [--rounds 5] [--no-window]

Each measurement is a process of its own; medians and the fastest. The import is beside
Python's own start. The widget is opened in a window that is there already (a virtual
screen will do); *first progress* is from the click on Segment to the first progress bar
in napari's activity dock.
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


def milliseconds(code: str) -> list[float]:
    """What a new process prints, numbers."""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    return [float(word) for word in done.stdout.split()]


def row(name: str, values: list[float]) -> None:
    """Print a line of the table."""
    print(f"| {name} | {statistics.median(values):.1f} | {min(values):.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-window", action="store_true")
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


if __name__ == "__main__":
    main()
