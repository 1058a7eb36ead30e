"""What can be loaded in the worker so that the GUI never waits for it."""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib.util
import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TORCH_LIBRARIES = ("libtorch_global_deps.so", "libtorch_cpu.so", "libtorch_cuda.so")


def load_torch_libraries() -> None:
    """Map torch's large libraries with Python's lock released.

    An import holds the lock while a library is mapped, and a CUDA build of torch has
    gigabytes of them: the GUI would stand still for up to a second. A call through
    ctypes lets go of the lock; the import then finds the libraries there. Without
    effect elsewhere than on Linux, and where torch's layout is another.
    """
    if sys.platform != "linux" or "torch" in sys.modules:
        return
    # Bound deeply for the reason that `napari_samsp.utils.torch_import` tells.
    _map("triton", "_C/libtriton.so", os.RTLD_LOCAL | os.RTLD_DEEPBIND)
    for name in TORCH_LIBRARIES:
        # As torch itself does: the first one makes CUDA's symbols known to all.
        scope = os.RTLD_GLOBAL if "global" in name else os.RTLD_LOCAL
        _map("torch", f"lib/{name}", scope)


@contextmanager
def without_collections() -> Iterator[None]:
    """Import large libraries without Python's garbage collector.

    It would look at their million objects again and again, a quarter of a second each
    time with the GUI waiting. They stay until napari ends: so it is told to leave them
    alone from now on as well. Once only: what is frozen later, such as a widget that
    was closed, would never be freed.
    """
    if "torch" in sys.modules:
        yield
        return
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        # What is frozen would count as leaked when Python ends.
        atexit.register(gc.unfreeze)
        if enabled:
            gc.enable()


def load_units() -> None:
    """Read the table of units that every layer of napari's needs; in the GUI's thread.

    Its first use must not be in two threads at once: an image that was opened while a
    worker made a layer was refused, as *'pixel' is not defined in the unit registry*.
    """
    from napari.utils.transforms import Affine

    Affine(ndim=2)


def load_labels_support() -> None:
    """Import and compute what napari does with its first Labels layer."""
    import numpy as np
    from napari.layers import Labels

    Labels(np.zeros((1, 1), np.uint8))
    # The outline of napari's polygon tool is a line, and the first line of a session
    # has vispy draw all its dashes.
    with suppress(ImportError):
        from vispy.visuals.line.dash_atlas import DashAtlas

        DashAtlas()


def _map(package: str, library: str, scope: int) -> None:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return
    path = Path(spec.origin).parent / library
    if path.is_file():
        dlopen = ctypes.CDLL(None).dlopen
        dlopen.argtypes, dlopen.restype = (
            [ctypes.c_char_p, ctypes.c_int],
            ctypes.c_void_p,
        )
        dlopen(str(path).encode(), os.RTLD_NOW | scope)
