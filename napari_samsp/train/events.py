"""What the trainer reports while it runs, as one JSON object per line.

``python -m napari_samsp.train ... --events`` writes them to its standard output; the
widget and the terminal's progress bar read the same objects. A line ``stop`` on the
trainer's standard input, or its end, asks the trainer to keep the adapter so far
and finish.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, get_args


@dataclass(frozen=True)
class Figures:
    """Quality on a set of images.

    Attributes
    ----------
    dice, iou : list of float
        The mean over the images, one number per iteration.
    n : int
        Number of images judged.
    ap50 : list of float or None
        With objects, the average precision at IoU 0.5.
    class_dice : dict or None
        With classes, the Dice of each by its name: the mean over the images that have
        it, one number per iteration. ``dice``, ``iou`` and ``ap50`` are then means over
        the classes of each image.
    """

    dice: list[float]
    iou: list[float]
    n: int
    ap50: list[float] | None = None
    class_dice: dict[str, list[float]] | None = None


@dataclass(frozen=True)
class Started:
    """The model and the images are loaded.

    Attributes
    ----------
    run : str
        The run's folder.
    images, held_out : int
        Training images, and images that only judge. With ``held_out`` 0, an epoch's
        figures are of the training images.
    epochs : int
        At most so many.
    parameters : int
        Number of trainable parameters.
    device : str
        Such as ``cpu`` or ``cuda``.
    before : Figures
        Before the first step.
    folds : int
        Of the cross-validation that comes first; 0 for none.
    """

    run: str
    images: int
    held_out: int
    epochs: int
    parameters: int
    device: str
    before: Figures
    folds: int = 0


@dataclass(frozen=True)
class Stepped:
    """An optimiser step was taken.

    Attributes
    ----------
    epoch, step, steps : int
        Epoch from 1; step from 1 within the epoch, of ``steps``.
    loss : float
        Loss of this step.
    seconds_left : float
        Until the run ends by itself, at most.
    """

    epoch: int
    step: int
    steps: int
    loss: float
    seconds_left: float


@dataclass(frozen=True)
class FoldStepped:
    """A step of cross-validation was taken.

    Attributes
    ----------
    fold, folds : int
        From 1, of so many.
    seconds_left : float
        Until the run ends by itself, about.
    """

    fold: int
    folds: int
    seconds_left: float


@dataclass(frozen=True)
class FoldEnded:
    """A fold of the images was judged by a model that did not learn from them.

    Attributes
    ----------
    fold, folds : int
        From 1, of so many.
    dice : list of float
        The mean over the fold's images, one number per iteration.
    """

    fold: int
    folds: int
    dice: list[float]


@dataclass(frozen=True)
class Noted:
    """The run deviates from what was asked; ``message`` says how, and why."""

    message: str


@dataclass(frozen=True)
class EpochEnded:
    """An epoch ended.

    Attributes
    ----------
    epoch, epochs : int
        From 1, of at most ``epochs``.
    loss : float
        Mean over the epoch's images.
    dice : list of float
        One number per iteration; of the held-out images, or of the training images
        if none is held out. The last known ones if the epoch was not judged.
    seconds : float
        Wall time of the epoch.
    best : bool
        The adapter was saved.
    seconds_left : float
        Until the run ends by itself, at most.
    judged : bool
        With a time limit only some epochs are where judging takes long.
    """

    epoch: int
    epochs: int
    loss: float
    dice: list[float]
    seconds: float
    best: bool
    seconds_left: float
    judged: bool = True


@dataclass(frozen=True)
class Finished:
    """The run ended by itself or on request, and everything is saved.

    Attributes
    ----------
    reason : str
        ``"epochs"``, ``"minutes"``, ``"steps"``, ``"early stop"`` or ``"stopped"``.
    adapter : str
        The adapter's folder.
    before, after : Figures
        The same images before training and with the adapter.
    judged_by : str
        ``"validation set"`` for images that were held out, ``"cross-validation"`` where
        ``after`` is of models that each learnt without the images they were judged
        by, or ``"training images"``.
    better : bool or None
        Whether the last iteration's Dice rose (with objects, its mean with AP at 0.5).
        None where it did and the images cannot tell whether others gain too.
    """

    reason: str
    adapter: str
    before: Figures
    after: Figures
    judged_by: str
    better: bool | None

    @property
    def held_out(self) -> bool:
        """Whether the figures are of images that were not trained on."""
        return self.judged_by != "training images"


@dataclass(frozen=True)
class Failed:
    """The run cannot go on; ``message`` says why in one sentence."""

    message: str


Event = (
    Started | FoldStepped | FoldEnded | Stepped | Noted | EpochEnded | Finished | Failed
)
_KINDS = {kind.__name__: kind for kind in get_args(Event)}


def to_json(event: Event) -> str:
    """Encode as one line of JSON, without the newline."""
    return json.dumps({"event": type(event).__name__, **asdict(event)})


def from_json(line: str) -> Event | None:
    """Read a line.

    Parameters
    ----------
    line : str
        What the trainer wrote.

    Returns
    -------
    Event or None
        None for anything that is not an event: a library may print too.
    """
    try:
        content: dict[str, Any] = json.loads(line)
        kind = _KINDS[content.pop("event")]
        for name in ("before", "after"):
            if name in content:
                content[name] = Figures(**content[name])
        return kind(**content)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
