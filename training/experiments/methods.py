"""The methods that the experiments compare, behind one interface.

A method learns from pictures for some minutes and gives a function from a picture to
label images: one, or one an iteration.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from shutil import copytree
from typing import TYPE_CHECKING

import numpy as np
import torch
from skimage import measure
from skimage.color import rgb2gray
from skimage.feature import multiscale_basic_features
from skimage.filters import threshold_otsu
from sklearn.ensemble import RandomForestClassifier
from torch.nn import functional as F

from napari_samsp import Segmenter
from napari_samsp.core.adapter_card import read_card
from napari_samsp.core.letterbox import logits_to_image, to_model_input
from napari_samsp.core.training_set import TrainingSet
from napari_samsp.train.augment import Augmentation, stack_views
from napari_samsp.train.config import TrainConfig
from napari_samsp.train.data import Picture, best_fields
from napari_samsp.train.events import EpochEnded, Event
from napari_samsp.train.loop import train
from napari_samsp.train.losses import segmentation_loss

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Predictor = Callable[[np.ndarray], list[np.ndarray]]

PIXELS_AN_IMAGE = 5_000
"""That the forest learns from; users scribble less."""
INPUT_SIZE, PATCH_SIZE = 256, 16
"""Of samsp_tiny; the U-Net gets the same views."""


@dataclass(frozen=True)
class Job:
    """What a method is given.

    Attributes
    ----------
    pictures : list of Picture
        To learn from.
    work : Path
        An empty folder of its own.
    base : str
        The base model, for those that have one.
    minutes : float
        Training time.
    iterations : int
        Iterations wanted from those that iterate.
    seed : int
        Of everything random.
    objects : bool
        Instances are wanted.
    """

    pictures: list[Picture]
    work: Path
    base: str
    minutes: float
    iterations: int
    seed: int
    objects: bool


def otsu(job: Job) -> Predictor:
    """Otsu's threshold; the smaller side is foreground. Learns nothing."""

    def predict(image: np.ndarray) -> list[np.ndarray]:
        gray = rgb2gray(image)
        bright = gray > threshold_otsu(gray)
        return [_labels(bright if bright.mean() <= 0.5 else ~bright, job.objects)]

    return predict


def forest(job: Job) -> Predictor:
    """A random forest on multiscale features, as in ilastik and convpaint."""
    rng = np.random.default_rng(job.seed)
    features, classes = [], []
    for picture in job.pictures:
        flat = _features(picture.image)
        pick = rng.choice(len(flat), min(PIXELS_AN_IMAGE, len(flat)), replace=False)
        features.append(flat[pick])
        classes.append((picture.labels > 0).ravel()[pick])
    model = RandomForestClassifier(
        100,
        max_depth=20,
        min_samples_leaf=5,
        n_jobs=torch.get_num_threads(),
        random_state=job.seed,
    )
    model.fit(np.concatenate(features), np.concatenate(classes))

    def predict(image: np.ndarray) -> list[np.ndarray]:
        said = model.predict(_features(image)).reshape(image.shape[:2])
        return [_labels(said, job.objects)]

    return predict


