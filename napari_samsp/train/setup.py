"""What a training run is made of, from its settings: read, checked and put together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs

from napari_samsp.data.components import parts_note
from napari_samsp.data.rgb import Scaling
from napari_samsp.data.training_sets.class_labels import check_present
from napari_samsp.data.training_sets.classes import classes_to_learn
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.sam.adapters.adapter import add_lora, freeze_blocks, load_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard, read_card
from napari_samsp.sam.architecture import patch_size
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.sam.kernels.encoder_train import WORTH_IT_TOKENS
from napari_samsp.train.distributed import Processes
from napari_samsp.train.examples.dataset import (
    Example,
    Views,
    best_fields,
    check_labelled,
    read_pictures,
)
from napari_samsp.train.examples.splits import folds, split
from napari_samsp.train.model import ModelInTraining
from napari_samsp.train.run_folder import RunFolder
from napari_samsp.train.trainable import (
    choose_speed,
    frozen_blocks,
    kept_views,
    operations_per_second,
)
from napari_samsp.train.trainer import Trainer
from napari_samsp.train.validation.validate import ValidationResult, judge
from napari_samsp.utils.device import choose_device, free_cores, likes_bfloat16
from napari_samsp.utils.errors import InputError, some

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from peft import PeftModel

    from napari_samsp.data.training_sets.classes import Classes
    from napari_samsp.inference.results import Iteration
    from napari_samsp.train.config import TrainConfig
    from napari_samsp.train.events import Event

LONGEST_SILENCE = timedelta(hours=6)
"""While the main process judges, the others wait; then they take it for dead."""
LIBRARIES = ("torch", "peft", "segment-anything", "accelerate")


@dataclass(frozen=True)
class Parts:
    """The parts of a run, in one process of it.

    Attributes
    ----------
    config : TrainConfig
        With the speed that was chosen.
    accelerator, processes
        This process, and what it says to the others.
    folder : RunFolder
        Where the run is written.
    report : callable
        Hears every event, on the main process.
    pictures, judged_by : list of Example
        What trains, and what judges: the same if none is held out.
    held_out : int
        How many images are.
    field : tuple of int
        Least and most image pixels, along a side, that the model sees at once.
    peft : peft.PeftModel
        The model with its adapter, which is what learns.
    model : ModelInTraining
        The same, prompting itself.
    folds : list of list of int
        Of a cross-validation, as positions in ``pictures``; empty for none.
    new_trainer : callable
        Of some of the pictures, by their positions, and of who hears of its steps.
    card : AdapterCard
        Of the adapter, without its figures.
    note : str
        How the masks were read, if not as they are.
    """

    config: TrainConfig
    accelerator: Accelerator
    processes: Processes
    folder: RunFolder
    report: Callable[[Event], None]
    pictures: list[Example]
    judged_by: list[Example]
    held_out: int
    field: tuple[int, int]
    peft: PeftModel
    model: ModelInTraining
    folds: list[list[int]]
    new_trainer: Callable[..., Trainer]
    card: AdapterCard
    note: str = ""

    def judge(
        self,
        trainer: Trainer,
        pictures: list[Example],
        see: Callable[[Example, Iteration], None] | None = None,
    ) -> ValidationResult:
        """Judge the running mean of a trainer's weights; the same in all processes."""

        def work() -> ValidationResult:
            iterations, names = self.config.iterations, self.names
            return judge(self.model, pictures, iterations, self.field, names, see)

        with trainer.average.in_place():
            return self.processes.run_on_main(work)

    @property
    def names(self) -> list[str]:
        """Of the classes, if there are several."""
        names = [one.name for one in self.card.classes]
        return names if len(names) > 1 else []


