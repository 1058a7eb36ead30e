"""Checkpoint files of SAM: read safely, and loaded strictly."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file

from napari_samsp.core import models
from napari_samsp.core.errors import InputError, some
from napari_samsp.core.input_size import fit_positions, with_input_size
from napari_samsp.core.models import file_sha256
from napari_samsp.core.sam import (
    ARCHITECTURES,
    build_sam,
    detect_architecture,
    from_stock_layout,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segment_anything.modeling import Sam
    from torch import Tensor

_WRAPPERS = ("model_state", "state_dict", "model_state_dict", "model")
_LANDMARK = "image_encoder.pos_embed"
"""A tensor that every SAM has; what precedes its name is the prefix of all."""
_BUFFERS = ("pixel_mean", "pixel_std")
_PICKLE_BYTES = 10_000_000
"""How much of a refused file is looked at, to say what it is."""
_SECOND_DECODER = "decoder_state"
"""Where micro-sam's training keeps the decoder of its other segmentation mode."""
# Its exports may carry that decoder too.
_FOREIGN = ("decoder.", "out_conv.", "deconv", "decoder_head.")


@dataclass(frozen=True)
class LoadedModel:
    """A SAM with its weights.

    Attributes
    ----------
    sam : segment_anything.modeling.Sam
        From `napari_samsp.core.sam.build_sam`, float32, on the CPU, in evaluation
        mode.
    name : str
        The model's name, or the name of its file.
    architecture : str
        A key of `napari_samsp.core.sam.ARCHITECTURES`.
    sha256 : str
        Of the file.
    note : str
        What of the file was left out, in a sentence; empty if nothing was.
    """

    sam: Sam
    name: str
    architecture: str
    sha256: str
    note: str = ""


def load_sam(name_or_path: str, input_size: int | None = None) -> LoadedModel:
    """Load a model.

    Parameters
    ----------
    name_or_path : str
        A name of `napari_samsp.core.models`, or a checkpoint file.
    input_size : int, optional
        Side of the input in pixels, a multiple of the patch size; default: the one
        that the checkpoint is of. Position embeddings are interpolated.

    Returns
    -------
    LoadedModel
        Ready for PEFT: ``peft.PeftModel.from_pretrained(load_sam(NAME).sam, FOLDER)``
        opens an adapter of ours.

    Raises
    ------
    InputError
        If there is no such model, it is not downloaded, its file is broken or not the
        published one, its tensors are not exactly those of its architecture, or the
        input size is no multiple of the patch size.
    """
    if name_or_path in models.names():
        name, path = name_or_path, models.path(name_or_path)
    else:
        name, path = Path(name_or_path).name, Path(name_or_path)
        if not path.exists():
            raise InputError(
                f"There is no model and no file {name_or_path}; models known by name "
                f"are {', '.join(models.names())}."
            )
    # Read first: of a file cut short, what it lacks says more than its hash.
    state, note = _read_state(path)
    digest = file_sha256(path)
    if name_or_path in models.names():
        models.check(name, digest)
    architecture = detect_architecture(state)
    sized = with_input_size(ARCHITECTURES[architecture], state, input_size)
    sam = build_sam(sized)
    state = fit_positions(from_stock_layout(state), sized)
    _load_strictly(sam, state, f"{path} as a {architecture}")
    return LoadedModel(sam, name, architecture, digest, note)


def load_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a checkpoint without running any code that it may hold.

    Parameters
    ----------
    path : str or Path
        ``.safetensors``, or what ``torch.save`` wrote.

    Returns
    -------
    dict of str to Tensor
        On the CPU, dtypes as stored; names as SAM's own: without wrappers such as
        ``model_state``, without a prefix such as ``module.`` or ``sam.``, and without
        the tensors of micro-sam's second decoder.

    Raises
    ------
    InputError
        If the file is missing, cut short, holds code, or holds no tensors.
    """
    return _read_state(Path(path))[0]


def _read(path: Path) -> Any:
    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # we say it in our own words
            return torch.load(
                path,
                map_location="cpu",
                weights_only=True,
                mmap=zipfile.is_zipfile(path),
            )
    except MemoryError:
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
        raise _broken(path) from error


def _is_from_micro_sam(path: Path) -> bool:
    """Whether a refused file has the keys that micro-sam's trainer writes."""
    try:
        with zipfile.ZipFile(path) as file:
            (name,) = (n for n in file.namelist() if n.endswith("/data.pkl"))
            with file.open(name) as stream:
                start = stream.read(_PICKLE_BYTES)
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
    return all(key in start for key in (b"model_state", b"optimizer_state", b"init"))


def _broken(path: Path) -> InputError:
    return InputError(
        f"{path} cannot be read as a checkpoint: it is cut short, damaged, or of "
        "another kind; fetch or save it again."
    )


def _read_state(path: Path) -> tuple[dict[str, Tensor], str]:
    """SAM's tensors, and a note of what else there was."""
    if not path.is_file():
        raise InputError(f"There is no checkpoint file {path}.")
    content, second_decoder = _unwrap(_read(path))
    tensors = {
        k: v
        for k, v in content.items()
        if isinstance(k, str) and isinstance(v, torch.Tensor)
    }
    if not tensors:
        raise InputError(f"{path} holds no tensors: it is not a model's checkpoint.")
    # Of several, such as a model and its running mean, the one with the shortest name.
    landmarks = sorted((k for k in tensors if k.endswith(_LANDMARK)), key=len)
    prefix = landmarks[0].removesuffix(_LANDMARK) if landmarks else ""
    state = {
        k: v
        for k, v in tensors.items()
        if k.startswith(prefix) and not k.removeprefix(prefix).startswith(_FOREIGN)
    }
    left_out = ["micro-sam's second decoder"] if second_decoder else []
    if others := [k for k in tensors if k not in state]:
        left_out.append(f"{len(others)} tensors that are not SAM's ({some(others)})")
    note = f"Left out: {' and '.join(left_out)}." if left_out else ""
    state = {k.removeprefix(prefix): v for k, v in state.items()}
    return {k: v for k, v in state.items() if k not in _BUFFERS}, note


def _unwrap(content: Any) -> tuple[dict[Any, Any], bool]:
    """The innermost state dict, and whether a second decoder lies beside one."""
    second_decoder = False
    while isinstance(content, dict):
        second_decoder |= bool(content.get(_SECOND_DECODER))
        inner = next(
            (content[w] for w in _WRAPPERS if isinstance(content.get(w), dict)), None
        )
        if inner is None:
            return content, second_decoder
        content = inner
    return {}, second_decoder


def _load_strictly(sam: Sam, state: Mapping[str, Tensor], what: str) -> None:
    expected = sam.state_dict()
    faults = {
        "missing": [k for k in expected if k not in state],
        "unknown": [k for k in state if k not in expected],
        "of another shape": [
            f"{k} {tuple(state[k].shape)} instead of {tuple(v.shape)}"
            for k, v in expected.items()
            if k in state and state[k].shape != v.shape
        ],
    }
    if found := [f"{len(v)} {k} ({some(v)})" for k, v in faults.items() if v]:
        raise InputError(
            f"Cannot load {what}, its tensors do not fit: {', '.join(found)}."
        )
    sam.load_state_dict({k: v.to(expected[k].dtype) for k, v in state.items()})
