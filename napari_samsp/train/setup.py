"""Set up a training run from its settings: read, check and put together its parts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs

from napari_samsp.data.training_sets.classes import classes_to_learn
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.sam.adapters.adapter_card import AdapterCard
from napari_samsp.train.distributed import Processes
from napari_samsp.train.examples.dataset import Views, best_fields
from napari_samsp.train.examples.material import read_material
from napari_samsp.train.examples.splits import folds, split
from napari_samsp.train.model import ModelInTraining
from napari_samsp.train.network import load_network
from napari_samsp.train.run_folder import RunFolder
from napari_samsp.train.trainable import kept_views
from napari_samsp.train.trainer import Trainer
from napari_samsp.train.validation.validate import ValidationResult, judge
from napari_samsp.utils.device import choose_device, free_cores
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from peft import PeftModel

    from napari_samsp.data.training_sets.classes import Classes
    from napari_samsp.inference.results import Iteration
    from napari_samsp.inference.scale.field_of_view import Tiling
    from napari_samsp.train.config import TrainConfig
    from napari_samsp.train.events import Event
    from napari_samsp.train.examples.example import Example
    from napari_samsp.train.examples.material import Material
    from napari_samsp.train.network import Network

LONGEST_SILENCE = timedelta(hours=6)
"""While the main process validates, the others wait; after this they give it up."""
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
    tile_before : {"auto"} or tuple of int
        The same for the model that the run begins with, as its user has it.
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
    notes : list of str
        What the user should hear about how the images were read.
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
    tile_before: Tiling
    peft: PeftModel
    model: ModelInTraining
    folds: list[list[int]]
    new_trainer: Callable[..., Trainer]
    card: AdapterCard
    notes: list[str]

    def judge(
        self,
        trainer: Trainer,
        pictures: list[Example],
        see: Callable[[Example, Iteration], None] | None = None,
        before: bool = False,
    ) -> ValidationResult:
        """Validate the mean of a trainer's weights; all processes get the result."""
        tile = self.tile_before if before else self.field

        def work() -> ValidationResult:
            iterations, names = self.config.iterations, self.names
            return judge(self.model, pictures, iterations, tile, names, see)

        with trainer.average.in_place():
            return self.processes.run_on_main(work)

    @property
    def names(self) -> list[str]:
        """Names of the classes, if there are several."""
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
    fitting, held_out = split(samples, config.validation, config.seed)
    accelerator = _accelerator(config)
    processes = _processes(accelerator, config)
    folder = RunFolder(output)
    network = load_network(config, classes, len(fitting), folder, processes)
    config = network.config
    material = read_material(fitting, held_out, config, network.scaling, classes)
    # Only now is all input known to be good: nothing was written before.
    fingerprint = source.fingerprint(config.classes)
    if processes.main:
        folder.start(config, training_set, fingerprint, resume)
    accelerator.wait_for_everyone()
    pictures = material.pictures
    fields = best_fields(pictures, network.size, network.patch)
    if config.field_of_view:
        fields = [config.field_of_view] * len(pictures)
    heard = report if processes.main else _unheard
    model = ModelInTraining(
        network.peft.get_base_model(),
        config.prompt,
        config.objects,
        network.frozen,
        config.checkpointing,
    )
    card = _card(network, classes, fingerprint, fields, bool(held_out))
    return Parts(
        config=config,
        accelerator=accelerator,
        processes=processes,
        folder=folder,
        report=heard,
        pictures=pictures,
        judged_by=material.held_out or pictures,
        held_out=len(held_out),
        field=(min(fields), max(fields)),
        tile_before=network.tile,
        peft=network.peft,
        model=model,
        # An adapter to continue from may have learnt from these very images.
        folds=folds(fitting)
        if config.validation is None and not held_out and not config.adapter
        else [],
        new_trainer=_trainers(network, model, material, fields, processes, heard),
        card=card,
        notes=material.notes,
    )


def _trainers(
    network: Network,
    model: ModelInTraining,
    material: Material,
    fields: list[int],
    processes: Processes,
    heard: Callable[[Event], None],
) -> Callable[..., Trainer]:
    """What makes a `Trainer` that learns from some of the images."""
    config = network.config

    def new_trainer(
        numbers: Sequence[int], report: Callable[[Event], None] = heard
    ) -> Trainer:
        views = Views(
            [material.pictures[n] for n in numbers],
            network.size,
            config.views,
            config.augment,
            [fields[n] for n in numbers],
            kept_views(network.encoder) if network.frozen != 0 else None,
            config.seed,
            material.unlabelled,
        )
        return Trainer(
            network.peft, model, views, config, processes, report, network.bfloat16
        )

    return new_trainer


def _card(
    network: Network,
    classes: Classes | None,
    fingerprint: str,
    fields: list[int],
    held_out: bool,
) -> AdapterCard:
    """The adapter's card, without its figures."""
    config = network.config
    return AdapterCard(
        base=network.base,
        base_sha256=network.base_sha256,
        image_size=network.size,
        field_of_view=(min(fields), max(fields)),
        scaling=network.scaling,
        prompt=config.prompt,
        iterations=config.iterations,
        objects=config.objects,
        speed=config.speed,
        fingerprint=fingerprint,
        images=len(fields),
        held_out=held_out,
        versions={name: version(name) for name in LIBRARIES},
        classes=classes.classes if classes else (),
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


def _processes(accelerator: Accelerator, config: TrainConfig) -> Processes:
    processes = Processes(accelerator)
    if config.batch < processes.count:
        raise InputError(
            f"A step of {config.batch} images cannot be shared by "
            f"{processes.count} processes; raise --batch."
        )
    if accelerator.device.type == "cpu":
        torch.set_num_threads(max(1, torch.get_num_threads() // processes.count))
    return processes
