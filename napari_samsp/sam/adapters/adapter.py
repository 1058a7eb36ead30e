"""LoRA adapters on SAM, through PEFT.

LoRA on the query and value projections of the image encoder's attention; the prompt
encoder and the mask decoder are trained fully and saved with it (SAM-SP, section 3). So
are the convolutions of the small model's image encoder: there are few of them, and they
have to adapt most.
"""

from __future__ import annotations

import os
import re
import shutil
import warnings
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.utils.constants import DUMMY_TARGET_MODULES
from safetensors import SafetensorError

from napari_samsp.sam.adapters.adapter_card import (
    CARD_FILE,
    CONFIG_FILE,
    WEIGHTS_FILE,
    AdapterCard,
    adapter_name,
    read_card,
    write_card,
)
from napari_samsp.sam.adapters.class_tokens import TOKENS, add_class_tokens
from napari_samsp.sam.adapters.model_card import write_model_card
from napari_samsp.sam.adapters.peft_config import check_config
from napari_samsp.sam.architecture import is_hybrid
from napari_samsp.sam.tensor_files import check_tensors, check_weights, read_tensors
from napari_samsp.utils.atomic_files import folder_beside, replace_folder, sync_tree
from napari_samsp.utils.errors import InputError, is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segment_anything.modeling import Sam

# The mask decoder's attention has projections of the same names, which get no LoRA.
TARGETS = r"image_encoder\.blocks\.({blocks})\.attn\.(q_proj|v_proj)"
FULLY_TRAINED = ["prompt_encoder", "mask_decoder"]
# Of the small model's image encoder besides, as far as it learns at all: what follows
# the blocks, and what goes before them.
AFTER_BLOCKS = ["neck", "pyramid"]
BEFORE_BLOCKS = ["trunk", "proj16", "proj32"]


def add_lora(
    sam: Sam, rank: int, base: str, frozen_blocks: int | None = 0, classes: int = 1
) -> PeftModel:
    """Give a SAM a fresh adapter, which changes nothing yet.

    Parameters
    ----------
    sam : Sam
        From `napari_samsp.sam.architecture.build_sam`; its modules are wrapped in
        place.
    rank : int
        Of the LoRA matrices.
    base : str
        The model's name, for the adapter's configuration.
    frozen_blocks : int or None
        The first blocks of the image encoder, which get no LoRA; None: all of them.
    classes : int
        How many it is to tell apart.

    Returns
    -------
    peft.PeftModel
        ``get_base_model()`` gives the wrapped SAM.
    """
    add_class_tokens(sam, classes)
    targets = DUMMY_TARGET_MODULES
    fully = list(FULLY_TRAINED)
    if frozen_blocks is not None:
        adapted = range(frozen_blocks, len(sam.image_encoder.blocks))
        targets = TARGETS.format(blocks="|".join(map(str, adapted)))
        if is_hybrid(sam):
            fully += AFTER_BLOCKS if frozen_blocks else AFTER_BLOCKS + BEFORE_BLOCKS
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,
        target_modules=targets,
        modules_to_save=fully,
    )
    sam.name_or_path = base  # where PEFT looks for the base model's name
    return get_peft_model(sam, config)


def freeze_blocks(model: PeftModel, count: int | None) -> None:
    """Stop the encoder's first blocks, and what precedes them, from learning.

    Parameters
    ----------
    model : peft.PeftModel
        From `add_lora` or `load_adapter`.
    count : int or None
        Blocks; None for all of the encoder.
    """
    for name, parameter in model.named_parameters():
        _, found, inside = name.partition("image_encoder.")
        if not found:
            continue
        part, _, rest = inside.partition(".")
        frozen = count is None
        if part == "blocks":
            frozen |= count is not None and int(rest.split(".")[0]) < count
        elif part in BEFORE_BLOCKS:
            frozen |= count != 0
        if frozen:
            parameter.requires_grad_(False)