def unet(job: Job) -> Predictor:
    """MONAI's BasicUNet (2.0 M parameters) from scratch, on the same views."""
    from monai.networks.nets import BasicUNet

    torch.manual_seed(job.seed)
    net = BasicUNet(2, 3, 1, features=(24, 24, 48, 96, 192, 24))
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
    # A network without a look of its own sees all images at one scale.
    field = round(np.median(best_fields(job.pictures, INPUT_SIZE, PATCH_SIZE)))
    augment = Augmentation(INPUT_SIZE)
    rng = np.random.default_rng(job.seed)
    begun, part = time.monotonic(), 0.0
    while part < 1:
        drawn = [job.pictures[i] for i in rng.integers(len(job.pictures), size=4)]
        batch = stack_views([augment(p.image, p.labels, field) for p in drawn])
        weight = torch.zeros_like(batch.labels, dtype=torch.float32)
        for n, (height, width) in enumerate(batch.valid.tolist()):
            weight[n, :height, :width] = 1
        logits = net(batch.image)[:, 0]
        loss = segmentation_loss(logits, (batch.labels > 0).float(), weight).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        part = (time.monotonic() - begun) / (60 * job.minutes)
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1, max(0.02, 2 * (1 - part)))
    net.eval()

    def predict(image: np.ndarray) -> list[np.ndarray]:
        shape = image.shape[:2]
        # Fully convolutional: the whole image at the training views' scale.
        size = -(-max(shape) * INPUT_SIZE // field // 16) * 16
        tensor, valid = to_model_input(image, size)
        height, width = (-(-int(side) // 16) * 16 for side in valid)
        with torch.inference_mode():
            logits = net(tensor[None, :, :height, :width])[:, 0]
            logits = F.pad(logits, (0, size - width, 0, size - height))
            full = logits_to_image(logits, size, tuple(valid.tolist()), shape)[0]
        return [_labels(full.numpy() > 0, job.objects)]

    return predict


def untrained(job: Job) -> Predictor:
    """The base model as it is."""
    return _segmenter(job, None)


def trained(luckiest: bool = False, **settings: object) -> Callable[[Job], Predictor]:
    """Our trainer with some of its settings changed.

    ``luckiest`` takes the epoch that is best on the held-out images instead of the one
    that the trainer keeps.
    """

    def fit(job: Job) -> Predictor:
        adapter, lucky = job.work / "run" / "adapter", job.work / "luckiest"
        highest = -np.inf

        def look(event: Event) -> None:
            nonlocal highest
            if luckiest and isinstance(event, EpochEnded) and event.best:
                after = read_card(adapter).after or {}
                merit = np.mean([after[k][-1] for k in ("dice", "ap50") if k in after])
                if merit > highest:
                    highest = merit
                    copytree(adapter, lucky, dirs_exist_ok=True)

        source = TrainingSet(job.work / "set")
        for picture in job.pictures:
            source.add(picture.image, picture.labels, name=picture.name)
        config = TrainConfig(
            **{
                "model": job.base,
                "minutes": job.minutes,
                "seed": job.seed,
                "objects": job.objects,
                "speed": "everywhere",
                "threads": torch.get_num_threads(),
                **settings,
            }
        )
        train(source.folder, job.work / "run", config, report=look)
        return _segmenter(job, lucky if luckiest else adapter)

    return fit


def components(job: Job) -> Predictor:
    """SAM-SP for the whole image; its connected components are the objects."""
    whole = Job(**{**job.__dict__, "objects": False})
    predict = METHODS["sam-sp"](whole)
    return lambda image: [_labels(step > 0, job.objects) for step in predict(image)]


METHODS: dict[str, Callable[[Job], Predictor]] = {
    "otsu": otsu,
    "forest": forest,
    "unet": unet,
    "untrained": untrained,
    "decoder": trained(iterations=1, speed="decoder"),
    "lora": trained(iterations=1),
    "lora+sp": trained(distill=0.0),
    "sam-sp": trained(),
    "sam-sp, luckiest epoch": trained(luckiest=True),
    "sam-sp, three iterations": trained(iterations=3),
    "components": components,
    # Prompts per object at inference, by a model that was trained for whole images.
    "objects untrained-for": trained(objects=False),
}


def _segmenter(job: Job, adapter: Path | None) -> Predictor:
    segmenter = Segmenter(job.base, adapter)

    def predict(image: np.ndarray) -> list[np.ndarray]:
        steps = segmenter.segment(image, job.iterations, job.objects)
        return [step.labels for step in steps]

    return predict


def _features(image: np.ndarray) -> np.ndarray:
    stack = multiscale_basic_features(image, channel_axis=-1, sigma_max=8)
    return stack.reshape(-1, stack.shape[-1])


def _labels(foreground: np.ndarray, objects: bool) -> np.ndarray:
    if objects:
        return measure.label(foreground, connectivity=1).astype(np.int32)
    return foreground.astype(np.int32)