def set_up(
    training_set: Path,
    output: Path,
    config: TrainConfig,
    resume: bool,
    report: Callable[[Event], None],
) -> Parts:
    """Read and check all that a run needs, then begin its folder.

    Parameters
    ----------
    training_set, output, config, resume, report
        As for `napari_samsp.train.loop.train`.

    Returns
    -------
    Parts
        Ready to train from the beginning.

    Raises
    ------
    InputError
        If something cannot be used; then nothing was written.
    """
    source = TrainingSet(training_set)
    samples = source.check()
    classes = classes_to_learn(training_set) if config.classes else None
    count = len(classes.classes) if classes else 1
    fitting, held_out = split(samples, config.validation, config.seed)
    accelerator = _accelerator(config)
    processes = Processes(accelerator)
    if config.batch < processes.count:
        raise InputError(
            f"A step of {config.batch} images cannot be shared by "
            f"{processes.count} processes; raise --batch."
        )
    device = accelerator.device
    if device.type == "cpu":
        torch.set_num_threads(max(1, torch.get_num_threads() // processes.count))
    folder = RunFolder(output)
    earlier = read_card(config.adapter) if config.adapter else None
    if earlier is not None:
        check_continued(earlier, classes)
    scaling = earlier.scaling if earlier else Scaling()
    if config.scaling:
        scaling = Scaling.parse(config.scaling)
    size = config.input_size or (earlier.image_size if earlier else None)
    loaded = load_sam(config.model, size)
    encoder = loaded.sam.image_encoder
    size, patch = int(encoder.img_size), patch_size(encoder)
    large = (size // patch) ** 2 > WORTH_IT_TOKENS
    bfloat16 = likes_bfloat16(device) and (large or device.type != "cpu")

    def speed() -> str:
        """The one that was begun with, or else fits the time."""
        if begun := folder.begun_with("speed"):
            return str(begun)
        dtype = torch.bfloat16 if bfloat16 else torch.float32
        possible = operations_per_second(device, dtype)
        return choose_speed(encoder, len(fitting), config.minutes, possible)

    if config.speed == "auto":
        config = replace(config, speed=processes.run_on_main(speed))
    frozen = frozen_blocks(config.speed, encoder)
    torch.manual_seed(config.seed)
    if config.adapter:
        peft, _ = load_adapter(
            loaded.sam, config.adapter, loaded.sha256, trainable=True,
            new_classes=count,
        )  # fmt: skip
    else:
        peft = add_lora(loaded.sam, config.rank, loaded.name, frozen, count)
    freeze_blocks(peft, frozen)
    components = config.components if config.objects else "no"
    series = config.series if config.series >= 0 else None
    how = (scaling, components, series, classes, config.objects)
    pictures = read_pictures(fitting, *how)
    check_labelled(pictures)
    if classes is not None:
        check_present([picture.labels for picture in pictures], classes)
    held_pictures = read_pictures(held_out, *how)
    judged_by = held_pictures or pictures
    split_masks = [one.name for one in (*pictures, *held_pictures) if one.split]
    # Only now is all input known to be good: nothing was written before.
    fingerprint = source.fingerprint(config.classes)
    if processes.main:
        folder.start(config, training_set, fingerprint, resume)
    accelerator.wait_for_everyone()
    fields = best_fields(pictures, size, patch)
    if config.field_of_view:
        fields = [config.field_of_view] * len(pictures)
    field = min(fields), max(fields)
    heard = report if processes.main else _unheard
    model = ModelInTraining(
        peft.get_base_model(),
        config.prompt,
        config.objects,
        frozen,
        config.checkpointing,
    )

    def new_trainer(
        numbers: Sequence[int], report: Callable[[Event], None] = heard
    ) -> Trainer:
        views = Views(
            [pictures[n] for n in numbers],
            size,
            config.views,
            config.augment,
            [fields[n] for n in numbers],
            kept_views(encoder) if frozen != 0 else None,
            config.seed,
        )
        return Trainer(peft, model, views, config, processes, report, bfloat16)

    return Parts(
        config=config,
        accelerator=accelerator,
        processes=processes,
        folder=folder,
        report=heard,
        pictures=pictures,
        judged_by=judged_by,
        held_out=len(held_out),
        field=field,
        peft=peft,
        model=model,
        # An adapter to continue from may have learnt from these very images.
        folds=folds(fitting)
        if config.validation is None and not held_out and not config.adapter
        else [],
        new_trainer=new_trainer,
        card=AdapterCard(
            base=loaded.name,
            base_sha256=loaded.sha256,
            image_size=size,
            field_of_view=field,
            scaling=scaling,
            prompt=config.prompt,
            iterations=config.iterations,
            objects=config.objects,
            speed=config.speed,
            fingerprint=fingerprint,
            images=len(pictures),
            held_out=bool(held_out),
            versions={name: version(name) for name in LIBRARIES},
            classes=classes.classes if classes else (),
        ),
        note=parts_note(split_masks) if split_masks and components == "auto" else "",
    )


def check_continued(earlier: AdapterCard, classes: Classes | None) -> None:
    """Check that an adapter can go on learning.

    Parameters
    ----------
    earlier : AdapterCard
        Of the adapter.
    classes : Classes or None
        What it is to learn.

    Raises
    ------
    InputError
        If it knows other classes.
    """
    known = [one.name for one in earlier.classes]
    wanted = classes.names if classes else []
    if known and known != wanted:
        what = some(wanted) if wanted else "foreground alone"
        raise InputError(
            f"The adapter knows the classes {some(known)}, and is to learn {what}: "
            "train without --adapter, or with --classes and the classes that it knows."
        )


def _unheard(event: Event) -> None:
    """Only the main process reports."""


def _accelerator(config: TrainConfig) -> Accelerator:
    device = choose_device(config.device)
    if device.type == "cpu":
        torch.set_num_threads(
            config.threads
            if config.threads > 0
            else max(1, free_cores() + config.threads)
        )
    return Accelerator(
        cpu=device.type == "cpu",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=LONGEST_SILENCE)],
    )
