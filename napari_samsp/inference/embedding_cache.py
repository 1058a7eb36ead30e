"""Image embeddings that were computed once, kept in memory and on disk.

Decoding is quick and encoding is not: another number of iterations, another prompt, or
objects instead of regions need no second encoding. The key is what the model sees, to
the bit, and the model's own weights: there is nothing else to become stale.
"""

from __future__ import annotations

import os
import struct
from collections import OrderedDict
from contextlib import suppress
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from xxhash import xxh3_128

from napari_samsp.utils.atomic_files import write_atomically
from napari_samsp.utils.device import likes_bfloat16
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

SIZE_VARIABLE = "NAPARI_SAMSP_CACHE_MB"
"""Most megabytes on disk; 0 keeps nothing there."""
DISK_MB = 2048
MEMORY_BYTES = 2**28
FORMAT = 1
"""Version of the stored embeddings: raised when the same weights and input give
another one."""


def fingerprint(encoder: nn.Module) -> str:
    """Tell encoders apart by their weights, adapters merged into them included.

    Parameters
    ----------
    encoder : Module
        An image encoder on any device.

    Returns
    -------
    str
        32 hexadecimal digits, others for other numbers, names, kinds of device or
        precision.
    """
    state = encoder.state_dict()
    digest = xxh3_128(f"{FORMAT} {torch.__version__}".encode())
    for name, value in state.items():
        precision = likes_bfloat16(value.device)
        about = f"{name} {tuple(value.shape)} {value.device.type} {precision}"
        digest.update(about.encode())
        digest.update(_bytes(value))
    return digest.hexdigest()


def key(encoder: str, model_input: Tensor) -> str:
    """Make the key under which an embedding is kept.

    Parameters
    ----------
    encoder : str
        From `fingerprint`.
    model_input : Tensor
        ``(3, S, S)`` float32, scaled, resized, normalised and padded.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    digest = xxh3_128(f"{encoder} {tuple(model_input.shape)}".encode())
    digest.update(_bytes(model_input))
    return digest.hexdigest()


class EmbeddingCache:
    """Embeddings in memory and, with a folder, on disk; the oldest make room.

    Any number of threads and processes may use one folder. A file that is broken or
    cannot be read counts as missing, one that cannot be written is left out.

    Parameters
    ----------
    folder : Path, optional
        Made when needed. Nothing else should be in it.
    disk_bytes : int, optional
        Most that the files take. Default: `SIZE_VARIABLE`, or `DISK_MB`.
    memory_bytes : int
        Most that is held in memory.

    Attributes
    ----------
    memory_bytes : int
        How much it keeps in memory at most.

    Raises
    ------
    InputError
        If `SIZE_VARIABLE` is no number.
    """

    def __init__(
        self,
        folder: Path | None = None,
        disk_bytes: int | None = None,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._disk_bytes = _asked_bytes() if disk_bytes is None else disk_bytes
        self._folder = folder if self._disk_bytes > 0 else None
        self.memory_bytes = memory_bytes
        self._held: OrderedDict[str, Tensor] = OrderedDict()
        self._written: int | None = None
        self._lock = Lock()

    def get(self, key: str) -> Tensor | None:
        """The embedding under a key, on the CPU, or None."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
            if self._folder is None:
                return None
            place = self._folder / f"{key}.safetensors"
            found = _read(place)
            if found is not None:
                with suppress(OSError):
                    os.utime(place)
                self._hold(key, found)
            return found

    def put(self, key: str, embedding: Tensor) -> None:
        """Keep an embedding, ``(C, h, w)``, under a key."""
        embedding = embedding.cpu().contiguous().clone()
        with self._lock:
            self._hold(key, embedding)
            if self._folder is None:
                return
            digest = xxh3_128(_bytes(embedding)).hexdigest()
            data = save({"embedding": embedding}, {"xxh3_128": digest})
            with suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True)
                self._make_room(len(data))
                if len(data) <= self._disk_bytes:
                    write_atomically(self._folder / f"{key}.safetensors", data)

    def _hold(self, key: str, embedding: Tensor) -> None:
        self._held[key] = embedding
        self._held.move_to_end(key)
        while sum(held.nbytes for held in self._held.values()) > self.memory_bytes:
            self._held.popitem(last=False)

    def _make_room(self, wanted: int) -> None:
        """Remove the files that were used least recently, until ``wanted`` fits."""
        assert self._folder is not None
        if self._written is not None:
            self._written += wanted
            if self._written <= self._disk_bytes:
                return
        files = []
        for entry in os.scandir(self._folder):
            with suppress(OSError):  # another process removed it
                status = entry.stat()
                files.append((status.st_mtime_ns, status.st_size, entry.path))
        total = sum(size for _, size, _ in files) + wanted
        # More than needed, since this is slow where there are many files.
        aim = self._disk_bytes if total <= self._disk_bytes else self._disk_bytes * 0.9
        for _, size, place in sorted(files):
            if total <= aim:
                break
            with suppress(OSError):
                os.unlink(place)
                total -= size
        self._written = total


class ModelCache:
    """A cache as one model sees it: from what the model sees to its embedding.

    Parameters
    ----------
    cache : EmbeddingCache
        May be shared by models.
    encoder : Module
        Its weights must not change any more.
    """

    def __init__(self, cache: EmbeddingCache, encoder: nn.Module) -> None:
        self._cache, self._encoder = cache, encoder

    @property
    def memory_bytes(self) -> int:
        """Most that the cache holds in memory."""
        return self._cache.memory_bytes

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self._encoder)

    def get(self, model_input: Tensor) -> Tensor | None:
        """The embedding of ``(3, S, S)``, on the CPU, or None."""
        return self._cache.get(key(self._fingerprint, model_input))

    def put(self, model_input: Tensor, embedding: Tensor) -> None:
        """Keep the embedding of ``(3, S, S)``."""
        self._cache.put(key(self._fingerprint, model_input), embedding)


def _read(place: Path) -> Tensor | None:
    try:
        with safe_open(place, framework="pt") as stream:
            embedding: Tensor = stream.get_tensor("embedding")
            written = (stream.metadata() or {}).get("xxh3_128")
    except (OSError, SafetensorError, struct.error, ValueError):
        return None
    return embedding if xxh3_128(_bytes(embedding)).hexdigest() == written else None


def _bytes(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().view(-1)
    return flat.view(torch.uint8).numpy().data


def _asked_bytes() -> int:
    asked = os.environ.get(SIZE_VARIABLE, str(DISK_MB))
    try:
        return int(float(asked) * 2**20)
    except ValueError as error:
        raise InputError(
            f"{SIZE_VARIABLE} must be a number of megabytes, not {asked!r}."
        ) from error
