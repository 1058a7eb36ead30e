"""What the click tools are called, what they say, and what they need to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_samsp.ui.correct.clicks.mouse import BOX, LINE

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.ui.correct.labelled_plane import LabelledPlane
    from napari_samsp.ui.models.workplace import Workplace
    from napari_samsp.ui.segment.segment_steps import SegmentRequest

ADD, FIX, SPLIT, MERGE, ERASE, FIND = TOOLS = (
    "add", "fix", "split", "merge", "erase", "find",
)  # fmt: skip
FINDING = "finding objects like it"
"""What such a job says that it does."""
WITH_MODEL = (ADD, FIX, SPLIT, FIND)
DRAWS = {ADD: BOX, SPLIT: LINE}
"""What a drag draws; with other tools it moves the view."""

HELP = {
    ADD: "Click a missed object, or drag a box round it.",
    FIX: "Click what belongs to an object; with the right button, or Alt, what does "
    "not.",
    SPLIT: "Drag a line between the objects that are merged, or click one of them.",
    MERGE: "Click the first object.",
    ERASE: "Click an object to remove it.",
    FIND: "Click an object, labelled or not: all that are like it are added.",
}
SECOND = {
    SPLIT: "Click the other one, within the same labels.",
    MERGE: "Click the object that belongs to it.",
}


@dataclass(frozen=True)
class Surroundings:
    """What the tools need to know of the rest of the widget.

    Attributes
    ----------
    pair : callable
        Gives the chosen labels with their image; raises InputError.
    request : callable
        Of such a pair: model and settings.
    workplace : Workplace
        Holds the model.
    busy : callable
        Why the model is not free, in a sentence; empty if it is.
    kept : callable
        Gives the slices of an image that are in the correction set.
    """

    pair: Callable[[], LabelledPlane]
    request: Callable[[LabelledPlane], SegmentRequest]
    workplace: Workplace
    busy: Callable[[], str]
    kept: Callable[[Image], set[PlaneIndex]]
