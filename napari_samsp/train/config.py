"""The settings of a training run: of the command line, the recipes and the widget."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from napari_samsp.data.components import check_components
from napari_samsp.data.rgb import Scaling
from napari_samsp.sam.prompt_kind import MOST_ITERATIONS, parse_kind
from napari_samsp.utils.errors import InputError

SPEEDS = {
    "decoder": "Quickest: prompt encoder and mask decoder; for large models on a "
    "computer without a GPU.",
    "last-blocks": "These, and LoRA in the last quarter of the image encoder.",
    "everywhere": "These, and LoRA in all of the image encoder, as in the paper; of "
    "the small model all convolutions too: slowest, adapts most.",
}
"""What a run trains, and the line that explains it. What it does not train runs once
an image."""

LEAST_TO_HOLD_OUT = 20
"""With fewer images, all train. Of five, the one held out was a fifth of what could be
learnt from, and which epoch it chose was luck."""
LEAST_TO_CROSS_VALIDATE = 3
"""With two images, each fold would learn from one, and two figures tell nothing."""


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run.

    Each field is an option of ``python -m napari_samsp.train``; its help is the
    field's metadata.

    Raises
    ------
    InputError
        If a value makes no sense.
    """

    model: str = _option("samsp_small", "base model: a name or a checkpoint file")
    adapter: str | None = _option(
        None, "continue from this adapter instead of the base weights"
    )
    validation: str | None = _option(
        None,
        "a training set to judge by, or the fraction of images to hold out; "
        f"default: a fifth of {LEAST_TO_HOLD_OUT} images or more; of fewer all train, "
        "and a quarter of the time goes into cross-validation; 0: neither",
    )
    unlabelled: str | None = _option(
        None,
        "a folder of images without masks to learn from as well: on them the last "
        "iteration of the mean of the weights teaches the first",
    )
    objects: bool = _option(False, "one prompt per object instead of one per image")
    components: str = _option(
        "auto",
        "with objects, whether the connected parts of a label are the objects: auto "
        "(in masks of one value only, such as 0 and 255), yes or no",
    )
    classes: bool = _option(
        False, "learn the classes that the set's classes.json names, not foreground"
    )
    ignore: int = _option(
        0,
        "label of pixels that nobody labelled, such as 255: they carry no loss and are "
        "not judged; 0: every pixel without a label is background",
    )
    prompt: str = _option("box+mask", "what an iteration hands to the next")
    iterations: int = _option(2, "iterations trained, the prompt-free one included")
    epochs: int = _option(
        0, "passes over the images, at most; 0: 60, or what --minutes or --steps allow"
    )
    minutes: float = _option(0.0, "time limit; 0 for none")
    steps: int = _option(
        0, "optimiser steps, at most, the same on every computer; 0: no limit"
    )
    patience: int = _option(
        12,
        "in the second half of the run, epochs that are worse than the best, or no "
        "better than before the run, until it stops; 0: never",
    )
    speed: str = _option(
        "auto",
        f"what is trained: {', '.join(SPEEDS)}; auto: the last of these that the time "
        "allows on this device",
    )
    rank: int = _option(4, "rank of the LoRA matrices")
    rate: float = _option(5e-3, "peak learning rate of the LoRA matrices")
    decoder_rate: float = _option(1e-3, "the same of prompt encoder and mask decoder")
    encoder_rate: float = _option(
        2e-4, "the same of the small model's convolutions in the image encoder"
    )
    batch: int = _option(4, "images a step, over all processes")
    input_size: int = _option(
        0,
        "side in pixels of the model's input, a multiple of 16; smaller is faster; "
        "0: the adapter's, or the model's own",
    )
    field_of_view: int = _option(
        0, "side in pixels of what the model sees at once; 0: chosen from the masks"
    )
    scaling: str = _option(
        "",
        "how intensities become 8-bit: percentile:LOW:HIGH, limits:LOW:HIGH or none; "
        "default: the adapter's, or percentile:0.5:99.8",
    )
    series: int = _option(
        -1, "which image of a file that holds several, from 0; -1: the largest"
    )
    views: int = _option(20, "augmented views an epoch, at least")
    distill: float = _option(1.0, "weight of self-distillation; 0 turns it off")
    temperature: float = _option(2.0, "temperature of self-distillation")
    true_prompts: float = _option(
        0.5, "weight of decoding from true, jittered prompts; 0 turns it off"
    )
    augment: bool = _option(True, "crop, turn, mirror and recolour at random")
    seed: int = _option(0, "seed of everything random")
    device: str = _option("auto", "auto, cpu, cuda, cuda:1, mps")
    checkpointing: bool = _option(
        False, "a fifth of the memory for a fifth more time: compute the encoder twice"
    )
    threads: int = _option(
        0, "CPU threads, at most the free cores; 0: all of them, -1: all but one, ..."
    )

    def __post_init__(self) -> None:
        parse_kind(self.prompt)
        if self.classes and self.ignore:
            raise InputError(
                "With --classes the set's classes.json names the label to ignore: "
                "leave out --ignore."
            )
        check_components(self.components)
        if self.speed not in ("auto", *SPEEDS):
            raise InputError(f"speed must be auto, {', '.join(SPEEDS)}.")
        if self.scaling:
            Scaling.parse(self.scaling)
        least = {
            "ignore": 0,
            "iterations": 1,
            "epochs": 0,
            "rank": 1,
            "batch": 1,
            "views": 1,
            "series": -1,
            "minutes": 0,
            "steps": 0,
            "input_size": 0,
            "field_of_view": 0,
            "patience": 0,
            "distill": 0,
            "true_prompts": 0,
        }
        for name, bound in least.items():
            if not getattr(self, name) >= bound:
                raise InputError(f"{name} must be at least {bound}.")
        most = {
            "ignore": 2**31 - 1,
            "iterations": MOST_ITERATIONS,
            "epochs": 1_000_000,
            "rank": 1024,
            "batch": 4096,
            "views": 1_000_000,
            "series": 1_000_000,
            "minutes": 1_000_000,
            "steps": 1_000_000_000,
            "input_size": 8192,
            "field_of_view": 1_000_000,
            "patience": 1_000_000,
            "distill": 1000,
            "true_prompts": 1000,
            "seed": 2**31,
            "threads": 4096,
        }
        for name, bound in most.items():
            if not abs(getattr(self, name)) <= bound:
                raise InputError(f"{name} must be at most {bound}.")
        for name in ("rate", "decoder_rate", "encoder_rate", "temperature"):
            if not 0 < getattr(self, name) < 100:
                raise InputError(f"{name} must be above 0.")

    @property
    def most_epochs(self) -> int:
        """Epochs after which a run ends if nothing else ends it."""
        return self.epochs or (100_000 if self.minutes or self.steps else 60)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for YAML."""
        return asdict(self)


def option_help(name: str) -> str:
    """The one line that explains a setting, for the command line and for tooltips."""
    return next(f.metadata["help"] for f in fields(TrainConfig) if f.name == name)
