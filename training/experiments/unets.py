"""U-Nets that learn from the same views: what a user could train instead."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch
from imagenet import imagenet_weights
from job import labels_of
from scipy.ndimage import binary_dilation
from skimage.segmentation import find_boundaries, watershed
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from napari_samsp.data.components import connected_parts
from napari_samsp.sam.architecture import PIXEL_MEAN, PIXEL_STD
from napari_samsp.sam.networks.conv_trunk import load_imagenet
from napari_samsp.self_prompting.letterbox import logits_to_image, to_model_input
from napari_samsp.train.examples.augment import Augmentation, stack_views
from napari_samsp.train.examples.dataset import best_fields
from napari_samsp.train.examples.symmetry import symmetry_of
from napari_samsp.train.objective.losses import segmentation_loss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from job import Job, Predictor

SIZE, PATCH = 256, 16
"""Of samsp_small, so that the views are the same."""
RATE, TRUNK_RATE = 1e-3, 3e-4
WARM_UP = 10
DECAY = 0.98
"""Of the running mean of the weights, as our trainer's: over fifty steps."""


class ImageNetUnet(nn.Module):
    """segmentation_models_pytorch's U-Net on the trunk of ``samsp_small``.

    The trunk begins with the same ImageNet weights.

    Parameters
    ----------
    channels : int
        Of its logits.
    """

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        import segmentation_models_pytorch as smp

        self.net = smp.Unet(
            "tu-tf_efficientnet_lite0", encoder_weights=None, classes=channels
        )
        load_imagenet(self.net.encoder.model, imagenet_weights())
        mean, std = (
            torch.tensor(values)[:, None, None] for values in (PIXEL_MEAN, PIXEL_STD)
        )
        self.register_buffer("scale", std / 128)
        self.register_buffer("shift", (mean - 127) / 128)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, C, H, W)`` of SAM's normalised images ``(B, 3, H, W)``."""
        return self.net(torch.addcmul(self.shift, images, self.scale))


def scratch_unet(job: Job) -> Predictor:
    """MONAI's BasicUNet (2.0 M parameters) from random weights."""
    from monai.networks.nets import BasicUNet

    torch.manual_seed(job.seed)
    net = BasicUNet(2, 3, _channels(job), features=(24, 24, 48, 96, 192, 24))
    return _fit(job, net, None)


def imagenet_unet(job: Job) -> Predictor:
    """`ImageNetUnet`, all weights trained, the trunk's at a lower rate."""
    torch.manual_seed(job.seed)
    net = ImageNetUnet(_channels(job))
    return _fit(job, net, net.net.encoder)


def border_unet(job: Job) -> Predictor:
    """`ImageNetUnet` with a second output for borders, at which objects are cut.

    What won the Data Science Bowl of 2018: inside without border is a seed for each
    object, from which a watershed fills the foreground.
    """
    torch.manual_seed(job.seed)
    net = ImageNetUnet(2)
    return _fit(job, net, net.net.encoder)


def _channels(job: Job) -> int:
    """One of the foreground, or a softmax over the background and the classes."""
    return 1 + len(job.classes)


