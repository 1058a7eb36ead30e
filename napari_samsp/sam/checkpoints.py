"""Checkpoint files of SAM: read safely, and loaded strictly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from napari_samsp.sam import registry as models
from napari_samsp.sam.architecture import (
    ARCHITECTURES,
    build_sam,
    detect_architecture,
    from_stock_layout,
    to_stock_layout,
)
from napari_samsp.sam.distance_files import INSIDE, load_distances
from napari_samsp.sam.input_size import fit_positions, with_input_size
from napari_samsp.sam.networks.tiny_vit import COUNTER, FIRST_CONV, FIRST_CONV_HERE
from napari_samsp.sam.registry import file_sha256
from napari_samsp.sam.tensor_files import check_tensors, check_weights, read_tensors
from napari_samsp.utils.errors import InputError, some

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segment_anything.modeling import Sam
    from torch import Tensor

    from napari_samsp.sam.architecture import Architecture
    from napari_samsp.sam.networks.distance_decoder import DistanceDecoder

_WRAPPERS = ("model_state", "state_dict", "model_state_dict", "model")
MOST_WRAPPERS = 10
_LANDMARKS = ("image_encoder.pos_embed", FIRST_CONV, FIRST_CONV_HERE)
"""Tensors of which every SAM has one; what precedes its name is the prefix of all."""
_FUSED = ".attn.qkv."
"""A part of names in SAM's own layout, see `from_stock_layout`."""
_BUFFERS = ("pixel_mean", "pixel_std")
# Exports of others may carry micro-sam's distance decoder among SAM's tensors.
_FOREIGN = ("decoder.", "out_conv.", "deconv", "decoder_head.")


@dataclass(frozen=True)
class LoadedModel:
    """A SAM with its weights.

    Attributes
    ----------
    sam : segment_anything.modeling.Sam
        From `napari_samsp.sam.architecture.build_sam`, float32, on the CPU, in
        evaluation mode.
    name : str
        The model's name, or the name of its file.
    architecture : str
        A key of `napari_samsp.sam.architecture.ARCHITECTURES`.
    sha256 : str
        SHA-256 of the file.
    note : str
        What of the file was left out, in a sentence; empty if nothing was.
    distances : DistanceDecoder or None
        micro-sam's decoder for this model's embedding, if the file has one or one lies
        beside it (``NAME_decoder.pt`` beside ``NAME.pt``). It is no part of ``sam``.
    """

    sam: Sam
    name: str
    architecture: str
    sha256: str
    note: str = ""
    distances: DistanceDecoder | None = None


def load_sam(name_or_path: str, input_size: int | None = None) -> LoadedModel:
    """Load a model by its name, or from a checkpoint file.

    Parameters
    ----------
    name_or_path : str
        A name of `napari_samsp.sam.registry`, or a checkpoint file.
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
    state, left_out, inside = _read_state(path)
    digest = file_sha256(path)
    if name_or_path in models.names():
        models.check(name, digest)
    architecture = detect_architecture(state)
    known = ARCHITECTURES[architecture]
    _check_shapes(state, with_input_size(known, state), f"{path} as a {architecture}")
    sized = with_input_size(known, state, input_size)
    sam = build_sam(sized)
    state = fit_positions(from_stock_layout(state), sized)
    state = {k: v.to(torch.float32) for k, v in state.items()}
    check_weights(f"The model {path}", state)
    sam.load_state_dict(state)
    distances, unknown = load_distances(name_or_path, path, inside, sized.prompt_dim)
    left_out = [*([unknown] if unknown else []), *left_out]
    note = f"Left out: {' and '.join(left_out)}." if left_out else ""
    return LoadedModel(sam, name, architecture, digest, note, distances)


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
        ``model_state``, without a prefix such as ``module.`` or ``sam.``, without
        the tensors of micro-sam's distance decoder, and without the counters of
        MobileSAM's batch norms.

    Raises
    ------
    InputError
        If the file is missing, cut short, holds code, or holds no tensors.
    """
    return _read_state(Path(path))[0]


def _read_state(path: Path) -> tuple[dict[str, Tensor], list[str], dict[Any, Any]]:
    """SAM's tensors, what of the file is not used, and a distance decoder's state."""
    if not path.is_file():
        raise InputError(f"There is no checkpoint file {path}.")
    content, inside = _unwrap(read_tensors(path))
    tensors = {
        k: v
        for k, v in content.items()
        if isinstance(k, str) and isinstance(v, torch.Tensor)
    }
    if not tensors:
        raise InputError(f"{path} holds no tensors: it is not a model's checkpoint.")
    # Of several, such as a model and its running mean, the one with the shortest name.
    prefixes = [
        k.removesuffix(name) for name in _LANDMARKS for k in tensors if k.endswith(name)
    ]
    prefix = min(prefixes, key=len, default="")
    state = {
        k: v
        for k, v in tensors.items()
        if k.startswith(prefix) and not k.removeprefix(prefix).startswith(_FOREIGN)
    }
    others = [k for k in tensors if k not in state]
    left_out = []
    if others:
        left_out = [f"{len(others)} tensors that are not SAM's ({some(others)})"]
    state = {k.removeprefix(prefix): v for k, v in state.items()}
    state = {k: v for k, v in state.items() if not k.endswith(COUNTER)}
    check_tensors(path, state)
    state = {k: v for k, v in state.items() if k not in _BUFFERS}
    return state, left_out, inside


def _unwrap(content: Any) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """The innermost state dict, and that of a distance decoder beside one."""
    inside: dict[Any, Any] = {}
    for _ in range(MOST_WRAPPERS):  # a dict may hold itself
        if not isinstance(content, dict):
            break
        if isinstance(content.get(INSIDE), dict):
            inside = content[INSIDE]
        inner = next(
            (content[w] for w in _WRAPPERS if isinstance(content.get(w), dict)), None
        )
        if inner is None:
            return content, inside
        content = inner
    return {}, inside


def _check_shapes(
    state: Mapping[str, Tensor], architecture: Architecture, what: str
) -> None:
    """Compare with the architecture's own tensors, none of which is allocated."""
    with torch.device("meta"):
        expected: Mapping[str, Tensor] = build_sam(architecture).state_dict()
    if any(_FUSED in k for k in state):
        expected = to_stock_layout(expected)
        expected = {k: v for k, v in expected.items() if not k.endswith(COUNTER)}
    stretched = {
        f"image_encoder.blocks.{block}.attn.rel_pos_{axis}"
        for block in architecture.global_attention
        for axis in "hw"
    }
    faults = {
        "missing": [k for k in expected if k not in state],
        "unknown": [k for k in state if k not in expected],
        "of another shape": [
            f"{k} {tuple(state[k].shape)} instead of {tuple(v.shape)}"
            for k, v in expected.items()
            if k in state and not _fits(state[k], v, k in stretched)
        ],
    }
    if found := [f"{len(v)} {k} ({some(v)})" for k, v in faults.items() if v]:
        raise InputError(
            f"Cannot load {what}, its tensors do not fit: {', '.join(found)}."
        )


def _fits(found: Tensor, expected: Tensor, stretched: bool) -> bool:
    if stretched and found.ndim == 2 and len(found) % 2:
        return found.shape[1] == expected.shape[1]  # `fit_positions` takes any length
    return found.shape == expected.shape
