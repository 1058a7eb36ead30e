"""Random views of a training image, in the model's frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F2

from napari_samsp.core.letterbox import fit, normalise_and_pad

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class View(NamedTuple):
    """One training view, or a batch of them.

    Attributes
    ----------
    image : Tensor
        ``(..., 3, S, S)`` float32, normalised and padded.
    labels : Tensor
        ``(..., S, S)`` int64, 0 = background and padding.
    valid : Tensor
        ``(..., 2)`` int64, unpadded height and width.
    """

    image: Tensor
    labels: Tensor
    valid: Tensor


def stack_views(views: list[View]) -> View:
    """Collate single views to a batch."""
    return View(
        torch.stack([v.image for v in views]),
        torch.stack([v.labels for v in views]),
        torch.stack([v.valid for v in views]),
    )


class Augmentation:
    """Crop, turn, mirror and recolour; then resize and pad to the model's input.

    Randomness is torch's global generator, so that a seed makes it repeatable.

    Parameters
    ----------
    size : int
        Side of the model's input.
    smallest_crop : float
        Lower bound of a crop's sides, as a part of the image's.
    enabled : bool
        Off gives the plain letterboxed image.
    """

    def __init__(
        self, size: int, smallest_crop: float = 0.6, enabled: bool = True
    ) -> None:
        self.size = size
        self.smallest_crop = smallest_crop
        self.enabled = enabled
        self._recolour = v2.Compose(
            [
                v2.RandomApply([v2.ColorJitter(0.35, 0.35, 0.25, 0.03)], p=0.8),
                v2.RandomApply([v2.GaussianBlur(5, (0.1, 1.5))], p=0.15),
            ]
        )
        self._mirror = v2.Compose([v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()])

    def __call__(self, image: np.ndarray, labels: np.ndarray) -> View:
        """Make one view.

        Parameters
        ----------
        image : numpy.ndarray
            ``(Y, X, 3)`` uint8.
        labels : numpy.ndarray
            ``(Y, X)`` integers, 0 = background.

        Returns
        -------
        View
            A single one.
        """
        picture = tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1))
        mask = tv_tensors.Mask(torch.from_numpy(labels.astype("int64")))
        if self.enabled:
            picture, mask = self._crop(picture, mask)
        shape = fit(tuple(mask.shape), self.size)
        picture, mask = F2.resize(picture, shape), F2.resize(mask, shape)
        if self.enabled:
            if torch.rand(()) < 0.5:
                picture, mask = picture.mT, mask.mT
            picture = tv_tensors.Image(picture)
            picture, mask = self._mirror(picture, tv_tensors.Mask(mask))
            picture = self._recolour(picture)
        padded = torch.zeros(self.size, self.size, dtype=torch.int64)
        height, width = mask.shape
        padded[:height, :width] = mask
        return View(
            normalise_and_pad(picture.as_subclass(torch.Tensor), self.size),
            padded,
            torch.tensor([height, width]),
        )

    def _crop(self, picture: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        sides = torch.tensor(mask.shape)
        kept = 1 - (1 - self.smallest_crop) * torch.rand(2)
        height, width = (sides * kept).long().clamp(min=1).tolist()
        top, left = (torch.rand(2) * (sides - torch.tensor([height, width]) + 1)).long()
        box = (int(top), int(left), height, width)
        return F2.crop(picture, *box), F2.crop(mask, *box)
