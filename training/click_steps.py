"""A step that teaches clicks alone, and holds the model to all else that it knew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from prompted_steps import (
    degraded,
    own_prompts,
    prompt_errors,
    true_prompts,
    with_click,
)
from torch import Tensor

from napari_samsp.inference.interactive.cut import Clicks
from napari_samsp.inference.interactive.heeding import SHOWN, as_clicked
from napari_samsp.inference.interactive.prompted import INSIDE_LOGIT
from napari_samsp.self_prompting.decoding import Decoding
from napari_samsp.self_prompting.letterbox import valid_cells
from napari_samsp.self_prompting.prompts import Prompt
from napari_samsp.train.objective.losses import (
    coverage,
    decoding_loss,
    distillation_loss,
)

if TYPE_CHECKING:
    from mixture import Sample

    from napari_samsp.self_prompting.model import SelfPrompting

FIRST = {"points": 0.5, "wrong": 0.3, "box": 0.15, "box+points": 0.05}
"""How often each comes first; ``wrong`` is a mask that is to be mended."""
MOST_CLICKS = 6
"""That follow the first prompt; two at least."""
AS_IN_USE = 0.7
"""So often a click is shown a mask of two values that heeds the clicks, as in the
widget; else the logits of the decoding before it, as SAM was trained."""
REACH = (SHOWN - 0.5, SHOWN + 0.5)
"""How far a click changes such a mask, by the way to its border; in use `SHOWN`."""


def embed(model: SelfPrompting, patches: tuple[Tensor, list[Tensor]]) -> Tensor:
    """The embedding of what the frozen trunk made of images."""
    encoder = model.sam.image_encoder
    tokens, features = patches
    for block in encoder.blocks:
        tokens = block(tokens)
    found: Tensor = encoder.finish(tokens, features)
    return found


def click_loss(
    model: SelfPrompting, before: SelfPrompting, batch: Sample, objects: bool
) -> dict[str, Tensor]:
    """The losses of one batch.

    Parameters
    ----------
    model : SelfPrompting
        Its trunk is that of ``before``.
    before : SelfPrompting
        The model as it was: without a prompt, and prompted by its own output, ``model``
        is to say the same.
    batch : Sample
        B views.
    objects : bool
        Whether the own prompts are objects, or the one region.

    Returns
    -------
    dict of str to Tensor
        Losses; what ends with ``_error`` is one minus IoU, to be logged.
    """
    with torch.no_grad():
        patches = model.sam.image_encoder.embed_patches(batch.image)
        old = embed(before, patches)
    new = embed(model, patches)
    losses = kept(model, before, new, old, batch, objects)
    size = model.mask_size
    weight = valid_cells(batch.valid, size, model.stride).float()
    kind = choice(FIRST)
    asked = "mask" if kind == "wrong" else kind
    prompt, masks, index = true_prompts(batch, asked, model)
    if not len(index):
        return losses
    target, weight, stride = coverage(masks, size), weight[index], model.stride
    if kind == "wrong":
        logits = degraded(target) + prompt_errors(len(index), size)
        found = Decoding(logits, torch.ones(len(index)), index)
        prompt = shown(with_click(Prompt(), found, target, weight, stride), stride)
    rounds = 2 + int(torch.randint(MOST_CLICKS - 1, ()))
    for n in range(rounds + 1):
        if n:
            prompt = shown(with_click(prompt, found, target, weight, stride), stride)
        found = model.decode(new, index, prompt)
        loss, iou = decoding_loss(found, target, weight, 1.0)
        losses[f"click{n}"] = 3 / (rounds + 1) * loss.mean()
        losses[f"click{n}_error"] = 1 - iou.mean()
    return losses


def kept(
    model: SelfPrompting,
    before: SelfPrompting,
    new: Tensor,
    old: Tensor,
    batch: Sample,
    objects: bool,
) -> dict[str, Tensor]:
    """How far two models differ where no user says anything."""
    weight = valid_cells(batch.valid, model.mask_size, model.stride).float()
    with torch.no_grad():
        was = before.decode_unprompted(old)
        prompt, index, regions = own_prompts(before, was, batch.valid, objects)
    now = model.decode_unprompted(new)
    losses = {"none": differ(now, was, weight)}
    assert now.separation is not None and was.separation is not None
    change = (now.separation.sigmoid() - was.separation.sigmoid()).square()
    losses["relief"] = 10 * (change * weight[:, None]).sum() / weight.sum()
    if len(index):
        with torch.no_grad():
            was = before.decode(old, index, prompt, regions)
        now = model.decode(new, index, prompt, regions)
        losses["own"] = differ(now, was, weight[index])
    return losses


def differ(now: Decoding, was: Decoding, weight: Tensor) -> Tensor:
    """How far two decodings of the same prompts differ."""
    loss = distillation_loss(now.logits, was.logits, weight, 1.0)
    return 10 * loss.mean() + (now.scores - was.scores).square().mean()


def shown(prompt: Prompt, stride: int) -> Prompt:
    """The prompt, most of the time with a mask such as a user is shown."""
    assert prompt.masks is not None and prompt.points is not None
    if torch.rand(()) >= AS_IN_USE:
        return prompt
    reach = torch.empty(len(prompt)).uniform_(*REACH).tolist()
    places = (prompt.points.flip(-1) / stride).tolist()
    inside = (prompt.point_labels > 0).tolist()
    known = (prompt.masks[:, 0] > 0).cpu().numpy()
    masks = [
        as_clicked(one, Clicks(tuple(map(tuple, where)), tuple(said)), far)
        for one, where, said, far in zip(known, places, inside, reach, strict=True)
    ]
    mask = torch.from_numpy(np.stack(masks)).to(prompt.masks.device)
    logits = torch.where(mask, INSIDE_LOGIT, -INSIDE_LOGIT)[:, None]
    return Prompt(prompt.boxes, prompt.points, logits, prompt.point_labels)


def choice(chances: dict[str, float]) -> str:
    """One of the keys, by torch's generator."""
    n = torch.multinomial(torch.tensor(list(chances.values())), 1)
    return list(chances)[int(n)]
