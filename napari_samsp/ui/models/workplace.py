"""The model in memory; it is loaded in workers only."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_samsp.ui.models.warm_up import (
    load_labels_support,
    load_torch_libraries,
    without_collections,
)
from napari_samsp.utils.cancellation import StoppedError
from napari_samsp.utils.paths import embeddings_folder
from napari_samsp.utils.torch_import import import_torch

if TYPE_CHECKING:
    from pathlib import Path

    from napari_samsp.inference.interactive.clicks import ClickedImage
    from napari_samsp.inference.segmenter import Segmenter

GUI_FIRST_S = 0.3


@dataclass(frozen=True)
class Loaded:
    """A model in memory."""

    segmenter: Segmenter
    key: tuple[Any, ...]


class Workplace:
    """What the runs of a widget share: the model in memory, and how far a run is.

    Attributes
    ----------
    loaded : Loaded or None
        The loaded model, if there is one.
    opened : tuple or None
        The image that was clicked last, after what tells it from others; goes with the
        model that it holds.
    part_of_plane : float
        How much of the plane at hand is done, 0 to 1.
    """

    def __init__(self) -> None:
        self.loaded: Loaded | None = None
        self.opened: tuple[tuple[Any, ...], ClickedImage] | None = None
        self.part_of_plane = 0.0
        self._loading = threading.Lock()

    def load(self, model: str, adapter: Path | None, stop: threading.Event) -> Loaded:
        """Load a model if it is not in memory; in a worker.

        Parameters
        ----------
        model : str
            A base model's name, or a checkpoint's path.
        adapter : Path or None
            An adapter's folder.
        stop : threading.Event
            When set, nothing is begun.

        Raises
        ------
        InputError
            If a file is missing, broken or does not fit.
        StoppedError
            If it was told to stop.
        """
        key = model_key(model, adapter)
        with self._loading:
            if self.loaded is None or self.loaded.key != key:
                # The first progress bar makes Qt load a plugin; the loader has one
                # lock, for which the GUI would wait while torch is mapped.
                if stop.wait(GUI_FIRST_S):
                    raise StoppedError
                self.opened = None
                self.loaded = Loaded(_load(model, adapter), key)
            return self.loaded


def model_key(model: str, adapter: Path | None) -> tuple[Any, ...]:
    """Key of a loaded model; one of an equal key can be used again."""
    if adapter is None:
        return (model,)
    files = sorted(adapter.glob("*.safetensors"))
    return model, adapter, tuple(file.stat().st_mtime_ns for file in files)


def _load(model: str, adapter: Path | None) -> Segmenter:
    # The worker shows every warning to the user, and torch's imports have many.
    with warnings.catch_warnings(), without_collections():
        warnings.simplefilter("ignore")
        load_torch_libraries()
        import_torch()
        load_labels_support()
        from napari_samsp.inference.embedding_cache import EmbeddingCache
        from napari_samsp.inference.segmenter import Segmenter

        cache = EmbeddingCache(embeddings_folder())
        return Segmenter(model=model, adapter=adapter, cache=cache)