def save_adapter(model: PeftModel, folder: Path, card: AdapterCard) -> None:
    """Write an adapter, atomically: its folder holds the old one or the new.

    A name that a user gave the old one stays.

    Parameters
    ----------
    model : peft.PeftModel
        From `add_lora` or `load_adapter`.
    folder : Path
        Replaced if it exists.
    card : AdapterCard
        What ``samsp.json`` says of it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(InputError):  # there is none yet, or it is broken
        card = replace(card, name=card.name or read_card(folder).name)
    fresh = folder_beside(folder)
    try:
        # "auto" would look the base model up on a hub.
        with _system_errors(folder):
            model.save_pretrained(str(fresh), save_embedding_layers=False)
        write_card(fresh, card)
        # In place of PEFT's own card, which says nothing of this.
        name = card.name or adapter_name(folder.absolute())
        write_model_card(fresh, card, name)
        # safetensors writes for the user alone, whatever the umask says.
        mode = (fresh / CARD_FILE).stat().st_mode & 0o777
        for path in fresh.iterdir():
            path.chmod(mode)
        sync_tree(fresh)
        replace_folder(fresh, folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


@contextmanager
def _system_errors(folder: Path) -> Iterator[None]:
    """Raise an error of the disk, which safetensors hides in a text, as `OSError`."""
    try:
        yield
    except SafetensorError as error:
        found = re.search(r"os error (\d+)", str(error))
        if found is None:
            raise
        code = int(found[1])
        raise OSError(code, os.strerror(code), str(folder)) from error


def load_adapter(
    sam: Sam,
    folder: str | Path,
    base_sha256: str,
    trainable: bool = False,
    new_classes: int = 1,
) -> tuple[PeftModel, AdapterCard]:
    """Put a saved adapter on its base model.

    Parameters
    ----------
    sam : Sam
        The base model; its modules are wrapped in place.
    folder : str or Path
        The adapter's folder.
    base_sha256 : str
        Hash of the base model's file.
    trainable : bool
        Whether its parameters get gradients.
    new_classes : int
        Give an adapter without classes fresh tokens for so many, to learn them.

    Returns
    -------
    tuple
        The `peft.PeftModel` and the `AdapterCard`.

    Raises
    ------
    InputError
        If it is no adapter, is broken, or was made for another base model.
    """
    folder = Path(folder)
    card = read_card(folder)
    if card.base_sha256 != base_sha256:
        raise InputError(
            f"The adapter {folder} was made for the base model {card.base} "
            f"({card.base_sha256[:8]}), not for this one ({base_sha256[:8]}): choose "
            "that model."
        )
    add_class_tokens(sam, max(len(card.classes), new_classes))
    check_config(folder / CONFIG_FILE)
    saved = read_tensors(folder / WEIGHTS_FILE)
    check_tensors(folder / WEIGHTS_FILE, saved)
    model = _wrapped(sam, folder, trainable)
    _check_fits(folder, saved, model, bool(card.classes))
    check_weights(
        f"The adapter {folder}", {k: v.to(torch.float32) for k, v in saved.items()}
    )
    return model, card


def _wrapped(sam: Sam, folder: Path, trainable: bool) -> PeftModel:
    try:
        # What it misses is said by `_check_fits`.
        with warnings.catch_warnings(action="ignore"):
            return PeftModel.from_pretrained(sam, str(folder), is_trainable=trainable)
    except Exception as error:  # PEFT and safetensors raise many kinds
        if is_out_of_memory(error):
            raise
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"The adapter {folder} cannot be read: {first}") from error


def _check_fits(
    folder: Path, saved: dict[str, torch.Tensor], model: PeftModel, has_classes: bool
) -> None:
    """Raise `InputError` if a model has other tensors than an adapter's file."""
    expected = get_peft_model_state_dict(model, save_embedding_layers=False)
    if not has_classes:
        expected = {k: v for k, v in expected.items() if f".{TOKENS}." not in k}
    wrong = sorted(
        saved.keys() ^ expected.keys()
        | {
            k
            for k in saved.keys() & expected.keys()
            if saved[k].shape != expected[k].shape
        }
    )
    if wrong:
        raise InputError(
            f"The adapter {folder} does not fit its base model: {len(wrong)} tensors "
            f"are missing, extra or misshapen, the first is {wrong[0]}."
        )


def merge(model: PeftModel) -> Sam:
    """Fold an adapter into plain SAM.

    Parameters
    ----------
    model : peft.PeftModel
        A model with an adapter; it cannot be used afterwards.

    Returns
    -------
    Sam
        The same masks, without PEFT; LoRA is ``W + B A * alpha / rank``.
    """
    return model.merge_and_unload()
