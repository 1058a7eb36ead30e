"""The mask decoder's last layer, fitted to what a user says of one image.

A low-res logit of SAM is a product of a cell's features and of weights that the decoder
makes of the prompt. A user's clicks tell where that is wrong; the weights that suit
them, and keep to the rest of the mask, are those of a small logistic regression. So a
click also changes what looks like the clicked place, and stops where the image does.

Adapting a network to the clicks while they are made is from BRS (Jang and Kim, CVPR
2019) and f-BRS (Sofiiuk et al., CVPR 2020, arXiv 2001.10331), which descend through
many layers; of the last layer alone the optimum is a few linear systems.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_samsp.sam.kernels import decoder as fast_decoder
from napari_samsp.self_prompting.decoding import Decoding, check_finite

if TYPE_CHECKING:
    from torch import Tensor

    from napari_samsp.self_prompting.promptable import PromptableSam
    from napari_samsp.self_prompting.prompts import Prompt

TRUST = 0.5
"""The model's own logits count so much: they are too sure to be corrected."""
CLICKED = 5.0
"""A cell that a click changes counts as many others."""
CELLS = 1000.0
"""All cells together count as so many, however fine the model is..."""
RIDGE = 1.0
"""... against the squares of the changes of the weights."""
STEPS = 4
"""Newton's, which converge in three to five."""
LEAST_CURVATURE = 1e-3
"""Of a cell that is sure: a step must not be too long."""
SURE = 4.0
"""Logit of a cell that a click changes."""


def decode_with_features(
    model: PromptableSam, embeddings: Tensor, prompt: Prompt
) -> tuple[Decoding, Tensor]:
    """Decode one prompt, and tell what its mask is made of.

    Parameters
    ----------
    model : PromptableSam
        In evaluation mode, on its device.
    embeddings : Tensor
        ``(1, C, h, w)``.
    prompt : Prompt
        Of one object.

    Returns
    -------
    tuple
        One map, as `PromptableSam.decode` gives it, and ``(m, m, c)`` features.

    Raises
    ------
    InputError
        If the model's output is not finite.
    """
    positions = model.sam.prompt_encoder.get_dense_pe()
    sparse, dense = model.embed_prompt(prompt)
    neck, *fine = model.split_embeddings(embeddings)
    features, weights, scores = fast_decoder.read_features(
        model.sam.mask_decoder, neck + dense, positions, sparse, fine
    )
    logits = (features @ weights[:, None, :, None])[..., 0]
    check_finite(logits, scores)
    index = torch.zeros(1, dtype=torch.int64, device=logits.device)
    return Decoding(logits, scores, index, prompt), features[0]


def refitted(
    logits: Tensor, features: Tensor, target: Tensor, clicked: Tensor
) -> Tensor:
    """Logits of a last layer that has learnt what the clicks change.

    Parameters
    ----------
    logits : Tensor
        ``(h, w)`` as decoded.
    features : Tensor
        ``(h, w, c)``, from `decode_with_features`.
    target : Tensor
        ``(h, w)`` bool: the mask as decoded, with what the clicks change in it.
    clicked : Tensor
        ``(h, w)`` bool: the cells that they change.

    Returns
    -------
    Tensor
        ``(h, w)`` float32; of the target's sign where ``clicked``.
    """
    x = features.flatten(0, 1).float()
    x = (x - x.mean(0)) / (x.std(0, correction=0) + 1e-6)
    x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    wanted, offset = target.flatten().float(), TRUST * logits.flatten().float()
    weight = (1 + (CLICKED - 1) * clicked.flatten().float()) * (CELLS / len(x))
    ridge = RIDGE * torch.eye(x.shape[1], device=x.device)
    change = x.new_zeros(x.shape[1])
    for _ in range(STEPS):
        chance = (offset + x @ change).sigmoid()
        slope = x.T @ (weight * (chance - wanted)) + ridge @ change
        bend = weight * (chance * (1 - chance)).clamp(min=LEAST_CURVATURE)
        curvature = (x * bend[:, None]).T @ x + ridge
        change = change - torch.linalg.solve(curvature, slope)
    fitted = (offset + x @ change).view(logits.shape)
    return torch.where(clicked, torch.where(target, SURE, -SURE), fitted)
