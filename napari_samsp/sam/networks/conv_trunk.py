"""The convolutional trunk of ``samsp_small``: EfficientNet-Lite0, norms folded.

The network and its weights are those of Tan and Le (arXiv 1905.11946), built by timm.
With few images a batch norm's statistics are noise, so they are those of ImageNet for
good, multiplied into the convolutions: the same numbers with fewer operations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import timm
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

TRUNK = "tf_efficientnet_lite0"
CHANNELS = {2: 16, 4: 24, 8: 40, 16: 112, 32: 320}
"""Channels of the features at each stride."""


def build_trunk(imagenet: Mapping[str, Tensor] | None = None) -> nn.Module:
    """Build the convolutional trunk.

    Parameters
    ----------
    imagenet : mapping of str to Tensor, optional
        A state dict of EfficientNet-Lite0 with its batch norms, in the order of timm's.
        Default: random weights.

    Returns
    -------
    torch.nn.Module
        Takes ``(B, 3, S, S)``, ``(x - 127) / 128`` of colours from 0 to 255; gives the
        features at strides 2, 4, 8, 16 and 32.
    """
    trunk = timm.create_model(TRUNK, features_only=True)
    if imagenet is not None:
        load_imagenet(trunk, imagenet)
    _fold(trunk.eval(), "conv_stem", "bn1")
    for block in trunk.modules():
        # In both kinds of block, the convolutions and the norms that follow them.
        pairs = {
            "DepthwiseSeparableConv": (("conv_dw", "bn1"), ("conv_pw", "bn2")),
            "InvertedResidual": (
                ("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3"),
            ),
        }.get(type(block).__name__, ())  # fmt: skip
        for conv, norm in pairs:
            _fold(block, conv, norm)
    return trunk.to(memory_format=torch.channels_last)


def load_imagenet(trunk: nn.Module, imagenet: Mapping[str, Tensor]) -> None:
    """Put weights into a trunk that still has its batch norms.

    Parameters
    ----------
    trunk : torch.nn.Module
        timm's network without its classifier.
    imagenet : mapping of str to Tensor
        As for `build_trunk`.
    """
    names = timm.create_model(TRUNK).state_dict().keys()
    weights = dict(zip(names, imagenet.values(), strict=True))
    trunk.load_state_dict({name: weights[name] for name in trunk.state_dict()})


def _fold(module: nn.Module, conv_name: str, norm_name: str) -> None:
    """Multiply a batch norm into the convolution before it; its activation stays."""
    conv, norm = getattr(module, conv_name), getattr(module, norm_name)
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias,
        norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias,
    )  # fmt: skip
    setattr(module, norm_name, norm.act)
