"""``samsp.json``: what an adapter was made from and how to run it. Needs no torch."""

from __future__ import annotations

import json
import reprlib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from napari_samsp.data.rgb import Scaling
from napari_samsp.data.training_sets.classes import LabelClass, parse_classes
from napari_samsp.sam import registry as models
from napari_samsp.sam.known_files import find
from napari_samsp.sam.prompt_kind import parse_kind
from napari_samsp.utils.atomic_files import write_atomically
from napari_samsp.utils.errors import InputError

CARD_FILE = "samsp.json"
WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"


@dataclass(frozen=True)
class AdapterCard:
    """The sidecar of an adapter.

    Attributes
    ----------
    base, base_sha256 : str
        Name or file name, and hash, of the model that it belongs to.
    image_size : int
        Side of that model's input in pixels.
    scaling : Scaling
        Intensity scaling in training, repeated at inference.
    channels : str
        How channels become RGB.
    prompt : str
        What an iteration hands to the next.
    iterations : int
        How many iterations it was trained with.
    objects : bool
        One prompt per object.
    speed : str
        Which part was trained: a key of `napari_samsp.train.config.SPEEDS`.
    field_of_view : tuple of int or None
        Least and most image pixels, along a side, that the model saw at once in
        training; what suits the objects that are found is kept between them. None
        sets no limits.
    fingerprint : str
        SHA-256 of the training set.
    images : int
        How many images it was trained on.
    held_out : bool
        Whether ``before`` and ``after`` are of images that the judged models did not
        learn from: held out, or in turn by cross-validation.
    before, after : dict or None
        ``{"dice": [...], "iou": [...], "n": ...}``.
    created : str
        When, as an ISO time.
    versions : dict
        Of the libraries that made it.
    licence : str
        A note: the adapter's own, and the base model's.
    classes : tuple of LabelClass
        What it tells apart, in the order of its tokens; empty: foreground alone.
    name : str
        The one that a user gave it, if any.
    """

    base: str
    base_sha256: str
    image_size: int
    scaling: Scaling = field(default_factory=Scaling)
    channels: str = "rgb"
    prompt: str = "box+mask"
    iterations: int = 2
    objects: bool = False
    speed: str = "everywhere"
    field_of_view: tuple[int, int] | None = None
    fingerprint: str = ""
    images: int = 0
    held_out: bool = False
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    created: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    licence: str = "Yours; the base model's licence applies to the base model."
    classes: tuple[LabelClass, ...] = ()
    name: str = ""

    def known_base(self) -> str | None:
        """The base model's name, or the file opened for it here; None if neither."""
        if self.base in models.names():
            return self.base
        opened = find(self.base, self.base_sha256)
        return str(opened) if opened else None

    def base_to_load(self, given: str | None = None) -> str:
        """The base model's name, or the file that a user gave or opened for it.

        Parameters
        ----------
        given : str, optional
            A name or a file; it wins.

        Returns
        -------
        str
            A name or path for `napari_samsp.sam.checkpoints.load_sam`.

        Raises
        ------
        InputError
            If the base was a file that is neither given nor known.
        """
        base = given or self.known_base()
        if base is None:
            raise InputError(
                f"The adapter was made for the model file {self.base}: say where that "
                "file is with --model."
            )
        return base


_TYPES: dict[str, type | tuple[type, ...]] = {
    "base": str, "base_sha256": str, "image_size": int, "channels": str,
    "prompt": str, "iterations": int, "objects": bool, "speed": str,
    "fingerprint": str, "images": int, "held_out": bool, "before": (dict, type(None)),
    "after": (dict, type(None)), "created": str, "versions": dict, "licence": str,
    "name": str,
}  # fmt: skip
_RANGES = {
    "image_size": (1, 16_384),
    "iterations": (1, 1000),
    "images": (0, 1_000_000_000),
}
LARGEST_FIELD = 1_000_000
"""Image pixels; far more than any model sees."""
MOST_BYTES = 1_000_000
"""A card is a page of text."""


