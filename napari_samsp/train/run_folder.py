"""What a run keeps on disk. Every file is complete at every moment."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

from napari_samsp.core.atomic_files import recover_folder, write_atomically
from napari_samsp.core.errors import InputError
from napari_samsp.train.events import EpochEnded, Figures, Finished

if TYPE_CHECKING:
    from napari_samsp.train.config import TrainConfig


@dataclass
class Progress:
    """How far a run is.

    Attributes
    ----------
    epoch : int
        Epochs finished.
    seconds : float
        Spent in them.
    since_best : int
        Epochs since the last improvement.
    before : Figures
        Of the base model.
    best : Figures or None
        Of the saved adapter.
    """

    epoch: int
    seconds: float
    since_best: int
    before: Figures
    best: Figures | None


class RunFolder:
    """A run's files: ``adapter/``, ``last/``, ``metrics.jsonl``, ``report.json``.

    Parameters
    ----------
    folder : Path
        Created if it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.adapter = self.folder / "adapter"
        self._state = self.folder / "last" / "state.pt"
        self._config = self.folder / "config.yaml"
        self._metrics = self.folder / "metrics.jsonl"

    def start(
        self, config: TrainConfig, training_set: Path, fingerprint: str, resume: bool
    ) -> None:
        """Begin a run, or check that the one in the folder can go on.

        Parameters
        ----------
        config : TrainConfig
            Of this call.
        training_set : Path
            Its folder.
        fingerprint : str
            Of the training set.
        resume : bool
            Continue the run in the folder.

        Raises
        ------
        InputError
            If the folder holds a run and ``resume`` is off, or the run cannot be
            continued with other settings or another training set.
        """
        content = {
            "training_set": str(training_set.resolve()),
            "fingerprint": fingerprint,
            **config.as_dict(),
        }
        if resume:
            if not self._state.is_file() or not self._config.is_file():
                if self._metrics.is_file():
                    raise InputError(
                        f"{self.folder} cannot be resumed: its last/ is gone. "
                        "Choose a new output folder."
                    )
            else:
                self._check_same(content)
        elif self._metrics.is_file() or self.adapter.exists():
            raise InputError(
                f"{self.folder} already holds a run: add --resume to continue it, or "
                "choose another output folder."
            )
        self._state.parent.mkdir(parents=True, exist_ok=True)
        recover_folder(self.adapter)
        text = yaml.safe_dump(content, sort_keys=False)
        write_atomically(self._config, text.encode())

    def begun_with(self, name: str) -> Any:
        """A setting of the run in the folder.

        Parameters
        ----------
        name : str
            A field of `TrainConfig`.

        Returns
        -------
        object
            None if there is no run, or its settings are broken.
        """
        try:
            stored = yaml.safe_load(self._config.read_text(encoding="utf-8"))
            return stored.get(name)
        except (OSError, yaml.YAMLError, AttributeError, ValueError):
            return None

    def _check_same(self, content: dict[str, Any]) -> None:
        try:
            stored = yaml.safe_load(self._config.read_text(encoding="utf-8"))
            stored = dict(stored)
        except (yaml.YAMLError, TypeError, ValueError) as error:
            raise InputError(f"{self._config} is broken: {error}") from error
        free = {"epochs", "minutes", "patience", "device", "threads", "training_set"}
        for name, value in content.items():
            if name not in free and stored.get(name) != value:
                what = "the training set" if name == "fingerprint" else name
                raise InputError(
                    f"{self.folder} was begun with another value of {what}; resume "
                    "with the same settings, or choose another output folder."
                )

    def save_progress(self, progress: Progress, tensors: dict[str, Any]) -> None:
        """Store all that resuming needs.

        Parameters
        ----------
        progress : Progress
            After an epoch.
        tensors : dict
            State dicts of tensors and plain values.
        """
        buffer = io.BytesIO()
        torch.save({"progress": asdict(progress), **tensors}, buffer)
        write_atomically(self._state, buffer.getvalue())

    def load_progress(self) -> tuple[Progress, dict[str, Any]] | None:
        """Read what `save_progress` stored, or None for a run that has none.

        Raises
        ------
        InputError
            If it is broken.
        """
        if not self._state.is_file():
            return None
        try:
            state = torch.load(self._state, map_location="cpu", weights_only=True)
            values = state.pop("progress")
            for name in ("before", "best"):
                if values[name] is not None:
                    values[name] = Figures(**values[name])
            return Progress(**values), state
        except Exception as error:  # torch raises many kinds for a broken file
            raise InputError(
                f"{self._state} is broken; choose a new output folder."
            ) from error

    def append_metrics(self, event: EpochEnded) -> None:
        """Add an epoch's line, in place of any from an interrupted try at it."""
        lines = []
        if self._metrics.is_file():
            for text in self._metrics.read_text(encoding="utf-8").splitlines():
                try:
                    if json.loads(text)["epoch"] < event.epoch:
                        lines.append(text)
                except (ValueError, KeyError, TypeError):
                    continue
        line = {
            "epoch": event.epoch,
            "loss": event.loss,
            "dice": event.dice,
            "seconds": round(event.seconds, 3),
            "best": event.best,
        }
        text = "\n".join([*lines, json.dumps(line)]) + "\n"
        write_atomically(self._metrics, text.encode())

    def write_report(self, event: Finished) -> None:
        """Write the figures before and after."""
        write_atomically(
            self.folder / "report.json", json.dumps(asdict(event), indent=2).encode()
        )
