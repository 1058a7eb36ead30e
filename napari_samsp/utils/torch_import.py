"""Import torch into a process that may show a napari window and share its processor.

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


def wait_without_spinning() -> None:
    """Let torch's threads sleep while they wait for each other.

    Without it they turn in a loop instead, and wherever another program takes one of
    the cores the others wait for a thread that cannot run: on two cores with other
    work six times slower. Call this before torch is imported; what the user has set
    stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def import_torch() -> ModuleType:
    """Import torch safely; call this before anything else that imports it.

    Returns
    -------
    module
        ``torch``.
    """
    wait_without_spinning()
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
