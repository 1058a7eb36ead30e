"""Random views of a training image, in the model's frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F2

from napari_samsp.self_prompting.letterbox import fit, normalise_and_pad
from napari_samsp.train.examples.symmetry import Symmetry

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


CROP_TRIES = 3
"""A crop without an object is drawn again: few are enough to learn from."""


NOT_LABELLED = -1
"""Label of pixels that nobody labelled: they carry no loss."""


class View(NamedTuple):
    """One training view, or a batch of them.

    Attributes
    ----------
    image : Tensor
        ``(..., 3, S, S)`` float32, normalised and padded.
    labels : Tensor
        ``(..., S, S)`` int64, 0 = background and padding, -1 = not labelled.
    valid : Tensor
        ``(..., 2)`` int64, unpadded height and width.
    seed : Tensor
        ``(...)`` int64, of what the objective draws at random for this view.
    plain : Tensor
        ``image`` without its random colours, for a teacher; ``(..., 0)`` where there
        is none.
    """

    image: Tensor
    labels: Tensor
    valid: Tensor
    seed: Tensor = torch.tensor(0)
    plain: Tensor = torch.zeros(0)


def stack_views(views: list[View]) -> View:
    """Collate single views to a batch."""
    return View(*(torch.stack(parts) for parts in zip(*views, strict=True)))


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
        Off gives the plain letterboxed image, or a part of it as large as its field.
    symmetry : Symmetry, optional
        How views may be mirrored and turned. Default: every way.
    plain : bool
        Keep what a view is before it is recoloured, too.
    """

    def __init__(
        self,
        size: int,
        smallest_crop: float = 0.6,
        enabled: bool = True,
        symmetry: Symmetry | None = None,
        plain: bool = False,
    ) -> None:
        self.size = size
        self.smallest_crop = smallest_crop
        self.enabled, self.plain = enabled, plain
        self._recolour = v2.Compose(
            [
                v2.RandomApply([v2.ColorJitter(0.35, 0.35, 0.25, 0.03)], p=0.8),
                v2.RandomApply([v2.GaussianBlur(5, (0.1, 1.5))], p=0.15),
            ]
        )
        self.symmetry = symmetry = symmetry or Symmetry()
        self._mirror = v2.Compose(
            [
                v2.RandomHorizontalFlip(0.5 * symmetry.left_right),
                v2.RandomVerticalFlip(0.5 * symmetry.up_down),
            ]
        )

    def __call__(
        self, image: np.ndarray, labels: np.ndarray, field: int | None = None
    ) -> View:
        """Make one view.

        Parameters
        ----------
        image : numpy.ndarray
            ``(Y, X, 3)`` uint8.
        labels : numpy.ndarray
            ``(Y, X)`` integers, 0 = background, -1 = not labelled.
        field : int, optional
            Side in image pixels of what the model sees at once at inference: the view
            is about as large. Default: the whole image.

        Returns
        -------
        View
            A single view, without a batch axis.
        """
        picture = tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1))
        mask = tv_tensors.Mask(torch.from_numpy(labels.astype("int64")))
        if self.enabled or field is not None:
            picture, mask = self._crop(picture, mask, field)
        shape = fit(tuple(mask.shape), self.size)
        picture, mask = F2.resize(picture, shape), F2.resize(mask, shape)
        if self.enabled:
            if self.symmetry.turn and torch.rand(()) < 0.5:
                picture, mask = picture.mT, mask.mT
            picture = tv_tensors.Image(picture)
            picture, mask = self._mirror(picture, tv_tensors.Mask(mask))
        plain = picture
        if self.enabled:
            picture = self._recolour(picture)
        padded = torch.zeros(self.size, self.size, dtype=torch.int64)
        height, width = mask.shape
        padded[:height, :width] = mask
        view = View(self._input(picture), padded, torch.tensor([height, width]))
        return view._replace(plain=self._input(plain)) if self.plain else view

    def _input(self, picture: Tensor) -> Tensor:
        return normalise_and_pad(picture.as_subclass(torch.Tensor), self.size)

    def _crop(
        self, picture: Tensor, mask: Tensor, field: int | None
    ) -> tuple[Tensor, Tensor]:
        sides = largest = torch.tensor(mask.shape)
        kept = torch.ones(2)
        if self.enabled:
            kept = 1 - (1 - self.smallest_crop) * torch.rand(2)
        if field is not None:
            # So that a view of average size shows as much as a tile does.
            margin = 2 / (1 + self.smallest_crop) if self.enabled else 1
            largest = sides.clamp(max=round(field * margin))
        size = (largest * kept).long().clamp(min=1)
        for _ in range(CROP_TRIES):
            corner = (torch.rand(2) * (sides - size + 1)).long()
            box = (*corner.tolist(), *size.tolist())
            cropped = F2.crop(mask, *box)
            if (cropped > 0).any():
                break
        return F2.crop(picture, *box), cropped
