"""Trains until it is killed, and resumes: ``train_until_killed.py SET RUN EPOCHS``.

A line on standard input is a number of events and a time in seconds. A child resumes
the run and is killed, that time after so many starts and ends of epochs; an empty line
lets it end. The children are forked, so that torch is imported once.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import torch

from napari_samsp.train.config import TrainConfig
from napari_samsp.train.events import EpochEnded, Event, Started
from napari_samsp.train.loop import train


def main() -> None:
    """Fork a child a line, and kill it."""
    torch.set_num_threads(1)
    training_set, run = map(Path, sys.argv[1:3])
    config = TrainConfig(
        epochs=int(sys.argv[3]), patience=0, views=2, batch=2, rank=1, input_size=64,
        device="cpu", threads=1,
    )  # fmt: skip
    for line in sys.stdin:
        hearing, telling = os.pipe()

        def tell(event: Event, telling: int = telling) -> None:
            if isinstance(event, Started | EpochEnded):
                os.write(telling, b".")

        child = os.fork()
        if not child:
            os.close(hearing)
            train(training_set, run, config, resume=True, report=tell)
            os._exit(0)
        os.close(telling)
        if line.strip():
            events, seconds = line.split()
            for _ in range(int(events)):
                os.read(hearing, 1)
            time.sleep(float(seconds))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        os.close(hearing)
        os.write(1, f"{os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    main()
