"""What can be loaded in the worker so that the GUI never waits for it."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from pathlib import Path

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
    # Bound deeply for the reason that `napari_samsp.core.torch_guard` tells.
    _map("triton", "_C/libtriton.so", os.RTLD_LOCAL | os.RTLD_DEEPBIND)
    for name in TORCH_LIBRARIES:
        # As torch itself does: the first one makes CUDA's symbols known to all.
        scope = os.RTLD_GLOBAL if "global" in name else os.RTLD_LOCAL
        _map("torch", f"lib/{name}", scope)


def load_labels_support() -> None:
    """Import what napari imports with its first Labels layer, such as pandas."""
    import numpy as np
    from napari.layers import Labels

    Labels(np.zeros((1, 1), np.uint8))


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
