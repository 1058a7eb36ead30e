"""cellpose's ``_seg.npy``: a pickle, of which nothing but arrays is ever made."""

from __future__ import annotations

import pickle
import re
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.lib import format as npy

from napari_samsp.data.formats.size_limit import check_size
from napari_samsp.data.image_files import unreadable
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOST_BYTES = 8_000_000_000
_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_KIND = re.compile(r"[?biufcSUO]\d{0,4}")


def read(path: Path) -> np.ndarray:
    """Read the masks of cellpose's ``_seg.npy``.

    Parameters
    ----------
    path : Path
        ``NAME_seg.npy``, or an array of labels saved with `numpy.save`.

    Returns
    -------
    numpy.ndarray
        ``(Y, X)`` or ``(Z, Y, X)``, as stored.

    Raises
    ------
    InputError
        If it holds anything but arrays, numbers and text, or no masks.
    """
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} is too large for the masks of an image.")
    try:
        content = _content(path)
    except InputError:
        raise
    except Exception as error:  # pickle raises many kinds
        raise unreadable(path, error, "a _seg.npy of cellpose") from error
    masks = content.get("masks") if isinstance(content, dict) else content
    if not isinstance(masks, np.ndarray) or masks.dtype.kind not in "biu":
        raise InputError(
            f"{path} holds no masks: open it in cellpose and save them as PNG or TIFF."
        )
    check_size(path, masks.shape)
    return masks


def _content(path: Path) -> Any:
    with path.open("rb") as file:
        version = npy.read_magic(file)
        if version == (1, 0):
            shape, _, dtype = npy.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, _, dtype = npy.read_array_header_2_0(file)
        else:
            raise InputError(f"{path} is of a version of .npy that is not read.")
        if not dtype.hasobject:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        # cellpose saves a dict, which numpy holds as an array without axes.
        found = _Unpickler(file, path).load()
    if isinstance(found, _Array) and shape == () and isinstance(found.data, list):
        (content,) = found.data
        if isinstance(content, dict):
            return {k: v.numbers() for k, v in content.items() if isinstance(v, _Array)}
    raise InputError(f"{path} was not saved by cellpose.")


class _Unpickler(pickle.Unpickler):
    """Makes stand-ins for arrays; whatever else a pickle names is refused."""

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file)
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        """Give a harmless stand-in for each name that arrays need."""
        allowed: dict[tuple[str, str], Any] = {
            ("numpy", "ndarray"): "ndarray",
            ("numpy", "dtype"): _DType,
            ("_codecs", "encode"): _nothing,
        }
        for known in _MODULES:
            allowed[known, "_reconstruct"] = _Array
            allowed[known, "scalar"] = _nothing
        found: Callable[..., Any] | str | None = allowed.get((module, name))
        if found is None:
            raise InputError(
                f"{self._path} would run {module}.{name} when it is opened, which "
                "masks do not need: open it in cellpose and save them as PNG or TIFF."
            )
        return found


class _DType:
    """Stands in for a dtype, whose own state could describe what is not there."""

    def __init__(self, kind: object, *_: object) -> None:
        if not isinstance(kind, str) or not _KIND.fullmatch(kind):
            raise ValueError("it holds an unknown kind of number")
        self.dtype = np.dtype(kind)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, *rest = state
        if any(part is not None for part in rest[:3]):
            raise ValueError("it holds records")
        if order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """Stands in for an array until all of it is read."""

    def __init__(self, *_: object) -> None:
        self.shape: tuple[int, ...] = (0,)
        self.data: Any = b""
        self.dtype = np.dtype(np.int8)
        self.order: Literal["C", "F"] = "C"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, kind, fortran, self.data = state
        self.dtype = kind.dtype
        self.order = "F" if fortran else "C"

    def numbers(self) -> np.ndarray | None:
        """The array; None if it holds anything but numbers."""
        if self.dtype.hasobject or not isinstance(self.data, bytes):
            return None
        flat = np.frombuffer(self.data, self.dtype)
        return flat.reshape(self.shape, order=self.order)


def _nothing(*_: object) -> None:
    """Single numbers and bytes in texts, which masks are not."""
