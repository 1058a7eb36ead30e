"""Prompts, and how a mask becomes one.

Coordinates are in pixels of the model's square input, ``(x, y)``; masks are low-res
logits, a quarter of that in each direction for every SAM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from scipy import ndimage
from torch import Tensor

from napari_samsp.sam.prompt_kind import parse_kind

if TYPE_CHECKING:
    from collections.abc import Iterable

OUTSIDE_LOGIT = -8.0
"""Logit given to the pixels of a mask prompt that belong to other objects."""


@dataclass(frozen=True)
class Prompt:
    """The prompts of N decodings; ``None`` where a kind is not used.

    Attributes
    ----------
    boxes : Tensor or None
        ``(N, 4)`` float, x0, y0, x1, y1 in input pixels.
    points : Tensor or None
        ``(N, P, 2)`` float, x and y in input pixels.
    masks : Tensor or None
        ``(N, 1, m, m)`` low-res logits.
    point_labels : Tensor or None
        ``(N, P)`` float: 1 for points inside, 0 outside, -1 for none. Default: all
        inside.
    classes : Tensor or None
        ``(N,)`` int64: the class of each, whose token is added to the prompt.
    """

    boxes: Tensor | None = None
    points: Tensor | None = None
    masks: Tensor | None = None
    point_labels: Tensor | None = None
    classes: Tensor | None = None

    def __len__(self) -> int:
        for value in (self.boxes, self.points, self.masks, self.classes):
            if value is not None:
                return len(value)
        return 0

    def select(self, index: Tensor | slice) -> Prompt:
        """The prompts at ``index``, a slice or ``(M,)`` int64 or bool."""
        return Prompt(
            *(
                None if value is None else value[index]
                for value in (
                    self.boxes,
                    self.points,
                    self.masks,
                    self.point_labels,
                    self.classes,
                )
            )
        )


def boxes_of(masks: Tensor, stride: int, valid: Tensor) -> Tensor:
    """Boxes from the smallest and largest coordinates of masks (SAM-SP, section 3).

    Parameters
    ----------
    masks : Tensor
        ``(N, h, w)`` bool.
    stride : int
        Input pixels per mask pixel.
    valid : Tensor
        ``(N, 2)`` height and width in input pixels of the part that is not padding.
        An empty mask gets it as its box: "look anywhere".

    Returns
    -------
    Tensor
        ``(N, 4)`` float, x0, y0, x1, y1 in input pixels.
    """

    def span(occupied: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
        side = occupied.shape[-1]
        cells = torch.arange(side, device=masks.device)
        first = torch.where(occupied, cells, side).amin(-1) * stride
        last = (torch.where(occupied, cells, -1).amax(-1) + 1) * stride
        empty = ~occupied.any(-1)
        first = torch.where(empty, 0, first)
        return first, torch.where(empty, limit, torch.minimum(last, limit))

    x0, x1 = span(masks.any(-2), valid[:, 1])
    y0, y1 = span(masks.any(-1), valid[:, 0])
    return torch.stack([x0, y0, x1, y1], dim=-1).float()


def deepest_points(masks: Tensor, stride: int) -> Tensor:
    """The pixel of each mask that lies furthest from its border.

    Parameters
    ----------
    masks : Tensor
        ``(N, m, m)`` bool, low-res. An empty mask gives the corner pixel.
    stride : int
        Input pixels per low-res pixel.

    Returns
    -------
    Tensor
        ``(N, 1, 2)`` float, x and y in input pixels.
    """
    out = torch.zeros(len(masks), 1, 2)
    for i, mask in enumerate(masks.cpu().numpy()):
        depth = ndimage.distance_transform_edt(mask)
        y, x = divmod(int(depth.argmax()), mask.shape[1])
        out[i, 0] = torch.tensor([x + 0.5, y + 0.5]) * stride
    return out.to(masks.device)


def prompt_from_masks(
    kind: str | Iterable[str],
    masks: Tensor,
    boxed: Tensor,
    logits: Tensor,
    stride: int,
    valid: Tensor,
) -> Prompt:
    """Turn masks and the logits behind them into the next iteration's prompt.

    Gradients stop here: what comes back is detached.

    Parameters
    ----------
    kind : str or iterable of str
        What the prompt is made of, such as ``"box+mask"``, see
        `napari_samsp.sam.prompt_kind.parse_kind`.
    masks : Tensor
        ``(N, m, m)`` bool: the region of each prompt, low-res.
    boxed : Tensor
        ``(N, m, m)`` bool: what of it the box goes around.
    logits : Tensor
        ``(N, m, m)`` low-res logits of the previous iteration. Where a region has
        positive neighbours that are not its own, a mask prompt shows them as
        background.
    stride : int
        Input pixels per low-res pixel.
    valid : Tensor
        ``(N, 2)`` unpadded height and width in input pixels.

    Returns
    -------
    Prompt
        N prompts, one of each mask.
    """
    names = parse_kind(kind) if isinstance(kind, str) else frozenset(kind)
    logits = logits.detach()
    others = (logits > 0) & ~masks
    return Prompt(
        boxes=boxes_of(boxed, stride, valid) if "box" in names else None,
        points=deepest_points(masks, stride) if "points" in names else None,
        masks=(
            torch.where(others, OUTSIDE_LOGIT, logits)[:, None].float()
            if "mask" in names
            else None
        ),
    )
