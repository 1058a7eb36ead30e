"""micro-sam's decoder for automatic segmentation: foreground and two distances.

From SAM's embedding a convolutional decoder (the decoder of a UNETR, as torch_em builds
it for micro-sam, Archit et al., doi 10.1038/s41592-024-02580-4) tells foreground, how
far a pixel is from its object's centre, and how far from the object's depth. Names of
the tensors are those of micro-sam's ``decoder_state``.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FrozenBatchNorm2d

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LEVELS = 4
"""Each makes the grid twice as fine, and has half the channels of the one before."""
MAPS = 3
"""Foreground, distance to the centre, and distance to what is deepest."""
COUNTER = ".num_batches_tracked"
"""A batch norm's count of training steps, which this network leaves out."""
_LAST, _FIRST = "out_conv.weight", "deconv1.block.0.{}.weight"
_KINDS = {"conv": False, "block": True}
"""By a part of the layers' names: whether grids grow by transposed convolutions."""


class DistanceDecoder(nn.Module):
    """Foreground and distances from SAM's embedding.

    Parameters
    ----------
    embedding : int
        Channels of the embedding.
    width : int
        Channels of the finest level.
    transposed : bool
        Whether grids are made larger by transposed convolutions; else by bilinear
        interpolation.
    """

    def __init__(
        self, embedding: int = 256, width: int = 64, transposed: bool = False
    ) -> None:
        super().__init__()
        self.embedding_channels = embedding
        enlarge = _Transposed if transposed else _Bilinear
        channels = [width << level for level in reversed(range(LEVELS))]
        first, second, third, last = channels
        self.deconv1 = _Step(enlarge, embedding, first)
        self.deconv2 = _Step(enlarge, first, second)
        self.deconv3 = _Step(enlarge, second, third)
        self.deconv4 = _Step(enlarge, third, last)
        self.base = _TwoConvolutions(embedding, first)
        self.decoder = _Ladder(enlarge, channels)
        self.deconv_out = enlarge(last, last)
        self.decoder_head = _TwoConvolutions(2 * last, last)
        self.out_conv = nn.Conv2d(last, MAPS, 1)

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> DistanceDecoder | None:
        """Build the decoder that a state dict is of.

        Parameters
        ----------
        state : mapping of str to Tensor
            micro-sam's names, without `COUNTER`; float32.

        Returns
        -------
        DistanceDecoder or None
            In evaluation mode, with the weights; None if the tensors are not those of
            such a decoder.
        """
        for name, transposed in _KINDS.items():
            last, first = state.get(_LAST), state.get(_FIRST.format(name))
            if last is None or first is None or last.ndim < 2 or first.ndim < 2:
                continue
            sizes = last.shape[1], first.shape[0 if transposed else 1]
            if not min(sizes):
                continue
            with torch.device("meta"):  # nothing is allocated for what does not fit
                decoder = cls(sizes[1], sizes[0], transposed)
            expected = {k: v.shape for k, v in decoder.state_dict().items()}
            if expected == {k: v.shape for k, v in state.items()}:
                decoder.load_state_dict(state, assign=True)
                return decoder.eval().requires_grad_(False)
        return None

    def forward(self, embeddings: Tensor) -> Tensor:
        """Predict foreground and distances on a grid 16 times as fine.

        Parameters
        ----------
        embeddings : Tensor
            ``(B, C, h, w)`` float32, of SAM's neck.

        Returns
        -------
        Tensor
            ``(B, 3, 16 h, 16 w)``, 0 to 1: foreground; distance to the object's
            centre, and to what of it lies deepest, both 0 there and 1 at the border
            and outside.
        """
        coarse = self.deconv1(embeddings)
        middle = self.deconv2(coarse)
        fine = self.deconv3(middle)
        x = self.decoder(self.base(embeddings), (coarse, middle, fine))
        x = torch.cat([self.deconv_out(x), self.deconv4(fine)], dim=1)
        return self.out_conv(self.decoder_head(x)).sigmoid()


class _Bilinear(nn.Module):
    """Twice the grid. Its 1x1 convolution commutes, and is cheaper before."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.conv(x), scale_factor=2, mode="bilinear")


class _Transposed(nn.Module):
    """Twice the grid, each cell by weights of its own."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.block = nn.ConvTranspose2d(channels, out, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class _TwoConvolutions(nn.Module):
    """Twice: each channel of each image normalised, 3x3 convolution, ReLU."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.InstanceNorm2d(channels),
            nn.Conv2d(channels, out, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.InstanceNorm2d(out),
            nn.Conv2d(out, out, 3, padding=1),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class _Convolution(nn.Module):
    """A convolution by the name that it has in micro-sam."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class _Step(nn.Module):
    """Twice the grid, 3x3 convolution, batch norm, ReLU."""

    def __init__(
        self, enlarge: type[_Bilinear | _Transposed], channels: int, out: int
    ) -> None:
        super().__init__()
        self.block = nn.Sequential(
            enlarge(channels, out),
            _Convolution(out),
            FrozenBatchNorm2d(out),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class _Ladder(nn.Module):
    """From the embedding's grid to eight times it, with what the steps made."""

    def __init__(
        self, enlarge: type[_Bilinear | _Transposed], channels: Sequence[int]
    ) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(channels))
        self.blocks = nn.ModuleList(_TwoConvolutions(*pair) for pair in pairs)
        self.samplers = nn.ModuleList(enlarge(*pair) for pair in pairs)

    def forward(self, x: Tensor, beside: tuple[Tensor, ...]) -> Tensor:
        for sampler, block, other in zip(
            self.samplers, self.blocks, beside, strict=True
        ):
            x = sampler(x)
            # The steps have twice the channels; torch_em crops them to the middle ones.
            middle = other.narrow(1, x.shape[1] // 2, x.shape[1])
            x = block(torch.cat([x, middle], dim=1))
        return x
