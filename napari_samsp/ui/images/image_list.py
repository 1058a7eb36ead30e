"""The images of a list, their states, and the order in which they come; without Qt."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from napari_samsp.inference.interactive.correct_next import correction_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import numpy as np


class State(Enum):
    """What became of an image; the value is what the list shows."""

    NEW = "new"
    SEGMENTED = "segmented"
    CORRECTED = "corrected"
    SKIPPED = "skipped"
    FAILED = "unreadable"


@dataclass
class Entry:
    """An image of the list.

    Attributes
    ----------
    name : str
        Unique in the list; results are kept under it.
    path : Path or None
        The file, or the folder that is one image; None of an open layer.
    layer : str
        ``unique_id`` of an open layer; empty for files.
    segmented, corrected, skipped, drafted : bool
        Whether there is a result; whether its labels were kept; whether the user leaves
        the image out; whether there are edits that were not kept.
    objects : int or None
        How many labels it has, if that is known.
    confidence : float or None
        SAM's predicted IoU, from 0 to 1; None if it was not segmented.
    reason : str
        Why it cannot be used, a sentence; empty if it can.
    look : numpy.ndarray or None
        ``(C,)``, its mean embedding; None if it is not known.
    """

    name: str
    path: Path | None = None
    layer: str = ""
    segmented: bool = False
    corrected: bool = False
    skipped: bool = False
    drafted: bool = False
    objects: int | None = None
    confidence: float | None = None
    reason: str = ""
    look: np.ndarray | None = field(default=None, compare=False)

    @property
    def state(self) -> State:
        """The state that the list shows, where several apply."""
        if self.skipped:
            return State.SKIPPED
        if self.reason:
            return State.FAILED
        if self.corrected:
            return State.CORRECTED
        return State.SEGMENTED if self.segmented else State.NEW

    @property
    def to_do(self) -> bool:
        """Whether a correction of it would help."""
        return self.state in (State.NEW, State.SEGMENTED)


@dataclass
class ImageList:
    """Entries in the order in which they are shown.

    Attributes
    ----------
    entries : list of Entry
        The images, in the order in which they are shown.
    current : Entry or None
        The one that is open.
    ranked : bool
        Whether those that need correction most come first, and `after` passes over
        those that need none.
    """

    entries: list[Entry] = field(default_factory=list)
    current: Entry | None = None
    ranked: bool = False
    _by_name: list[Entry] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.entries)

    def find(self, name: str) -> Entry | None:
        """The entry of a name, or None."""
        return next((one for one in self._by_name if one.name == name), None)

    def replace(self, entries: Iterable[Entry]) -> None:
        """Replace the entries of the list.

        Parameters
        ----------
        entries : iterable of Entry
            In the order of their names.
        """
        self._by_name = list(entries)
        self.current = None
        self.sort()

    def merge(self, found: Iterable[Entry]) -> None:
        """Update the list from its folder: new images come, others are gone.

        Parameters
        ----------
        found : iterable of Entry
            As the folder is now. What the list knows of an image stays; the one that is
            open stays until it is left.
        """
        known = {one.name: one for one in self._by_name}
        fresh = list(found)
        for one in fresh:
            if one.name in known:
                # What could not be read may be back: it is tried again.
                known[one.name].reason = one.reason
        merged = [
            known[one.name]
            if one.name in known and known[one.name].path == one.path
            else one
            for one in fresh
        ]
        if self.current is not None and self.current not in merged:
            merged.append(self.current)
            merged.sort(key=lambda one: one.name)
        order = {id(one): n for n, one in enumerate(self.entries)}
        self._by_name = merged
        # What was ranked stays where it is, and what is new comes last.
        self.entries = (
            sorted(merged, key=lambda one: order.get(id(one), len(order)))
            if self.ranked
            else list(merged)
        )

    def sort(self, ranked: bool | None = None) -> None:
        """Sort by name, or by what is to be corrected first.

        First come those that need a correction, the unsure ones and each unlike those
        before, see `correction_order`; then come new ones, then the others.

        Parameters
        ----------
        ranked : bool, optional
            Default: as it is.
        """
        if ranked is not None:
            self.ranked = ranked
        self.entries = list(self._by_name)
        if self.ranked:
            self.entries = _ranked(self._by_name)

    def after(self, entry: Entry | None, step: int = 1) -> Entry | None:
        """The image that comes after another one.

        Parameters
        ----------
        entry : Entry or None
            The other; None for the one before the first.
        step : int
            1 forwards, -1 backwards.

        Returns
        -------
        Entry or None
            None at the end. Skipped and unreadable images are passed over, and those
            that need no correction if the list is ranked.
        """
        at = self.index(entry)
        if at is None:
            at = -1 if step > 0 else len(self.entries)
        ranked = self.ranked and step > 0
        wanted: Callable[[Entry], bool] = (
            (lambda one: one.to_do)
            if ranked
            else (lambda one: one.state not in (State.SKIPPED, State.FAILED))
        )
        rest: Sequence[Entry] = (
            self.entries[at + 1 :] if step > 0 else self.entries[:at][::-1]
        )
        return next((one for one in rest if wanted(one)), None)

    def index(self, entry: Entry | None) -> int | None:
        """The row of an entry, None if it is in no row."""
        return next((n for n, one in enumerate(self.entries) if one is entry), None)

    def count(self, state: State) -> int:
        """How many are in a state."""
        return sum(one.state is state for one in self.entries)


def _ranked(entries: list[Entry]) -> list[Entry]:
    todo = [one for one in entries if one.to_do and one.confidence is not None]
    order = correction_order(
        [one.confidence or 0.0 for one in todo],
        [one.look for one in todo],
        [one.look for one in entries if one.corrected and one.look is not None],
    )
    new = [one for one in entries if one.to_do and one.confidence is None]
    return [todo[n] for n in order] + new + [one for one in entries if not one.to_do]
