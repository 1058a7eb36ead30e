"""Segmenting from a user's points, boxes and masks: SAM's own use, iterated.

Coordinates are those of the image, rows first, as napari has them; SAM's are the other
way round and in the model's input.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional as F

from napari_samsp.data.tiling import Tile
from napari_samsp.inference.results import Iteration
from napari_samsp.inference.tile_encoder import TileEncoder, inference
from napari_samsp.metrics import iou
from napari_samsp.self_prompting.full_size import full_size
from napari_samsp.self_prompting.prompts import Prompt
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from napari_samsp.data.lazy_rgb import LazyRGB
    from napari_samsp.inference.embedding_cache import ModelCache
    from napari_samsp.self_prompting.decoding import Decoding
    from napari_samsp.self_prompting.model import SelfPrompting

INSIDE_LOGIT = 8.0
"""Logit of a mask prompt's pixels, positive inside: as sure as SAM usually is."""


def segment_prompted(
    model: SelfPrompting,
    picture: np.ndarray | LazyRGB,
    prompt: Prompt,
    iterations: int,
    cache: ModelCache | None = None,
) -> Iterator[Iteration]:
    """Segment N objects of a picture that is seen whole.

    Parameters
    ----------
    model : SelfPrompting
        In evaluation mode, on its device.
    picture : numpy.ndarray or LazyRGB
        ``(Y, X, 3)`` uint8.
    prompt : Prompt
        N prompts in the picture's pixels, from `read_prompts`.
    iterations : int
        How many; each later one is prompted by the one before and by the user's
        points and boxes, which stay.
    cache : ModelCache, optional
        Where the embedding is looked up, and kept.

    Yields
    ------
    Iteration
        Object n has label n + 1.
    """
    shape = picture.shape[:2]
    embed = TileEncoder(model, picture, cache)
    start = time.perf_counter()
    with inference(model.device):
        embeddings, valid = embed([Tile(0, shape[0], 0, shape[1])])
        asked = to_input(prompt, model, shape, valid[0])
    sides = (int(valid[0, 0]), int(valid[0, 1]))
    previous: np.ndarray | None = None
    decodings = decode_prompted(model, embeddings, valid, asked, iterations)
    for t in range(iterations):
        with inference(model.device):
            found = next(decodings)
            logits, which = full_size(found.logits, embed.size, sides, shape)
            if len(asked) == 1:
                which = (logits > 0).int()
        labels = which.cpu().numpy().astype(np.int32)
        yield Iteration(
            labels=labels,
            logits=logits.cpu().numpy(),
            prompt=_kinds(asked) if t == 0 else model.kind,
            score=float(found.scores.float().mean()),
            iou_to_previous=None if previous is None else iou(labels, previous),
            seconds=time.perf_counter() - start,
            iteration=t,
            iterations=iterations,
        )
        previous = labels
        start = time.perf_counter()


def decode_prompted(
    model: SelfPrompting,
    embeddings: Tensor,
    valid: Tensor,
    asked: Prompt,
    iterations: int,
) -> Iterator[Decoding]:
    """Decode a user's prompts on one embedding, iteration by iteration.

    Parameters
    ----------
    model : SelfPrompting
        In evaluation mode, on its device.
    embeddings, valid : Tensor
        ``(1, C, h, w)`` and ``(1, 2)``, from `TileEncoder`.
    asked : Prompt
        N prompts from `to_input`.
    iterations : int
        As for `segment_prompted`.

    Yields
    ------
    Decoding
        N maps an iteration.
    """
    index = torch.zeros(len(asked), dtype=torch.int64, device=model.device)
    found = model.decode(embeddings, index, asked)
    yield found
    for _ in range(iterations - 1):
        found = model.decode(embeddings, index, _next(model, asked, found, valid))
        yield found


