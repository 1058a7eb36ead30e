"""What the widget remembers from session to session, in ``widget.json``."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_samsp.sam import registry as models
from napari_samsp.utils.atomic_files import write_atomically
from napari_samsp.utils.paths import widget_file

if TYPE_CHECKING:
    from napari_samsp.ui.widget import SamSpWidget

PAUSE_MS = 500
"""A spin box that is held down is written once."""
_TYPES: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "adapter": (str, type(None)),
    "iterations": (int,),
    "objects": (bool,),
    "follow_slices": (bool,),
    "scaling": (str,),
    "same_limits": (bool,),
    "minutes": (int, float),
}


class Memory:
    """Sets a widget to what it was, and writes down what it becomes.

    Parameters
    ----------
    widget : SamSpWidget
        With its panels in place.
    """

    def __init__(self, widget: SamSpWidget) -> None:
        self._widget = widget
        self._file = widget_file()
        self._restore(read_state())
        self._state = self._written = self._read_off()
        self._timer = QTimer(widget)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MS)
        self._timer.timeout.connect(self.write)
        segmenting = widget.segmenting
        for signal in (
            segmenting.model.changed,
            segmenting.adapter.changed,
            segmenting.iterations.valueChanged,
            segmenting.objects.toggled,
            segmenting.slices.follow.toggled,
            segmenting.scaling.edited,
            widget.finetuning.settings.minutes.valueChanged,
        ):
            signal.connect(self._on_change)
        # By then the timer is gone.
        widget.destroyed.connect(self.write)

    def write(self, *_: Any) -> None:
        """Write what changed; a disk that refuses is not worth an interruption."""
        if self._state != self._written:
            self._written = self._state
            with suppress(OSError):
                write_state(self._state, self._file)

    def _on_change(self, *_: Any) -> None:
        self._state = self._read_off()
        self._timer.start()

    def _read_off(self) -> dict[str, Any]:
        segmenting = self._widget.segmenting
        adapter = segmenting.adapter.adapter
        return {
            "model": segmenting.model_name,
            "adapter": str(adapter.folder) if adapter else None,
            "iterations": segmenting.iterations.value(),
            "objects": segmenting.objects.isChecked(),
            "follow_slices": segmenting.slices.follow.isChecked(),
            "scaling": segmenting.scaling.choice_or_none(),
            "same_limits": segmenting.scaling.same.isChecked(),
            "minutes": self._widget.finetuning.settings.minutes.value(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        segmenting = self._widget.segmenting
        model = state.get("model", "")
        with suppress(OSError, ValueError):  # a name that no disk takes
            if model in models.names() or Path(model).is_file():
                segmenting.model.choose(model)
        if state.get("adapter"):
            with suppress(OSError, ValueError):  # moved or removed since
                segmenting.adapter.choose(Path(state["adapter"]))
        # After the adapter, which brings its own mode.
        if "iterations" in state:
            segmenting.iterations.setValue(state["iterations"])
        if "objects" in state:
            segmenting.objects.setChecked(state["objects"])
        if "follow_slices" in state:
            segmenting.slices.follow.setChecked(state["follow_slices"])
        if "scaling" in state:
            segmenting.scaling.show_choice(state["scaling"])
        if "same_limits" in state:
            segmenting.scaling.same.setChecked(state["same_limits"])
        if "minutes" in state:
            self._widget.finetuning.settings.minutes.setValue(state["minutes"])


def read_state() -> dict[str, Any]:
    """Read what was remembered.

    Returns
    -------
    dict
        Empty if there is nothing yet or the file is broken; a value of a wrong kind
        is left out.
    """
    try:
        content = json.loads(widget_file().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {
        name: content[name]
        for name, kinds in _TYPES.items()
        if name in content
        and type(content[name]) in kinds
        # Qt's numbers are of 32 bits.
        and (type(content[name]) not in (int, float) or abs(content[name]) < 2**31)
    }


def write_state(state: dict[str, Any], file: Path) -> None:
    """Write what is to be remembered, atomically.

    Parameters
    ----------
    state : dict
        As `read_state` gives it.
    file : Path
        Where it is read from.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(state, indent=2).encode())
