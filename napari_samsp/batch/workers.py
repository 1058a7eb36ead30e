"""Who segments the files: this process, several, or a dask.distributed cluster."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    ProcessPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from napari_samsp.batch.segment_file import load, segment_file
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from concurrent.futures import Executor

    from napari_samsp.batch.job import Job, Outcome, Settings

AHEAD = 4
"""Files submitted ahead for each worker, so that none waits for us."""
CONNECT_SECONDS = 20


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_this_process(
    jobs: list[Job], settings: Settings, progress: Callable[[float], None]
) -> Generator[Outcome]:
    """Segment one file after the other.

    Parameters
    ----------
    jobs : list of Job
        Which files, and where their labels go.
    settings : Settings
        How they are segmented and written.
    progress : callable
        Called with the part of the current file that is done, 0 to 1.

    Yields
    ------
    Outcome
        Of each, in order.

    Raises
    ------
    InputError
        If the settings cannot be used.
    """
    load(settings)
    for job in jobs:
        yield segment_file(job, settings, progress)


def in_processes(
    jobs: list[Job], settings: Settings, workers: int
) -> Generator[Outcome]:
    """Segment files in several processes, which share the cores.

    Parameters
    ----------
    jobs : list of Job
        Which files, and where their labels go.
    settings : Settings
        How they are segmented and written.
    workers : int
        How many, from 1 to the number of cores.

    Yields
    ------
    Outcome
        Of each, as it is ready.

    Raises
    ------
    InputError
        If the settings cannot be used, there are not so many cores, or a worker died.
    """
    if not 1 <= workers <= cores():
        raise InputError(
            f"--workers must be from 1 to {cores()}, the number of cores that are free "
            "for this process."
        )
    settings = replace(settings, threads=max(1, cores() // workers))
    with _ending(
        ProcessPoolExecutor(
            min(workers, max(1, len(jobs))),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
        )
    ) as pool:
        work = partial(segment_file, settings=settings)
        try:
            yield from _as_ready(pool, work, jobs, AHEAD * workers)
        except BrokenProcessPool as error:
            raise InputError(
                "A worker died, perhaps for lack of memory: use fewer --workers. What "
                "is done stays done."
            ) from error


def on_cluster(jobs: list[Job], settings: Settings, address: str) -> Generator[Outcome]:
    """Segment files on a dask.distributed cluster.

    Parameters
    ----------
    jobs : list of Job
        The files, by paths that mean the same on every worker.
    settings : Settings
        How they are segmented and written; each worker loads the model once.
    address : str
        Address of the scheduler, such as ``tcp://node1:8786``.

    Yields
    ------
    Outcome
        Of each, as it is ready.

    Raises
    ------
    InputError
        If dask.distributed is not installed, or no scheduler answers, or the settings
        cannot be used.
    """
    try:
        from distributed import Client, KilledWorker, as_completed
        from distributed.comm.core import CommClosedError
    except ImportError as error:
        raise InputError(
            'A cluster needs dask.distributed: pip install "napari-samsp[cluster]".'
        ) from error
    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise InputError(
            f"No scheduler answers at {address}; is it running, and is the address "
            f"right? ({error})"
        ) from error
    # It logs a traceback for a lost connection, where we raise one sentence.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    with client:
        futures = [
            client.submit(_on_worker, job, settings, pure=False, retries=2)
            for job in jobs
        ]
        try:
            for future in as_completed(futures):
                yield future.result()
        except KilledWorker as error:
            raise InputError(
                "Workers of the cluster died again and again, perhaps for lack of "
                "memory. What is done stays done."
            ) from error
        except (CancelledError, CommClosedError) as error:
            raise InputError(
                f"The cluster at {address} went away; start it again. What is done "
                "stays done."
            ) from error
        finally:
            with suppress(CancelledError, CommClosedError):
                client.cancel(futures, force=True)


def _as_ready(
    pool: Executor, work: Callable[[Job], Outcome], jobs: Iterable[Job], ahead: int
) -> Generator[Outcome]:
    """Yield the outcome of every job once, with at most ``ahead`` jobs submitted."""
    waiting = iter(jobs)
    # islice, not zip: zip would draw one job more than it hands out.
    running = {pool.submit(work, job) for job in islice(waiting, ahead)}
    while running:
        ready, running = wait(running, return_when=FIRST_COMPLETED)
        for future in ready:
            yield future.result()
            running |= {pool.submit(work, job) for job in islice(waiting, 1)}


def _on_worker(job: Job, settings: Settings) -> Outcome:
    from distributed import get_worker

    return segment_file(job, replace(settings, threads=get_worker().state.nthreads))


def _begin() -> None:
    # Ctrl-C reaches all processes of a terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed cannot end its workers, which would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _ending(pool: ProcessPoolExecutor) -> Iterator[ProcessPoolExecutor]:
    """End the workers at once if something else ends first."""
    before = set(multiprocessing.active_children())
    try:
        yield pool
    except BaseException:
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    pool.shutdown()
