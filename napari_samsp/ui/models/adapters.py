"""The adapters that the widget offers: one a training run, and any that are added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_samsp.sam.adapters.adapter_card import AdapterCard, adapter_name, read_card
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Adapter:
    """An adapter on disk.

    Attributes
    ----------
    folder : Path
        Of the adapter itself.
    card : AdapterCard
        What it says about itself.
    """

    folder: Path
    card: AdapterCard

    @property
    def name(self) -> str:
        """What tells it from others."""
        return adapter_name(self.folder)

    @property
    def label(self) -> str:
        """Name and figures in one line."""
        before, after = self.card.before, self.card.after
        if not before or not after or not before.get("dice") or not after.get("dice"):
            return self.name
        return f"{self.name}  (Dice {before['dice'][-1]:.2f} → {after['dice'][-1]:.2f})"

    @property
    def details(self) -> str:
        """Several lines for a tooltip."""
        card = self.card
        mode = "separate objects" if card.objects else "one region"
        judged = "not learnt from" if card.held_out else "of those"
        lines = [f"base: {card.base}", f"{mode}, {card.prompt}"]
        lines.append(f"trained on {card.images} image{'s' if card.images != 1 else ''}")
        if card.after:
            lines.append(f"judged on {card.after.get('n', '?')} image(s), {judged}")
        return "\n".join([*lines, str(self.folder)])


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
        A folder a run; may not exist.

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
