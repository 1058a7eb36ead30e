"""The distance decoder that a micro-sam checkpoint brings, inside or beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from napari_samsp.sam import registry as models
from napari_samsp.sam.catalogue import DECODER
from napari_samsp.sam.networks.distance_decoder import COUNTER, DistanceDecoder
from napari_samsp.sam.tensor_files import check_tensors, check_weights, read_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

INSIDE = "decoder_state"
"""Where micro-sam keeps the decoder in a checkpoint that has both."""


def load_distances(
    name_or_path: str, path: Path, inside: Mapping[Any, Any], channels: int
) -> tuple[DistanceDecoder | None, str]:
    """Load a model's distance decoder, if it has one.

    Parameters
    ----------
    name_or_path : str
        The model, as for `napari_samsp.sam.checkpoints.load_sam`.
    path : Path
        File of that model.
    inside : mapping
        What that has under `INSIDE`; empty if there is nothing.
    channels : int
        Of the model's embedding.

    Returns
    -------
    tuple
        The decoder in evaluation mode on the CPU, float32, or None; and of one that
        cannot be used what it is, empty otherwise.

    Raises
    ------
    InputError
        If a separate file is broken or not the published one, or the weights of
        either are broken.
    """
    file, state = path, inside
    if not state:
        beside = models.decoder_file(name_or_path)
        if beside is None:
            return None, ""
        file = beside
        content = read_tensors(file)
        state = content if isinstance(content, dict) else {}
        if isinstance(state.get(INSIDE), dict):
            state = state[INSIDE]
        if name_or_path in models.names():
            models.check(f"{name_or_path}{DECODER}", models.file_sha256(file))
    tensors = {
        k: v
        for k, v in state.items()
        if isinstance(k, str)
        and isinstance(v, torch.Tensor)
        and not k.endswith(COUNTER)
    }
    check_tensors(file, tensors)
    tensors = {k: v.to(torch.float32, copy=True) for k, v in tensors.items()}
    decoder = DistanceDecoder.of(tensors)
    if decoder is None or decoder.embedding_channels != channels:
        where = "" if file == path else f" in {file.name}"
        return None, f"a second decoder{where} of a kind that is not known here"
    check_weights(f"The distance decoder in {file}", tensors)
    return decoder, ""