def read_card(folder: str | Path) -> AdapterCard:
    """Read an adapter's sidecar.

    Parameters
    ----------
    folder : str or Path
        With the card, PEFT's config and the weights.

    Returns
    -------
    AdapterCard
        Unknown keys are left out.

    Raises
    ------
    InputError
        If the folder is no adapter of ours, or its sidecar is broken.
    """
    folder = Path(folder)
    for name in (CARD_FILE, CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise InputError(f"{folder} is not an adapter: it has no {name}.")
    path = folder / CARD_FILE
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("it is too large")
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError("it is no object")
        known = {f.name for f in fields(AdapterCard)}
        values = {k: v for k, v in content.items() if k in known}
        if "scaling" in values:
            values["scaling"] = _scaling(values["scaling"])
        if values.get("classes"):
            listed = {"kind": "semantic", "classes": values["classes"], "ignore": None}
            values["classes"] = parse_classes(listed).classes
        else:
            values.pop("classes", None)
        if values.get("field_of_view") is not None:
            values["field_of_view"] = _field(values["field_of_view"])
        for name, kind in _TYPES.items():
            if name in values:
                _check_value(name, values[name], kind)
        return AdapterCard(**values)
    except RecursionError as error:
        raise InputError(f"The adapter's {path} is broken: nested too deep.") from error
    except (OSError, ValueError, TypeError, OverflowError) as error:
        reason = str(error).removesuffix(".")
        raise InputError(f"The adapter's {path} is broken: {reason}.") from error


def _check_value(name: str, value: Any, kind: type | tuple[type, ...]) -> None:
    """Whether a value has the right type and range, and figures are numbers."""
    wrong = TypeError(f"{name} is {reprlib.repr(value)}")
    fits = isinstance(value, kind)  # kept apart, or mypy takes the value for an object
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise wrong
    if name in _RANGES and value is not None:
        low, high = _RANGES[name]
        if not low <= value <= high:
            raise wrong
    elif name == "prompt":
        parse_kind(value)
    elif name in ("before", "after") and value is not None:
        for figures in ("dice", "iou", "ap50"):
            numbers = value.get(figures, [])
            if not isinstance(numbers, list) or not all(map(_is_number, numbers)):
                raise wrong
        by_class = value.get("class_dice", {})
        if not isinstance(by_class, dict) or not all(
            isinstance(numbers, list) and all(map(_is_number, numbers))
            for numbers in by_class.values()
        ):
            raise wrong
    elif name == "versions" and not all(isinstance(v, str) for v in value.values()):
        raise wrong


def _scaling(value: Any) -> Scaling:
    if not isinstance(value, dict) or not all(
        _is_number(value[name]) for name in ("low", "high") if name in value
    ):
        raise TypeError(f"scaling is {reprlib.repr(value)}")
    return Scaling(**value)


def _field(value: Any) -> tuple[int, int]:
    """Read a field of view; the first adapters had one number for all images."""
    least, most = value if isinstance(value, list) and len(value) == 2 else [value] * 2
    numbers = type(least) is type(most) is int
    if not numbers or not 1 <= least <= most <= LARGEST_FIELD:
        raise TypeError(f"field_of_view is {reprlib.repr(value)}")
    return least, most


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300  # not NaN, not infinite


def adapter_name(folder: Path) -> str:
    """The name by which a user knows an adapter.

    Parameters
    ----------
    folder : Path
        The adapter's folder.

    Returns
    -------
    str
        A run keeps its adapter in ``RUN/adapter``, so that is called RUN.
    """
    return folder.parent.name if folder.name == "adapter" else folder.name


def write_card(folder: Path, card: AdapterCard) -> None:
    """Write the sidecar, atomically.

    Parameters
    ----------
    folder : Path
        The adapter's folder.
    card : AdapterCard
        Content of the card.
    """
    text = json.dumps(asdict(card), indent=2)
    write_atomically(folder / CARD_FILE, text.encode())
