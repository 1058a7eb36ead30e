"""The files of a run. Every file is complete at every moment."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import Timeout
from safetensors.torch import load_file

from napari_samsp.data.training_sets.transactions import lock_of
from napari_samsp.sam.adapters.adapter_card import WEIGHTS_FILE, read_card
from napari_samsp.train.config import TrainConfig
from napari_samsp.train.events import EpochEnded, Figures, Finished
from napari_samsp.train.validation.validate import ValidationResult
from napari_samsp.utils.atomic_files import (
    recover_folder,
    remove_leftovers,
    write_atomically,
)
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.yaml_files import read_mapping

_CHECKSUM_BYTES = len("\nsha256:") + 64


def _checksum(data: bytes) -> bytes:
    return f"\nsha256:{hashlib.sha256(data).hexdigest()}".encode()


@dataclass
class Progress:
    """How far a run is.

    Attributes
    ----------
    epoch : int
        Number of epochs finished.
    seconds : float
        Time spent in these epochs.
    since_kept : int
        Epochs since the adapter was saved.
    before : ValidationResult
        Of the model that the run begins with.
    best, kept : ValidationResult or None
        Of the best epoch by its score, and of the saved adapter.
    folds : list of ValidationResult
        One of each fold that a cross-validation has judged.
    seconds_judging : float
        Time spent in the cross-validation.
    """

    epoch: int
    seconds: float
    since_kept: int
    before: ValidationResult
    best: ValidationResult | None = None
    kept: ValidationResult | None = None
    folds: list[ValidationResult] = field(default_factory=list)
    seconds_judging: float = 0.0


def _judgement(stored: dict[str, Any]) -> ValidationResult:
    figures = Figures(**stored["figures"])
    return ValidationResult(figures, stored["merits"], stored.get("class_dice", []))


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
        self._report = self.folder / "report.json"

    def start(
        self, config: TrainConfig, training_set: Path, fingerprint: str, resume: bool
    ) -> None:
        """Begin a run, or check that the one in the folder can go on.

        Parameters
        ----------
        config : TrainConfig
            Settings of this call.
        training_set : Path
            Folder of the training set.
        fingerprint : str
            Hash of the training set.
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
            if self._state.is_file() and self._config.is_file():
                self._check_same(content)
            elif len(self._lines()) > 1:
                # One may be there: its state is written a moment later.
                raise InputError(
                    f"{self.folder} cannot be resumed: its last/ is gone. "
                    "Choose a new output folder."
                )
        elif self._metrics.is_file() or self.adapter.exists():
            raise InputError(
                f"{self.folder} already holds a run: add --resume to continue it, or "
                "choose another output folder."
            )
        self._state.parent.mkdir(parents=True, exist_ok=True)
        self._lock()
        recover_folder(self.adapter)
        # What a trainer was writing when it was killed.
        written = (self.adapter, self._config, self._metrics, self._report)
        remove_leftovers(self.folder, tuple(path.name for path in written))
        remove_leftovers(self._state.parent, (self._state.name,))
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
            return read_mapping(self._config).get(name)
        except InputError:
            return None

    def _lock(self) -> None:
        # The system lets go of it when the process ends, however that ends.
        self._held = lock_of(self.folder, 0)
        try:
            self._held.acquire()
        except Timeout as error:
            raise InputError(
                f"Another process is training into {self.folder}: wait for its end, or "
                "choose another output folder."
            ) from error

    def _check_same(self, content: dict[str, Any]) -> None:
        # A run of an earlier version lacks the settings that came later.
        stored = TrainConfig().as_dict() | read_mapping(self._config)
        free = {
            "epochs", "minutes", "steps", "patience", "device", "threads",
            "training_set",
        }  # fmt: skip
        for name, value in content.items():
            if name in free or stored.get(name) == value:
                continue
            if name == "fingerprint":
                raise InputError(
                    f"The images or masks in {content['training_set']} have changed "
                    f"since {self.folder} was begun, so that run cannot go on: begin a "
                    "new one, into another output folder."
                )
            raise InputError(
                f"{self.folder} was begun with another value of {name}; resume with "
                "the same settings, or choose another output folder."
            )

    def save_progress(self, progress: Progress, tensors: dict[str, Any]) -> None:
        """Store all that resuming needs.

        Parameters
        ----------
        progress : Progress
            The run's state after an epoch.
        tensors : dict
            State dicts of tensors and plain values.
        """
        buffer = io.BytesIO()
        torch.save({"progress": asdict(progress), **tensors}, buffer)
        data = buffer.getvalue()
        # At the end, where torch.load does not mind it.
        write_atomically(self._state, data + _checksum(data))

    def load_progress(self) -> tuple[Progress, dict[str, Any]] | None:
        """Read what `save_progress` stored, or None for a run that has none.

        Raises
        ------
        InputError
            If it is broken or was changed, or the adapter that it tells of is gone.
        """
        if not self._state.is_file():
            return None
        try:
            content = self._state.read_bytes()
            data, checksum = content[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:]
            if checksum != _checksum(data):
                raise ValueError("its checksum is wrong")
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            values = state.pop("progress")
            for name in ("before", "best", "kept"):
                if values[name] is not None:
                    values[name] = _judgement(values[name])
            values["folds"] = [_judgement(fold) for fold in values.get("folds", ())]
            progress = Progress(**values)
        except Exception as error:  # torch raises many kinds for a broken file
            raise self.broken() from error
        if progress.kept is not None:
            self.check_adapter()
        return progress, state

    def broken(self) -> InputError:
        """What to raise if the stored state cannot be used."""
        return InputError(
            f"{self._state} is broken or was changed, so that the run cannot be "
            "resumed; choose a new output folder."
        )

    def check_adapter(self) -> None:
        """Check that the saved adapter exists and is complete.

        Raises
        ------
        InputError
            If somebody removed, replaced or broke it.
        """
        try:
            read_card(self.adapter)
            tensors = load_file(self.adapter / WEIGHTS_FILE)
            if not all(tensor.isfinite().all() for tensor in tensors.values()):
                raise ValueError("it holds NaN or infinite values")
        except Exception as error:  # as in load_adapter
            raise InputError(
                f"{self.adapter}, the best epoch so far, is gone or broken: put it "
                "back, or train again into a new output folder."
            ) from error

    def append_metrics(self, event: EpochEnded) -> None:
        """Add an epoch's line, in place of any from an interrupted try at it."""
        lines = [text for epoch, text in self._lines() if epoch < event.epoch]
        line = {
            "epoch": event.epoch,
            "loss": event.loss,
            "dice": event.dice,
            "seconds": round(event.seconds, 3),
            "best": event.best,
            "judged": event.judged,
        }
        text = "\n".join([*lines, json.dumps(line)]) + "\n"
        write_atomically(self._metrics, text.encode())

    def _lines(self) -> list[tuple[float, str]]:
        """The epochs that ``metrics.jsonl`` tells of, each with its line."""
        lines = []
        if self._metrics.is_file():
            content = self._metrics.read_text(encoding="utf-8", errors="replace")
            for text in content.split("\n"):
                try:
                    lines.append((float(json.loads(text)["epoch"]), text))
                except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                    continue  # a broken line must not stop a run
        return lines

    def write_report(self, event: Finished) -> None:
        """Write the figures before and after."""
        write_atomically(self._report, json.dumps(asdict(event), indent=2).encode())
