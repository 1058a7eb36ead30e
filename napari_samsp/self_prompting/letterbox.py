"""Between an image and SAM's square input: resize the longest side, pad the rest.

The same arithmetic as ``segment_anything.utils.transforms.ResizeLongestSide`` and
``Sam.postprocess_masks``, so that masks land where stock SAM puts them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from napari_samsp.data.tiling import Tile
from napari_samsp.sam.architecture import PIXEL_MEAN, PIXEL_STD

if TYPE_CHECKING:
    from torch import Tensor

    from napari_samsp.data.lazy_rgb import LazyRGB

REDUCING_GAP = 3
"""An image that is larger than its target by this factor is averaged first."""


def fit(shape: tuple[int, int], size: int) -> tuple[int, int]:
    """Height and width of an image whose longest side is resized to ``size``.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the image.
    size : int
        Side of the model's input in pixels.

    Returns
    -------
    tuple of int
        At least 1 each, so that very long images survive.
    """
    scale = size / max(shape)
    height, width = (max(1, int(side * scale + 0.5)) for side in shape)
    return height, width


def normalise_and_pad(image: Tensor, size: int) -> Tensor:
    """Normalise colours as SAM does, then pad bottom and right with zeros.

    Parameters
    ----------
    image : Tensor
        ``(..., 3, h, w)``, 0 to 255, h and w at most ``size``.
    size : int
        Side of the model's input.

    Returns
    -------
    Tensor
        ``(..., 3, size, size)`` float32.
    """
    mean, std = (torch.tensor(v, device=image.device) for v in (PIXEL_MEAN, PIXEL_STD))
    image = (image.float() - mean[:, None, None]) / std[:, None, None]
    h, w = image.shape[-2:]
    return F.pad(image, (0, size - w, 0, size - h))


def to_model_input(
    image: np.ndarray | LazyRGB, size: int, place: Tile | None = None
) -> tuple[Tensor, Tensor]:
    """Bring an image, or a place in it, into the model's frame.

    Parameters
    ----------
    image : numpy.ndarray or LazyRGB
        ``(Y, X, 3)`` uint8. What is much larger than the model's input is read and
        made smaller strip by strip.
    size : int
        Side of the model's input.
    place : Tile, optional
        Default: the whole image.

    Returns
    -------
    tuple of Tensor
        ``(3, size, size)`` float32, and ``(2,)`` int64 unpadded height and width.
    """
    place = place or Tile(0, image.shape[0], 0, image.shape[1])
    height, width = fit(place.shape, size)
    # What Pillow's own reducing_gap does: averages first, and hardly any difference.
    factor = max(1, max(place.shape) // (REDUCING_GAP * size))
    small = image[place.window] if factor == 1 else _average(image, place, factor)
    resized = Image.fromarray(np.ascontiguousarray(small)).resize(
        (width, height),
        Image.Resampling.BILINEAR,
        box=(0, 0, place.shape[1] / factor, place.shape[0] / factor),
    )
    tensor = torch.from_numpy(np.array(resized)).permute(2, 0, 1)
    return normalise_and_pad(tensor, size), torch.tensor([height, width])


def _average(image: np.ndarray | LazyRGB, place: Tile, factor: int) -> np.ndarray:
    """A place, smaller by ``factor``; of a large one a block at a time is read."""
    cells = tuple(-(-side // factor) for side in place.shape)
    total = np.zeros((*cells, 3), np.uint32)
    windows = [place.window] if isinstance(image, np.ndarray) else image.blocks(place)
    for rows, columns in windows:
        part: np.ndarray = image[rows, columns]
        here = []
        for axis, (span, origin) in enumerate(
            ((rows, place.top), (columns, place.left))
        ):
            first, after = span.start - origin, span.stop - origin
            some = slice(first // factor, -(-after // factor))
            starts = np.arange(some.start, some.stop) * factor + origin - span.start
            part = np.add.reduceat(part, starts.clip(0), axis=axis, dtype=np.uint32)
            here.append(some)
        total[here[0], here[1]] += part
    rows_in, columns_in = (
        np.minimum(factor, side - np.arange(n) * factor)
        for side, n in zip(place.shape, cells, strict=True)
    )
    count = np.outer(rows_in, columns_in)[..., None]
    return ((total + count // 2) // count).astype(np.uint8)


def valid_cells(valid: Tensor, size: int, stride: int) -> Tensor:
    """The low-res cells that hold image, not padding.

    Parameters
    ----------
    valid : Tensor
        ``(N, 2)`` unpadded height and width in input pixels.
    size : int
        Side of the low-res grid.
    stride : int
        Input pixels per cell.

    Returns
    -------
    Tensor
        ``(N, size, size)`` bool.
    """
    cells = torch.arange(size, device=valid.device) * stride
    return (cells < valid[:, :1])[:, :, None] & (cells < valid[:, 1:])[:, None, :]


def logits_to_image(
    logits: Tensor, size: int, valid: tuple[int, int], shape: tuple[int, int]
) -> Tensor:
    """Bring low-res logits to the image's pixels.

    Parameters
    ----------
    logits : Tensor
        ``(N, m, m)`` low-res logits.
    size : int
        Side of the model's input in pixels.
    valid : tuple of int
        Unpadded height and width in the model's input.
    shape : tuple of int
        Height and width of the image.

    Returns
    -------
    Tensor
        ``(N, Y, X)`` float32.
    """
    maps = F.interpolate(logits[:, None].float(), (size, size), mode="bilinear")
    maps = maps[..., : valid[0], : valid[1]]
    return F.interpolate(maps, shape, mode="bilinear")[:, 0]


def stretch(side: int, size: int, valid: int, length: int) -> Tensor:
    """What each low-res cell adds to each of the image's pixels, in one direction.

    With a matrix for the rows and one for the columns, ``rows @ logits @ columns.mT``
    is what `logits_to_image` gives, and its parts are those of the matrices.

    Parameters
    ----------
    side : int
        Of the low-res grid.
    size : int
        Side of the model's input.
    valid : int
        Unpadded height or width in the model's input.
    length : int
        Height or width of the image.

    Returns
    -------
    Tensor
        ``(length, side)`` float32.
    """
    cells = F.interpolate(torch.eye(side)[None], size, mode="linear")[..., :valid]
    return F.interpolate(cells, length, mode="linear")[0].mT.contiguous()
