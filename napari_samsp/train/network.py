"""The network of a run: base model, adapter, and which of its parts learn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from napari_samsp.data.rgb import Scaling
from napari_samsp.sam.adapters.adapter import add_lora, freeze_blocks, load_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard, read_card
from napari_samsp.sam.architecture import patch_size
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.sam.kernels.encoder_train import WORTH_IT_TOKENS
from napari_samsp.train.trainable import (
    choose_speed,
    frozen_blocks,
    operations_per_second,
)
from napari_samsp.utils.device import likes_bfloat16
from napari_samsp.utils.errors import InputError, some

if TYPE_CHECKING:
    from peft import PeftModel

    from napari_samsp.data.training_sets.classes import Classes
    from napari_samsp.inference.scale.field_of_view import Tiling
    from napari_samsp.sam.architecture import ImageEncoder
    from napari_samsp.train.config import TrainConfig
    from napari_samsp.train.distributed import Processes
    from napari_samsp.train.run_folder import RunFolder


@dataclass(frozen=True)
class Network:
    """A model that is ready to learn.

    Attributes
    ----------
    config : TrainConfig
        With the speed that was chosen.
    base, base_sha256 : str
        Name or file name of the base model, and its hash.
    peft : peft.PeftModel
        The model with its adapter; the parameters that learn require gradients.
    frozen : int or None
        The encoder's first blocks that do not learn; None: all of the encoder.
    size, patch : int
        Sides of the model's input and of a patch of it, in pixels.
    scaling : Scaling
        The run's, or else that of the adapter that goes on learning.
    bfloat16 : bool
        Whether the forward pass runs in it.
    tile : {"auto"} or tuple of int
        How much of an image the model sees at once before it learns: what the adapter
        that goes on learning was trained on, or what it chooses itself.
    """

    config: TrainConfig
    base: str
    base_sha256: str
    peft: PeftModel
    frozen: int | None
    size: int
    patch: int
    scaling: Scaling
    bfloat16: bool
    tile: Tiling

    @property
    def encoder(self) -> ImageEncoder:
        """The image encoder, inside what PEFT has wrapped."""
        return self.peft.get_base_model().image_encoder


def load_network(
    config: TrainConfig,
    classes: Classes | None,
    images: int,
    folder: RunFolder,
    processes: Processes,
) -> Network:
    """Load the base model, put the adapter on it, and freeze what does not learn.

    Parameters
    ----------
    config : TrainConfig
        Settings of the run.
    classes : Classes or None
        What the adapter learns to tell apart, if not foreground alone.
    images : int
        Training images, on which the automatic speed depends.
    folder : RunFolder
        A run that is resumed keeps the speed that it began with.
    processes : Processes
        Those that share the work; all of them take the same speed.

    Returns
    -------
    Network
        Ready to learn, on the CPU.

    Raises
    ------
    InputError
        If the model or the adapter cannot be used, or the adapter knows other classes.
    """
    device = processes.device
    earlier = read_card(config.adapter) if config.adapter else None
    if earlier is not None:
        check_continued(earlier, classes)
    scaling = earlier.scaling if earlier else Scaling()
    if config.scaling:
        scaling = Scaling.parse(config.scaling)
    loaded = load_sam(
        config.model, config.input_size or (earlier.image_size if earlier else None)
    )
    encoder = loaded.sam.image_encoder
    size, patch = int(encoder.img_size), patch_size(encoder)
    large = (size // patch) ** 2 > WORTH_IT_TOKENS
    bfloat16 = likes_bfloat16(device) and (large or device.type != "cpu")

    if config.speed == "auto":

        def speed() -> str:
            return _automatic_speed(config, encoder, images, folder, device, bfloat16)

        config = replace(config, speed=processes.run_on_main(speed))
    frozen = frozen_blocks(config.speed, encoder)
    torch.manual_seed(config.seed)
    count = len(classes.classes) if classes else 1
    if config.adapter:
        peft, _ = load_adapter(
            loaded.sam, config.adapter, loaded.sha256, trainable=True,
            new_classes=count,
        )  # fmt: skip
    else:
        peft = add_lora(loaded.sam, config.rank, loaded.name, frozen, count)
    freeze_blocks(peft, frozen)
    tile: Tiling = (earlier.field_of_view if earlier else None) or "auto"
    return Network(
        config, loaded.name, loaded.sha256, peft, frozen, size, patch, scaling,
        bfloat16, tile,
    )  # fmt: skip


def _automatic_speed(
    config: TrainConfig,
    encoder: ImageEncoder,
    images: int,
    folder: RunFolder,
    device: torch.device,
    bfloat16: bool,
) -> str:
    """The speed that a run began with; of a new one, what fits the time it has."""
    if begun := folder.begun_with("speed"):
        return str(begun)
    dtype = torch.bfloat16 if bfloat16 else torch.float32
    possible = operations_per_second(device, dtype)
    return choose_speed(encoder, images, config.minutes, possible)


def check_continued(earlier: AdapterCard, classes: Classes | None) -> None:
    """Check that an adapter can go on learning.

    Parameters
    ----------
    earlier : AdapterCard
        Card of the adapter that goes on learning.
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
