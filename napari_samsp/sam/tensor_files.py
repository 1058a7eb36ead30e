"""Files of tensors, read with care: what they claim is checked before it is believed.

A few bytes can claim terabytes: a stride of 0 shows one number as many, a header lists
a million tensors, a sparse file is larger than the disk.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file

from napari_samsp.utils.errors import InputError, is_out_of_memory, some

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

MOST_BYTES = 12_000_000_000
"""``vit_h`` with a running mean and its optimiser's state has 10 billion."""
MOST_HEADER = 2_000_000
"""Bytes that list the tensors; those of ``vit_h`` take 100,000."""
MOST_RECORDS = 20_000
LARGEST_WEIGHT = 1e6
"""Far beyond what training gives; some way above it, products are infinite."""
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def read_tensors(path: Path) -> Any:
    """Read a file of tensors without running any code that it may hold.

    Parameters
    ----------
    path : Path
        ``.safetensors``, or what ``torch.save`` wrote.

    Returns
    -------
    Any
        Its content on the CPU: a dict of str to Tensor of safetensors, of others
        whatever was saved. `check_tensors` comes next.

    Raises
    ------
    InputError
        If it is cut short, too large, holds code, or does not fit into memory.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(
                f"{path} has {path.stat().st_size / 1e9:.0f} GB, more than any SAM: "
                "save the model's state dict alone."
            )
        if path.suffix.lower() == ".safetensors":
            with path.open("rb") as stream:
                _check_header(path, int.from_bytes(stream.read(8), "little"))
            return load_file(path)
        mmap = _is_zip(path)
        if mmap:
            _check_records(path)
        # What torch warns of is raised in our own words.
        with warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        if "GLOBAL" not in str(error):
            raise _broken(path) from error
        remedy = "save its state dict alone with torch.save or safetensors"
        if _is_from_micro_sam(path):
            remedy = (
                "it is a checkpoint of micro-sam's training, so export it with "
                "micro_sam.util.export_custom_sam_model first"
            )
        raise InputError(
            f"{path} holds Python objects besides tensors and was not loaded, because "
            f"that could run code; {remedy}."
        ) from error
    except Exception as error:  # a broken file can fail anywhere in its reader
        if is_out_of_memory(error):
            raise InputError(
                f"Memory does not suffice to read {path}: close other programs."
            ) from error
        raise _broken(path) from error


def check_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors that are not floating-point numbers that the file really holds.

    Parameters
    ----------
    path : Path
        The file, for the message.
    tensors : mapping of str to Tensor
        From `read_tensors`.

    Raises
    ------
    InputError
        If one is sparse, quantised, without data or of other numbers, or claims more
        numbers than are stored.
    """
    if odd := [name for name, tensor in tensors.items() if not _is_plain(tensor)]:
        raise InputError(
            f"{path} holds tensors that are not plain floating-point numbers "
            f"({some(odd)}): save the state dict of a SAM that is neither quantised "
            "nor sparse."
        )


def check_weights(what: str, tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights with which a model gives nothing but NaN.

    Parameters
    ----------
    what : str
        What they are of, for the message.
    tensors : mapping of str to Tensor
        float32, of the model's own shapes.

    Raises
    ------
    InputError
        If one holds NaN, infinite values, or numbers above `LARGEST_WEIGHT`.
    """
    broken = []
    for name, tensor in tensors.items():
        if tensor.numel():
            low, high = (float(extreme) for extreme in tensor.aminmax())
            if not -LARGEST_WEIGHT <= low <= high <= LARGEST_WEIGHT:  # NaN fails too
                broken.append(name)
    if broken:
        raise InputError(
            f"{what} is broken: {len(broken)} of its tensors hold NaN, infinite or "
            f"absurdly large values ({some(broken)}); fetch or train it again."
        )


def _is_from_micro_sam(path: Path) -> bool:
    """Whether a refused file has the keys that micro-sam's trainer writes."""
    try:
        with zipfile.ZipFile(path) as file:
            (name,) = (n for n in file.namelist() if n.endswith("/data.pkl"))
            with file.open(name) as stream:
                start = stream.read(MOST_HEADER)
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
    return all(key in start for key in (b"model_state", b"optimizer_state", b"init"))


def _is_plain(tensor: Tensor) -> bool:
    if (
        tensor.layout != torch.strided
        or tensor.device.type != "cpu"
        or tensor.is_quantized
        or tensor.dtype not in _FLOATS
    ):
        return False
    stored = tensor.untyped_storage().nbytes()
    return tensor.numel() * tensor.element_size() <= stored


def _is_zip(path: Path) -> bool:
    """As torch tells it: by how the file begins."""
    with path.open("rb") as stream:
        return stream.read(4) == b"PK\x03\x04"


def _check_records(path: Path) -> None:
    with zipfile.ZipFile(path) as file:
        records = file.infolist()
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise _broken(path)  # torch never compresses: it would unfold to any size
    listed = [r.file_size for r in records if r.filename.endswith("/data.pkl")]
    _check_header(path, sum(listed))
    if len(records) > MOST_RECORDS:
        raise _too_many(path)


def _check_header(path: Path, size: int) -> None:
    if size > path.stat().st_size:
        raise _broken(path)
    if size > MOST_HEADER:
        raise _too_many(path)


def _too_many(path: Path) -> InputError:
    return InputError(
        f"{path} lists far more tensors than a SAM has and was not loaded; save its "
        "state dict alone."
    )


def _broken(path: Path) -> InputError:
    return InputError(
        f"{path} cannot be read as a checkpoint: it is cut short, damaged, or of "
        "another kind; fetch or save it again."
    )
