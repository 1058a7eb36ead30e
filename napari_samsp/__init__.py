"""Prompt-free segmentation with SAM that prompts itself, inside napari.

>>> from napari_samsp import Segmenter
>>> iterations = Segmenter().segment(image)

Importing the package is cheap: torch comes in with the first use of a public name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_samsp.inference.segmenter import Iteration, Segmenter
    from napari_samsp.sam.checkpoints import load_sam

    __version__: str

__all__ = ["Iteration", "Segmenter", "__version__", "load_sam"]

_PUBLIC = {
    "Iteration": "napari_samsp.inference.segmenter",
    "Segmenter": "napari_samsp.inference.segmenter",
    "load_sam": "napari_samsp.sam.checkpoints",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("napari-samsp")
    if name in _PUBLIC:
        from importlib import import_module

        from napari_samsp.utils.torch_import import import_torch

        import_torch()
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
