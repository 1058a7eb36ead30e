"""The adapters that the widget offers: one per training run, and any that are added."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from napari_samsp.sam.adapters.adapter_card import AdapterCard, adapter_name, read_card
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

TIME_FORMAT = "%Y-%m-%d_%H-%M-%S"
"""Format of the names of folders that Fine-tune makes."""
MONTHS = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun",
    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip


@dataclass(frozen=True)
class Adapter:
    """An adapter on disk.

    Attributes
    ----------
    folder : Path
        The adapter's own folder, not that of its run.
    card : AdapterCard
        What it says about itself.
    """

    folder: Path
    card: AdapterCard

    @property
    def name(self) -> str:
        """What a user calls it, or else the folder of its run.

        A folder that is named by the time, as Fine-tune does, gives way to what a
        person knows a run by: "5 images, 30 Nov 19:40".
        """
        if given := " ".join(self.card.name.split()):
            return given
        folder = adapter_name(self.folder)
        begun = _begun(folder)
        return f"{_images(self.card.images)}, {begun}" if begun else folder

    @property
    def figures(self) -> str:
        """Dice before and after in a few words; empty if they are not known."""
        before, after = self.card.before, self.card.after
        if not before or not after or not before.get("dice") or not after.get("dice"):
            return ""
        return f"Dice {before['dice'][-1]:.2f} → {after['dice'][-1]:.2f}"

    @property
    def details(self) -> str:
        """Several lines for a tooltip."""
        card = self.card
        mode = "separate objects" if card.objects else "one region"
        judged = "not learnt from" if card.held_out else "of those"
        lines = [self.name, *([self.figures] if self.figures else [])]
        lines += [f"base: {card.base}", f"{mode}, {card.prompt}"]
        lines.append(f"trained on {_images(card.images)}")
        if card.after:
            lines.append(f"judged on {card.after.get('n', '?')} image(s), {judged}")
        return "\n".join([*lines, str(self.folder)])


def _images(count: int) -> str:
    return f"{count} image{'s' if count != 1 else ''}"


def _begun(run: str) -> str | None:
    """When a run began whose folder is named by the time; None for another name."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)(-\d+)?", run)
    if found is None:
        return None
    try:
        begun = datetime.strptime(found[1], TIME_FORMAT)
    except ValueError:
        return None  # no such day
    year = "" if begun.year == datetime.now().year else f" {begun.year}"
    # Not strftime's month, which is in the system's language.
    return f"{begun.day} {MONTHS[begun.month - 1]}{year} {begun:%H:%M}"


def read_adapter(folder: Path) -> Adapter:
    """Read an adapter's card.

    Parameters
    ----------
    folder : Path
        An adapter, or a run that holds one.

    Returns
    -------
    Adapter
        The adapter that is stored there.

    Raises
    ------
    InputError
        If it is neither.
    """
    inner = folder / "adapter"
    folder = inner if inner.is_dir() else folder
    return Adapter(folder, read_card(folder))


def kept_adapters(runs: Path) -> list[Adapter]:
    """The adapters of a project's runs.

    Parameters
    ----------
    runs : Path
        Folder of the runs, each in a folder of its own; may not exist.

    Returns
    -------
    list of Adapter
        The newest first; runs without a usable adapter are left out.
    """
    found = []
    for folder in sorted(runs.glob("*/adapter"), reverse=True):
        try:
            found.append(read_adapter(folder))
        except (InputError, OSError):
            continue  # stopped before its first improvement, or damaged
    return found
