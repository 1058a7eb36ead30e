"""Import torch into a process that may already show a napari window.

On Linux with Mesa's OpenGL, a window maps Mesa's libLLVM with global visibility, and
triton's library, which exports the same symbols, crashes the process when it is loaded
after it. Loading triton first with its own symbols bound deeply avoids that.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType


def import_torch() -> ModuleType:
    """Import torch safely; call this before anything else that imports it.

    Returns
    -------
    module
        ``torch``.
    """
    if _triton_would_clash():
        flags = sys.getdlopenflags()
        sys.setdlopenflags(flags | os.RTLD_DEEPBIND)
        try:
            importlib.import_module("triton._C.libtriton")
        finally:
            sys.setdlopenflags(flags)
    return importlib.import_module("torch")


def _triton_would_clash() -> bool:
    return (
        sys.platform == "linux"
        and "triton" not in sys.modules
        and "torch._dynamo" not in sys.modules
        and "libLLVM" in Path("/proc/self/maps").read_text()
        and importlib.util.find_spec("triton") is not None
    )
