"""A model with its adapter on its device, set up as the settings of a run ask."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from napari_samsp.data.rgb import Scaling
from napari_samsp.inference.embedding_cache import EmbeddingCache, ModelCache
from napari_samsp.inference.scale.object_scale import check_object_size
from napari_samsp.sam.adapters.adapter_card import adapter_name, read_card
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.sam.prompt_kind import check_iterations, parse_kind
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.utils.device import choose_device
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.numbers import is_integer

if TYPE_CHECKING:
    from napari_samsp.data.training_sets.classes import LabelClass
    from napari_samsp.inference.scale.field_of_view import Tiling


class AdaptedModel:
    """What `napari_samsp.inference.segmenter.Segmenter` segments with.

    Parameters
    ----------
    model, adapter, device, scaling, input_size, cache
        As for `Segmenter`.

    Raises
    ------
    InputError
        If a file is missing, broken or does not fit.
    """

    def __init__(
        self,
        model: str | Path = "samsp_small",
        adapter: str | Path | None = None,
        device: str = "auto",
        scaling: Scaling | None = None,
        input_size: int | None = None,
        cache: EmbeddingCache | None = None,
    ) -> None:
        self.device = choose_device(device)
        _check_types(adapter, scaling, input_size)
        if adapter is not None and input_size is None:
            input_size = read_card(adapter).image_size
        loaded = load_sam(str(model), input_size)
        sam, kind = loaded.sam, "box+mask"
        self.model_name, self.model_sha256 = loaded.name, loaded.sha256
        self.adapter_name: str | None = None
        self.card = None
        if adapter is not None:
            # PEFT, with all that it draws in, takes longer to import than torch.
            from napari_samsp.sam.adapters.adapter import load_adapter, merge

            peft_model, self.card = load_adapter(sam, adapter, loaded.sha256)
            sam, kind = merge(peft_model), self.card.prompt
            self.adapter_name = adapter_name(Path(adapter).resolve())
            scaling = scaling or self.card.scaling
        self.scaling = scaling or Scaling()
        self.kind = kind
        self.sam = sam.to(self.device).eval()
        # Trained on the embedding of this very encoder, which an adapter changes.
        self.distances = loaded.distances if adapter is None else None
        if self.distances is not None:
            self.distances.to(self.device)
        self._models: dict[tuple[str, bool], SelfPrompting] = {}
        self._cache = ModelCache(cache or EmbeddingCache(), self.sam.image_encoder)

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """What the adapter tells apart; empty without an adapter that knows classes."""
        return self.card.classes if self.card else ()

    @property
    def networks(self) -> nn.ModuleList:
        """The modules that compute: the SAM, and its distance decoder if it has one."""
        one = [] if self.distances is None else [self.distances]
        return nn.ModuleList([self.sam, *one])

    @property
    def input_size(self) -> int:
        """Side of the model's input in pixels."""
        return int(self.sam.image_encoder.img_size)

    def _prepared(
        self,
        iterations: int,
        objects: bool,
        prompt: str | None,
        tile: Tiling,
        object_size: float | None = None,
    ) -> tuple[SelfPrompting, Tiling]:
        """The model for these settings, and how much it sees at once.

        Parameters
        ----------
        iterations, objects, prompt, tile, object_size
            As for `napari_samsp.inference.segmenter.Segmenter.segment`.

        Returns
        -------
        tuple
            The model, the same for the same settings; and ``tile``, with an adapter
            within the range that it was trained on.

        Raises
        ------
        InputError
            If a setting makes no sense.
        """
        if object_size is not None:
            check_object_size(object_size)
            if tile != "auto":
                raise InputError(
                    "Give either an object size or a size of tiles, which follows from "
                    "it, not both."
                )
        check_iterations(iterations)
        prompt = self.kind if prompt is None else prompt
        parse_kind(prompt)
        if (
            isinstance(tile, str)
            and tile == "auto"
            and self.card is not None
            and self.card.field_of_view is not None
        ):
            tile = self.card.field_of_view
        model = self._models.get((prompt, objects))
        if model is None:
            # Kept from run to run, since it learns how much fits into memory.
            labels = [one.label for one in self.classes]
            model = SelfPrompting(self.sam, prompt, objects, labels, self.distances)
            self._models[prompt, objects] = model
        return model, tile


def _check_types(adapter: object, scaling: object, input_size: object) -> None:
    """A wrong type gets a sentence here, and not an error of a library later."""
    if not isinstance(adapter, str | Path | None):
        raise InputError(f"The adapter must be a folder, not {adapter!r}.")
    if not isinstance(scaling, Scaling | None):
        raise InputError(f"The scaling must be a Scaling, not {scaling!r}.")
    if input_size is not None and not is_integer(input_size):
        raise InputError(
            f"The input size must be a whole number of pixels, not {input_size!r}."
        )