def _fit(job: Job, net: nn.Module, trunk: nn.Module | None) -> Predictor:
    inside = {id(p) for p in trunk.parameters()} if trunk is not None else set()
    groups = [
        {
            "params": [p for p in net.parameters() if id(p) in inside],
            "peak": TRUNK_RATE,
        },
        {"params": [p for p in net.parameters() if id(p) not in inside], "peak": RATE},
    ]
    optimizer = torch.optim.AdamW(groups, RATE, weight_decay=0.01)
    average = AveragedModel(
        net, multi_avg_fn=get_ema_multi_avg_fn(DECAY), use_buffers=True
    )
    # A network without a look of its own sees all images at one scale.
    field = round(np.median(best_fields(job.pictures, SIZE, PATCH)))
    augment = Augmentation(SIZE, symmetry=symmetry_of([p.labels for p in job.pictures]))
    rng = np.random.default_rng(job.seed)
    begun, part, step = time.process_time(), 0.0, 0
    while part < 1:
        step += 1
        for group in optimizer.param_groups:
            fall = min(1, max(0.02, 2 * (1 - part)))
            group["lr"] = group["peak"] * min(1, step / WARM_UP) * fall
        drawn = [job.pictures[i] for i in rng.integers(len(job.pictures), size=4)]
        batch = stack_views([augment(p.image, p.labels, field) for p in drawn])
        weight = torch.zeros_like(batch.labels, dtype=torch.float32)
        for n, (height, width) in enumerate(batch.valid.tolist()):
            weight[n, :height, :width] = 1
        logits = net(batch.image)
        loss = _loss(logits, batch.labels, weight, job.classes)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        average.update_parameters(net)
        part = (time.process_time() - begun) / (60 * job.minutes)
    judged = average.module.eval()

    def predict(image: np.ndarray) -> list[np.ndarray]:
        shape = image.shape[:2]
        # Fully convolutional: the whole image at the training views' scale.
        size = -(-max(shape) * SIZE // field // 32) * 32
        tensor, valid = to_model_input(image, size)
        height, width = (-(-int(side) // 32) * 32 for side in valid)
        with torch.inference_mode():
            logits = judged(tensor[None, :, :height, :width])[0]
            logits = F.pad(logits, (0, size - width, 0, size - height))
            full = logits_to_image(logits, size, tuple(valid.tolist()), shape).numpy()
        if job.classes:
            return [np.array([0, *job.classes], np.int32)[full.argmax(0)]]
        inside, *border = full
        if border and job.objects:
            return [cut(inside, border[0])]
        return [labels_of(inside > 0, job.objects)]

    return predict


def _loss(
    logits: Tensor, labels: Tensor, weight: Tensor, classes: Sequence[int]
) -> Tensor:
    if classes:
        return softmax_loss(logits, labels, weight, classes)
    loss = segmentation_loss(logits[:, 0], (labels > 0).float(), weight)
    if logits.shape[1] > 1:
        loss = loss + segmentation_loss(logits[:, 1], borders(labels).float(), weight)
    return loss.mean()


def borders(labels: Tensor) -> Tensor:
    """Where objects end, two pixels inside and out: bool, of int ``(B, H, W)``."""
    found = [find_boundaries(one, mode="thick") for one in labels.numpy()]
    return torch.from_numpy(binary_dilation(found, np.ones((1, 3, 3))))


def cut(inside: np.ndarray, border: np.ndarray) -> np.ndarray:
    """Int32 labels of the objects that borders keep apart, of logits ``(Y, X)``."""
    seeds = connected_parts((inside > 0) & (border < 0))
    return watershed(border, seeds, mask=inside > 0).astype(np.int32)


def softmax_loss(
    logits: Tensor, truth: Tensor, weight: Tensor, labels: Sequence[int]
) -> Tensor:
    """Cross-entropy and the mean soft Dice of the classes, padding left out.

    Parameters
    ----------
    logits : Tensor
        ``(B, 1 + K, H, W)``, the background first.
    truth, weight : Tensor
        ``(B, H, W)`` labels, and 1 inside the image, else 0.
    labels : sequence of int
        Of the K classes.
    """
    target = torch.zeros_like(truth)
    for n, label in enumerate(labels, start=1):
        target[truth == label] = n
    entropy = F.cross_entropy(logits, target, reduction="none")
    entropy = (entropy * weight).sum((1, 2)) / weight.sum((1, 2))
    found = logits.softmax(1)[:, 1:] * weight[:, None]
    true = F.one_hot(target, 1 + len(labels)).permute(0, 3, 1, 2)[:, 1:]
    true = true * weight[:, None]
    overlap = 2 * (found * true).sum((2, 3)) + 1
    total = found.square().sum((2, 3)) + true.sum((2, 3)) + 1
    return (entropy + 1 - (overlap / total).mean(1)).mean()
