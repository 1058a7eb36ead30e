"""Keeps corrections until it is killed; what is done is said on standard output.

``python keep_corrections.py FOLDER``: a line on standard input is a time in seconds. A
child then adds, replaces, removes and puts back until it is killed after that time. The
children are forked, so that each starts in no time.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from napari_samsp.data.training_sets.training_set import TrainingSet


def content(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image, its mask and its prediction that show which belong together."""
    shape = (40 + number % 7, 60 + number % 11)
    return tuple(np.full(shape, number, kind) for kind in (np.uint16, np.int32, int))


def classed(number: int) -> dict:
    """A table that belongs to the content of this number."""
    return {"object_classes": {number: number}}


def say(what: str, name: str, number: int) -> None:
    """In one write, so that no line is cut by the kill."""
    os.write(1, f"{what} {name} {number}\n".encode())


def keep(corrections: TrainingSet, seed: int) -> None:
    """Change the set, and say it once it is on the disk."""
    for n in range(1000):
        number = 1 + (seed * 1000 + n) % 60_000
        if n % 4 == 0:
            say(
                "kept",
                corrections.add(*content(number), **classed(number), name="new").name,
                number,
            )
        elif n % 4 == 3:
            removed = corrections.remove("same")
            say("kept", corrections.put_back(removed).name, 0)
        else:
            same = {"name": "same", "replace": True}
            corrections.add(*content(number), **classed(number), **same)
            say("kept", "same", number)


def main() -> None:
    """Fork a child a line, and kill it."""
    corrections = TrainingSet(Path(sys.argv[1]))
    if not corrections.samples():
        corrections.add(*content(1), **classed(1), name="same")
    for seed, line in enumerate(sys.stdin):
        child = os.fork()
        if not child:
            keep(corrections, seed)
            os._exit(1)
        time.sleep(float(line))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.write(1, b"killed\n")


if __name__ == "__main__":
    main()
