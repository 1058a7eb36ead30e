"""The methods that the experiments compare, behind one interface.

A method learns from pictures for some minutes and gives a function from a picture to
label images: one, or one an iteration.
"""

from __future__ import annotations

import time
from dataclasses import replace
from shutil import copytree
from typing import TYPE_CHECKING

import numpy as np
import torch
from job import Job, labels_of
from skimage.color import rgb2gray
from skimage.feature import multiscale_basic_features
from skimage.filters import threshold_otsu
from sklearn.ensemble import RandomForestClassifier
from unets import border_unet, imagenet_unet, scratch_unet

from napari_samsp import Segmenter
from napari_samsp.data.training_sets.classes import (
    Classes,
    LabelClass,
    default_color,
    write_classes,
)
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.sam.adapters.adapter_card import read_card
from napari_samsp.train.config import TrainConfig
from napari_samsp.train.events import EpochEnded, Event
from napari_samsp.train.loop import train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from job import Predictor

PIXELS_AN_IMAGE = 5_000
"""That the forest learns from; users scribble less."""


def otsu(job: Job) -> Predictor:
    """Otsu's threshold; the smaller side is foreground. Learns nothing."""

    def predict(image: np.ndarray) -> list[np.ndarray]:
        gray = rgb2gray(image)
        bright = gray > threshold_otsu(gray)
        return [labels_of(bright if bright.mean() <= 0.5 else ~bright, job.objects)]

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
        return [labels_of(said, job.objects)]

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
                score = np.mean([after[k][-1] for k in ("dice", "ap50") if k in after])
                if score > highest:
                    highest = score
                    copytree(adapter, lucky, dirs_exist_ok=True)

        source = TrainingSet(job.work / "set")
        for picture in job.pictures:
            source.add(picture.image, picture.labels, name=picture.name)
        named = [LabelClass(n, f"class {n}", default_color(n)) for n in job.classes]
        if named:
            write_classes(source.folder, Classes("semantic", tuple(named)))
        config = TrainConfig(
            **{
                "model": job.base,
                "minutes": job.minutes,
                "seed": job.seed,
                "objects": job.objects,
                "classes": bool(named),
                "speed": "everywhere",
                "threads": torch.get_num_threads(),
                **settings,
            }
        )
        train(
            source.folder, job.work / "run", config,
            report=look, seconds=time.process_time,
        )  # fmt: skip
        return _segmenter(job, lucky if luckiest else adapter)

    return fit


def components(job: Job) -> Predictor:
    """SAM-SP for the whole image; its connected components are the objects."""
    whole = Job(**{**job.__dict__, "objects": False})
    predict = METHODS["sam-sp"](whole)
    return lambda image: [labels_of(step > 0, job.objects) for step in predict(image)]


def one_by_one(job: Job) -> Predictor:
    """A run of each class alone, all in the time of one; the surest class wins."""
    if not job.classes:
        raise ValueError("one by one is of classes")
    segmenters = []
    for label in job.classes:
        work = job.work / str(label)
        work.mkdir()
        pictures = [
            replace(one, labels=np.where(one.labels == label, 1, 0).astype(np.int32))
            for one in job.pictures
        ]
        alone = replace(
            job, pictures=pictures, work=work, classes=(),
            minutes=job.minutes / len(job.classes),
        )  # fmt: skip
        trained()(alone)
        segmenters.append(Segmenter(job.base, work / "run" / "adapter"))

    def predict(image: np.ndarray) -> list[np.ndarray]:
        runs = [one.segment(image, job.iterations) for one in segmenters]
        found = []
        for steps in zip(*runs, strict=True):
            maps = np.stack([np.zeros(image.shape[:2]), *(s.logits for s in steps)])
            found.append(np.array([0, *job.classes], np.int32)[maps.argmax(0)])
        return found

    return predict


METHODS: dict[str, Callable[[Job], Predictor]] = {
    "otsu": otsu,
    "forest": forest,
    "unet": scratch_unet,
    "unet, ImageNet": imagenet_unet,
    "unet, borders": border_unet,
    "untrained": untrained,
    "decoder": trained(iterations=1, speed="decoder"),
    "lora": trained(iterations=1),
    "lora+sp": trained(distill=0.0),
    "sam-sp": trained(),
    "sam-sp, a fifth held out": trained(validation="0.2"),
    "sam-sp, luckiest epoch": trained(luckiest=True),
    "sam-sp, three iterations": trained(iterations=3),
    "components": components,
    "sam-sp, one class a run": one_by_one,
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
