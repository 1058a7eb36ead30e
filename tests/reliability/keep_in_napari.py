"""Keeps corrections in a real napari until it is killed.

``python keep_in_napari.py``: a line on standard input is a time in seconds. A child
then opens napari with the widget and an image, and presses *Keep correction* again and
again; that time after the first one it is killed. What the widget says it kept is said
on standard output. The children are forked before there is a window, so that the
imports are done once.
"""

from __future__ import annotations

import os
import signal
import sys
import time

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QPushButton

from napari_samsp.ui.widget import SamSpWidget

SHAPE = (150, 260)
CHANGED = 30_000
"""A corrected correction is labelled so much higher."""


def say(line: str) -> None:
    """In one write, so that no line is cut by the kill."""
    os.write(1, f"{line}\n".encode())


def keep_until_killed(first: int) -> None:
    """Correct and keep: every other time the same image once more."""
    viewer = napari.Viewer()
    widget = SamSpWidget(viewer)
    viewer.window.add_dock_widget(widget, name="SAM-SP")
    image = viewer.add_image(np.full(SHAPE, first, np.uint16), name="cells")
    labels = viewer.add_labels(np.zeros(SHAPE, np.int32), name="mine")
    keep = widget.findChild(QPushButton, "samsp_keep")
    message = widget.findChild(QLabel, "samsp_keep_message")
    turns = iter(range(1000))

    def turn() -> None:
        n = next(turns)
        number = first + n // 2
        image.data = np.full(SHAPE, number, np.uint16)
        number += CHANGED * (n % 2)
        every = np.indices(SHAPE).reshape(2, -1)
        labels.data_setitem(tuple(every), number)
        keep.click()
        expected = "Replaced" if n % 2 else "Kept"
        if not message.text().startswith(expected):
            say(f"failed: {message.text()}")
            os._exit(1)
        say(f"kept {message.text().split()[-1].rstrip('.')} {number}")

    timer = QTimer()
    timer.timeout.connect(turn)
    timer.start(0)
    napari.run()


def main() -> None:
    """Fork a child a line, and kill it."""
    for number, line in enumerate(sys.stdin):
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.dup2(write, 1)
            try:
                keep_until_killed(1 + 1000 * number)
            finally:
                os._exit(1)
        os.close(write)
        with os.fdopen(read, "rb") as said:
            begun = said.readline()  # it stands, and works
            time.sleep(float(line))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.write(1, begun + said.read() + b"killed\n")


if __name__ == "__main__":
    main()