def read_prompts(
    shape: tuple[int, int],
    points: Any = None,
    point_labels: Any = None,
    boxes: Any = None,
    masks: Any = None,
) -> Prompt:
    """Check a user's prompts.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the image.
    points : array_like, optional
        ``(N, P, 2)`` row and column; NaN where an object has fewer than P.
    point_labels : array_like, optional
        ``(N, P)`` 1 for points inside the object, 0 for points outside of it.
        Default: all inside.
    boxes : array_like, optional
        ``(N, 4)`` row0, column0, row1, column1.
    masks : array_like, optional
        ``(N, Y, X)`` bool or integers, above 0 inside.

    Returns
    -------
    Prompt
        In the image's pixels, x before y; masks as ``(N, 1, Y, X)`` logits.

    Raises
    ------
    InputError
        If there is none, or they do not fit each other or the image.
    """
    counts = set()
    found = Prompt()
    if points is not None:
        places = _numbers(points, "points", 3, (None, None, 2))
        given = np.isfinite(places).all(-1)
        _check_inside(places[given], shape, "point")
        labels = np.ones(places.shape[:2])
        if point_labels is not None:
            labels = _numbers(point_labels, "point_labels", 2, places.shape[:2])
            if not np.isin(labels[given], (0, 1)).all():
                raise InputError("point_labels must be 1 (inside) or 0 (outside).")
        if not given.any(1).all() and boxes is None and masks is None:
            raise InputError("Each object needs at least one point.")
        labels = np.where(given, labels, -1)
        counts.add(len(places))
        found = replace(
            found,
            points=_tensor(np.where(given[..., None], places, 0)[..., ::-1]),
            point_labels=_tensor(labels),
        )
    elif point_labels is not None:
        raise InputError("point_labels were given without points.")
    if boxes is not None:
        corners = _numbers(boxes, "boxes", 2, (None, 4))
        _check_inside(corners.reshape(-1, 2), shape, "box")
        if not (corners[:, :2] < corners[:, 2:]).all():
            raise InputError(
                "A box is row0, column0, row1, column1, the first corner above and "
                "left of the second."
            )
        counts.add(len(corners))
        found = replace(found, boxes=_tensor(corners[:, [1, 0, 3, 2]]))
    if masks is not None:
        inside = _numbers(masks, "masks", 3, (None, *shape)) > 0
        counts.add(len(inside))
        logits = np.where(inside, INSIDE_LOGIT, -INSIDE_LOGIT)[:, None]
        found = replace(found, masks=_tensor(logits))
    if not counts or counts == {0}:
        raise InputError(
            "There is nothing to prompt with: give points, boxes or masks."
        )
    if len(counts) > 1:
        raise InputError(
            f"Points, boxes and masks are of {' and '.join(map(str, sorted(counts)))} "
            "objects: give each kind for every object."
        )
    return found


def _numbers(
    value: Any, name: str, ndim: int, shape: tuple[int | None, ...]
) -> np.ndarray:
    wanted = ", ".join("N" if side is None else str(side) for side in shape)
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be numbers of shape ({wanted}).") from error
    fits = array.ndim == ndim and all(
        side is None or side == length
        for side, length in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise InputError(f"{name} have shape {array.shape}, not ({wanted}).")
    return array


def _check_inside(places: np.ndarray, shape: tuple[int, int], what: str) -> None:
    """Rows and columns must lie in the image, whose last pixel ends at its shape."""
    outside = ~((places >= -0.5) & (places <= shape)).all(-1)
    if outside.any():
        place = ", ".join(f"{value:g}" for value in places[outside][0])
        raise InputError(
            f"A {what} at row and column {place} is not in the image of {shape[0]} x "
            f"{shape[1]} pixels."
        )


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def to_input(
    prompt: Prompt, model: SelfPrompting, shape: tuple[int, int], valid: Tensor
) -> Prompt:
    """From an image's pixels to the model's input, as stock SAM scales them.

    Parameters
    ----------
    prompt : Prompt
        From `read_prompts`.
    model : SelfPrompting
        The model, on its device.
    shape : tuple of int
        Height and width of what the model sees.
    valid : Tensor
        ``(2,)`` int, its height and width in the model's input.

    Returns
    -------
    Prompt
        On the model's device.
    """
    device = model.device
    scale = valid.flip(0).float() / torch.tensor(shape, device=device).flip(0)
    masks = None
    if prompt.masks is not None:
        height, width = (int(side) for side in valid)
        small = F.interpolate(
            prompt.masks.to(device), (height, width), mode="bilinear", antialias=True
        )
        size = int(model.sam.image_encoder.img_size)
        padding = (0, size - width, 0, size - height)
        padded = F.pad(small, padding, value=-INSIDE_LOGIT)
        masks = F.avg_pool2d(padded, model.stride)
    labels = prompt.point_labels
    return Prompt(
        None if prompt.boxes is None else prompt.boxes.to(device) * scale.repeat(2),
        None if prompt.points is None else prompt.points.to(device) * scale,
        masks,
        None if labels is None else labels.to(device),
    )


def _next(
    model: SelfPrompting, asked: Prompt, found: Decoding, valid: Tensor
) -> Prompt:
    """The next prompts: each object's own output, and what the user said."""
    own = model.prompts_of_each(found, valid)
    points, labels = own.points, own.point_labels
    if asked.points is not None:
        points, labels = asked.points, asked.point_labels
    boxes = own.boxes if asked.boxes is None else asked.boxes
    return Prompt(boxes, points, own.masks, labels)


def _kinds(prompt: Prompt) -> str:
    given = {
        "box": prompt.boxes, "mask": prompt.masks, "points": prompt.points,
    }  # fmt: skip
    return "+".join(name for name, value in given.items() if value is not None)
